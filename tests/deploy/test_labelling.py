"""A data set from the results table: the frames of the rows, labelled, each once, and a word about those that are gone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.codecs import encode_pixels
from contracts.errors import SettingsError, StopPipeline
from contracts.frame import ContentType
from contracts.position import KafkaPosition, OffsetRange
from deploy.labelling import SetRequest, set_from_results
from deploy.settings.app_settings import AppSettings, settings_from_args
from pipeline.kafka.interfaces import PartitionReader
from pipeline.kafka.memory_topic import MemoryReader, MemoryTopic, Message
from pipeline.ops.refetch import RowChoice
from pipeline.table.results_table import ResultsTable
from tests.outcomes import NOON, detection, letter, result
from training.data.importing import ImportReport
from training.data.labelled_frame import sample_of_row
from training.data.parquet_set import iterate_rows
from training.data.pseudo_labels import LabelRule, Verdict

SIDE_PX = 16
REQUEST = SetRequest(name="mine", licence="ours", choice=RowChoice(), rule=LabelRule(0.9, 0.3), verdicts={})


class MemoryLog:
    def __init__(self, topic: MemoryTopic) -> None:
        self.topic = topic

    def topic_id(self, topic: str) -> str:
        return str(self.topic.topic_id)

    def reader(self, topic: str, partition: int, offset: int) -> PartitionReader:
        return MemoryReader(self.topic, partition, offset)


def pixels(number: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    return np.random.default_rng(number).integers(100, 900, (SIDE_PX, SIDE_PX)).astype(np.uint16)


def message(number: int) -> Message:
    headers = (("ir_bit_depth", b"14"), ("ir_band", b"lwir"), ("ce_time", (NOON + timedelta(minutes=number)).isoformat().encode()))
    return Message(b"cam-1", encode_pixels(pixels(number), ContentType.PNG), headers)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(MemoryTopic({0: [message(number) for number in range(8)]}))


@pytest.fixture
def settings(tmp_path: Path, log: MemoryLog) -> AppSettings:
    """Eight frames: scores 0.95, 0.5, none, rejected, 0.95 that a filter suppresses, 0.95, none, 0.1."""
    scores = {0: [0.95], 1: [0.5], 2: [], 4: [0.95], 5: [0.95, 0.1], 6: [], 7: [0.1]}
    rows: list[Any] = [letter(3)]
    for number, each in scores.items():
        filters = {4: "zones"}
        found = tuple(replace(detection(score, "drone"), mask_rle=None, suppressed_by=filters.get(number)) for score in each)
        rows.append(
            replace(result(number), width_px=SIDE_PX, height_px=SIDE_PX, detections=found, captured_at=NOON + timedelta(minutes=number))
        )
    table = ResultsTable(str(tmp_path / "table"), "live")
    table.open_or_create()
    table.append(sorted(rows, key=lambda row: row.position), [OffsetRange("frames", 0, 0, 8)], {"frames": "memory-1"})
    return settings_from_args({"sink": {"table": str(tmp_path / "table")}})


def made(settings: AppSettings, out: Path, log: MemoryLog, **changes: Any) -> tuple[ImportReport, dict[int, dict[str, Any]]]:
    found = set_from_results(settings, out, replace(REQUEST, **changes), log=log)
    return found, {int(row["sample_id"].rsplit("/")[-1]): row for row in iterate_rows(out)}


def test_frames_come_with_the_labels_of_their_rows(settings: AppSettings, log: MemoryLog, tmp_path: Path) -> None:
    found, rows = made(settings, tmp_path / "out", log, empty=2)
    assert (found.frames, dict(found.refused)) == (6, {})
    assert {number: row["labels"] for number, row in rows.items() if row["labels"]} == {
        0: ["drone"],
        1: ["ignore"],
        4: ["ignore"],
        5: ["drone"],
    }
    assert len([row for row in rows.values() if not row["labels"]]) == 2
    for number, row in rows.items():
        np.testing.assert_array_equal(sample_of_row(row).pixels_HW, pixels(number))
    assert (rows[0]["group_id"] == rows[1]["group_id"], rows[0]["bit_depth"], rows[0]["band"]) == (True, 14, "lwir")
    extra = json.loads(rows[5]["extra"])
    assert extra["labelled"] == [{"by": "score", "detection": 0}]
    assert extra["models"][0]["name"] == "fcos_light"


def test_people_choose_and_the_same_request_goes_on(settings: AppSettings, log: MemoryLog, tmp_path: Path) -> None:
    verdicts = {
        KafkaPosition("frames", 0, 0): {None: Verdict("reject")},
        KafkaPosition("frames", 0, 7): {0: Verdict("relabel", "bird")},
        KafkaPosition("frames", 0, 6): {None: Verdict("accept")},
    }
    log.topic.delete_before(0, 2)
    found, rows = made(settings, tmp_path / "out", log, verdicts=verdicts)
    assert (set(rows), dict(found.refused)) == ({4, 5, 6, 7}, {"gone": 1})
    assert (rows[7]["labels"], rows[6]["labels"]) == (["bird"], [])
    again, _ = made(settings, tmp_path / "out", log, verdicts=verdicts)
    assert (again.frames, again.new, again.content_hash) == (4, 0, found.content_hash)
    with pytest.raises(SettingsError, match="as in the import that was begun here"):
        made(settings, tmp_path / "out", log)
    with pytest.raises(SettingsError, match="corrections of frames that are chosen"):
        made(settings, tmp_path / "other", log, verdicts={KafkaPosition("frames", 0, 3): {None: Verdict("accept")}})
    with pytest.raises(SettingsError, match="a detection 0 to 0 of frames/0/7"):
        made(settings, tmp_path / "other", log, verdicts={KafkaPosition("frames", 0, 7): {1: Verdict("accept")}})


def test_rows_are_chosen_and_a_topic_that_was_made_anew_is_refused(settings: AppSettings, log: MemoryLog, tmp_path: Path) -> None:
    later = RowChoice(sensors=("cam-1",), since=NOON + timedelta(minutes=1), until=NOON + timedelta(minutes=5))
    assert set(made(settings, tmp_path / "out", log, choice=later)[1]) == {1, 4}
    seen = {KafkaPosition("frames", 0, 7): {None: Verdict("accept")}}
    few = made(settings, tmp_path / "few", log, limit=2, empty=2, verdicts=seen)[1]
    assert len(few) == 2
    assert 7 in few, "people have seen it"
    log.topic.recreate("memory-2")
    with pytest.raises(StopPipeline, match="deleted and created again"):
        made(settings, tmp_path / "anew", log)
    with pytest.raises(SettingsError, match="rows of frames with targets"):
        made(settings, tmp_path / "none", log, choice=RowChoice(sensors=("cam-2",)))
