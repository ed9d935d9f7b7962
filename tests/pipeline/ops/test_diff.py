"""Frames of two runs are found again by position, else by sensor, id and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.archive_range import ArchiveRange, ArchiveRequest, RangePartition
from contracts.errors import SettingsError
from contracts.position import KafkaPosition, OffsetRange
from contracts.result import Outcome
from evaluation.run_diff import MatchRules
from pipeline.ops import diff
from pipeline.ops.diff import Comparison, Side, compare_runs, models_of
from pipeline.table.delta import open_or_create_results, open_results
from pipeline.table.results_table import ResultsTable
from pipeline.table.run_range import store_range
from tests.outcomes import NOON, gap, letter, result


def write(path: Path, run_id: str, outcomes: Sequence[Outcome], topic_id: str | None = None) -> None:
    table = ResultsTable(str(path), run_id)
    table.open_or_create()
    for name in sorted({outcome.position.topic_partition for outcome in outcomes}):
        mine = [outcome for outcome in outcomes if outcome.position.topic_partition == name]
        table.append(mine, [OffsetRange(name.topic, name.partition, 0, 1000)], {name.topic: topic_id} if topic_id else {})


def of_topic(run_id: str, topic_id: str) -> ArchiveRange:
    request = ArchiveRequest(kind="topic", inputs=("frames",))
    partitions = (RangePartition(number=0, start=0, stop=4),)
    return ArchiveRange(run_id=run_id, topic="frames", topic_id=topic_id, request=request, stored_at=NOON, partitions=partitions)


def compared(path: Path, match_by: diff.MatchBy | None = None, sensor: str | None = None) -> Comparison:
    table = open_results(str(path), {})
    return compare_runs(Side(table, "a", sensor), Side(table, "b", sensor), MatchRules(), match_by)


def test_frames_of_the_same_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diff, "_CHUNK_ROWS", 4)
    write(tmp_path, "a", [*(result(at) for at in range(9)), letter(9), result(3, partition=1)])
    write(tmp_path, "b", [*(result(at, num_detections=at % 2) for at in range(2, 10)), gap(10, 12), result(3, partition=1)])
    found = compared(tmp_path)
    frames = list(found.frames)
    assert (found.match_by, found.only_a, found.only_b, found.num_frames, len(frames)) == ("position", 2, 0, 9, 9)
    assert [(each.position_a, each.only_a, each.restated) for each in frames if each.differing] == [
        ("frames/0/2", 1, 0),
        ("frames/0/4", 1, 0),
        ("frames/0/6", 1, 0),
        ("frames/0/8", 1, 0),
        ("frames/0/9", 0, 1),
    ]
    assert models_of(Side(open_results(str(tmp_path), {}), "a")) == "detection fcos_light"


def test_frames_of_the_same_name_and_time_where_positions_differ(tmp_path: Path) -> None:
    """Live from a topic, again from the files it was made of: two frames of one name and time stand for none."""
    live = [result(at, ingested_at=NOON + timedelta(seconds=at)) for at in range(6)]
    moved = [replace(each, position=KafkaPosition("archive:night", 0, 100 - each.position.offset)) for each in live]
    moved.append(replace(moved[2], position=KafkaPosition("archive:night", 0, 500)))
    moved.append(replace(moved[3], position=KafkaPosition("archive:night", 1, 0), sensor_id="other"))
    write(tmp_path, "a", live)
    moved[4] = replace(moved[4], captured_at=NOON)
    write(tmp_path, "b", sorted(moved, key=lambda each: each.position))
    found = compared(tmp_path)
    frames = list(found.frames)
    assert (found.match_by, found.only_a, found.only_b) == ("frame", 2, 4)
    assert [(each.position_a, each.position_b, each.differing) for each in frames] == [
        (f"frames/0/{at}", f"archive:night/0/{100 - at}", 0) for at in (0, 1, 3, 5)
    ]


def test_positions_of_another_topic_of_this_name_are_other_frames(tmp_path: Path) -> None:
    """A run of an archive says which topic it was; the stream's transactions say it too."""
    store_range(open_or_create_results(str(tmp_path), {}), of_topic("a", "first"), {})
    write(tmp_path, "a", [result(at) for at in range(4)], "first")
    write(tmp_path, "b", [result(at) for at in range(3)], "first")
    assert compared(tmp_path).match_by == "position"
    write(tmp_path / "other", "b", [replace(result(at), position=result(3 - at).position) for at in (3, 2, 1, 0)], "second")
    first = Side(open_results(str(tmp_path), {}), "a")
    second = Side(open_results(str(tmp_path / "other"), {}), "b")
    for sides in ((first, second), (second, first)):
        found = compare_runs(*sides, MatchRules())
        assert (found.match_by, found.num_frames) == ("frame", 4)
        assert all(each.position_a != each.position_b for each in found.frames)
        with pytest.raises(SettingsError, match="positions of one frames, got those of two of this name"):
            compare_runs(*sides, MatchRules(), "position")
    store_range(open_or_create_results(str(tmp_path / "other"), {}), of_topic("b", "second"), {})
    assert compare_runs(first, Side(open_results(str(tmp_path / "other"), {}), "b"), MatchRules()).match_by == "frame"


def test_nothing_in_common_is_said(tmp_path: Path) -> None:
    write(tmp_path, "a", [result(0)])
    with pytest.raises(SettingsError, match="expected rows of run b, got none"):
        compared(tmp_path)
    write(tmp_path, "b", [replace(result(1), captured_at=NOON + timedelta(seconds=1))])
    with pytest.raises(SettingsError, match="no position, and no sensor, id and time"):
        compared(tmp_path)
    with pytest.raises(SettingsError, match="expected rows of run a, sensor cam-7, got none"):
        compared(tmp_path, sensor="cam-7")
