"""A table is shown: which frames, with their targets, as a sheet and as a video."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from contracts.codecs import encode_pixels
from contracts.frame import ContentType
from contracts.position import OffsetRange
from contracts.result import FrameResult
from deploy.cli.main import main
from deploy.showing.rows import Wanted, in_order, rows_of, worst_of
from pipeline.kafka.interfaces import PartitionReader
from pipeline.kafka.memory_topic import MemoryReader, MemoryTopic, Message
from pipeline.table.delta import open_results
from pipeline.table.results_table import ResultsTable
from tests.outcomes import NOON, detection, letter, result

SIDE_PX, FRAMES = 64, 12
YELLOW = (255, 210, 63)


class MemoryLog:
    topic: MemoryTopic

    def __init__(self, _: object) -> None:
        """As `KafkaLog`, of the topic of the class."""

    def topic_id(self, topic: str) -> str:
        return str(self.topic.topic_id)

    def reader(self, topic: str, partition: int, offset: int) -> PartitionReader:
        return MemoryReader(self.topic, partition, offset)


def row(number: int) -> FrameResult:
    """A target of cam-1 that goes to the right, in track `t`, but for frames 4 to 6; scores rise; one other sensor."""
    x = 4.0 + 4 * number
    target = replace(
        detection(0.3 + 0.05 * number),
        x_min_px=x,
        x_max_px=x + 4,
        y_min_px=30.0,
        y_max_px=34.0,
        centroid_x_px=x + 2,
        centroid_y_px=32.0,
        mask_rle=None,
        track_id="t",
    )
    return replace(
        result(number),
        sensor_id="cam-2" if number == 11 else "cam-1",
        width_px=SIDE_PX,
        height_px=SIDE_PX,
        captured_at=NOON + timedelta(seconds=0.5 * number),
        detections=() if 4 <= number <= 6 else (target if number != 11 else replace(target, track_id="u"),),
    )


@pytest.fixture
def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """The command on a table of twelve rows and one rejection, whose frame 2 retention has deleted."""
    rng = np.random.default_rng(7)
    pixels = [rng.integers(1000, 2000, (SIDE_PX, SIDE_PX), np.uint16) for _ in range(FRAMES)]
    topic = MemoryTopic({0: [Message(b"cam", encode_pixels(each, ContentType.PNG), (("ir_bit_depth", b"14"),)) for each in pixels]})
    topic.append(0, [Message(b"cam", b"no frame", ())])
    monkeypatch.setattr(MemoryLog, "topic", topic, raising=False)
    monkeypatch.setattr("deploy.showing.frames.KafkaLog", MemoryLog)
    table = ResultsTable(str(tmp_path / "table"), "live")
    table.open_or_create()
    table.append([*map(row, range(FRAMES)), letter(FRAMES)], [OffsetRange("frames", 0, 0, FRAMES + 1)], {"frames": "memory-1"})

    def run(*arguments: str) -> dict[str, Any]:
        with pytest.raises(SystemExit) as ended:
            main(["show", str(tmp_path / "table"), "--json", *arguments])
        out, err = capsys.readouterr()
        return {"code": ended.value.code, "err": err} | (json.loads(out) if out else {})

    return run


def test_a_sheet_shows_the_frames_of_a_table(show: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    told = show("--sensor", "cam-1", "--num", "4", "--out", str(tmp_path / "a.png"))
    assert (told["code"], told["frames"], told["gone"]) == (0, 4, 0), told
    picture = np.asarray(cv2.imread(told["file"]))[:, :, ::-1]
    assert (picture == YELLOW).all(axis=2).sum() > 100, "boxes are drawn"
    assert show("--sensor", "cam-9", "--out", str(tmp_path / "b.png"))["code"] == 2
    assert "expected rows that fit, got none" in show("--track", "nobody", "--out", str(tmp_path / "b.png"))["err"]


def test_the_worst_are_those_with_the_lowest_scores_one_a_second(show: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    rows = rows_of(open_results(str(tmp_path / "table"), {}), "live", Wanted())
    assert [each.position.offset for each in worst_of(rows, 3)] == [0, 2, 7]
    assert show("--worst", "3", "--out", str(tmp_path / "a.png"))["frames"] == 3


def test_a_clip_follows_a_track_and_leaves_out_what_is_gone(show: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    MemoryLog.topic.delete_before(0, 2)
    told = show("--track", "t", "--clip", str(tmp_path / "t.mp4"))
    assert (told["code"], told["frames"], told["gone"]) == (0, 6, 2), told
    video = cv2.VideoCapture(told["file"])
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(2.0), "as they were taken"
    places = []
    while (read := video.read())[0]:
        red, blue = read[1][20:, :, 2].astype(int), read[1][20:, :, 0].astype(int)
        places.append(float(np.nonzero(red - blue > 90)[1].max()))
    assert len(places) == 6
    assert np.diff(places).min() > 20, "boxes go to the right"
    assert show("--clip", str(tmp_path / "all.mp4"))["code"] == 2, "frames of two sensors are no video"
    MemoryLog.topic.delete_before(0, FRAMES)
    assert show("--track", "t", "--clip", str(tmp_path / "none.mp4"))["code"] == 1


def test_the_first_frames_of_many_are_held_and_all_are_counted() -> None:
    held = max_held = 0

    class Watched(FrameResult):
        def __del__(self) -> None:
            nonlocal held
            held -= 1

    def rows() -> Iterator[FrameResult]:
        nonlocal held, max_held
        for offset in range(400):
            row = result(offset * 7 % 400)
            held += 1
            max_held = max(max_held, held)
            yield Watched(**{each.name: getattr(row, each.name) for each in fields(FrameResult)})

    first, total = in_order(rows(), 5)
    assert ([row.position.offset for row in first], total) == ([0, 1, 2, 3, 4], 400)
    assert max_held < 20
