"""A least score from a sensor's own rows: which rows count, and what is said where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from contracts.arrow import outcomes_to_table
from contracts.errors import SettingsError
from contracts.position import OffsetRange
from contracts.result import FrameResult, ModelRef, Outcome
from pipeline.ops.sensor_hours import open_rows, sensor_hours
from pipeline.ops.tune import tune
from pipeline.sensor_settings import AlertSettings, Zone
from pipeline.table.delta import open_results
from pipeline.table.results_table import ResultsTable
from tests.outcomes import NOON, detection, gap, letter, result

OLD, NEW = (
    (ModelRef("detection", "fcos_light", "a" * 64), ModelRef("segmentation", "kestrel", "b" * 64)),
    (
        ModelRef("detection", "fcos_light", "a" * 64),
        ModelRef("segmentation", "kestrel", "c" * 64),
    ),
)
CLASSIFIER = ModelRef("classification", "basic_cnn", "d" * 64)


def frame(
    offset: int, second: float, scores: Sequence[float] = (), sensor: str = "mast-1", models: Sequence[ModelRef] = NEW
) -> FrameResult:
    """As the stream makes it: the classifier is named where it had something to name."""
    moment = NOON + timedelta(seconds=second)
    return replace(
        result(offset),
        sensor_id=sensor,
        captured_at=moment,
        finished_at=moment + timedelta(seconds=1),
        detections=tuple(detection(score) for score in scores),
        models=(*models, CLASSIFIER) if scores else tuple(models),
    )


def write(path: Path, rows: Sequence[Outcome], run_id: str = "live") -> None:
    table = ResultsTable(str(path), run_id)
    table.open_or_create()
    for start in range(0, len(rows), 7):  # several files
        part = rows[start : start + 7]
        table.append(part, [OffsetRange("frames", 0, part[0].position.offset, part[-1].position.offset + 1)], {"frames": "id-1"})


def test_only_this_sensors_frames_count_and_their_detections_stay_with_them(tmp_path: Path) -> None:
    rows: list[Outcome] = [frame(offset, offset, [0.25, 0.75][: offset % 3]) for offset in range(20)]
    rows += [frame(20, 20, [0.5], sensor="mast-2"), letter(21, sensor_id="mast-1"), gap(22, 23), frame(23, 23)]
    write(tmp_path, rows)
    write(tmp_path, [frame(0, 0, [0.9])], run_id="again")
    hours = sensor_hours(open_results(str(tmp_path), {}), "live", "mast-1")
    assert sorted(hours.times_s_N - NOON.timestamp()) == [*range(20), 23]
    found: dict[float, list[float]] = {}
    for index, score in zip(hours.frames_M, hours.scores_M, strict=True):
        found.setdefault(round(hours.times_s_N[index] - NOON.timestamp()), []).append(float(score))
    assert found == {offset: [0.25, 0.75][: offset % 3] for offset in range(20) if offset % 3}
    assert hours.num_others == 0
    assert hours.origin == ("1", f"fcos_light {'a' * 64}", f"kestrel {'c' * 64}")


def test_scores_of_older_weights_are_left_out(tmp_path: Path) -> None:
    rows = [frame(offset, offset, [0.99], models=OLD) for offset in range(10)] + [frame(offset, offset, [0.5]) for offset in range(10, 16)]
    write(tmp_path, [*rows, replace(frame(16, 9.5, [0.1]), preprocess_version="0")])
    hours = sensor_hours(open_results(str(tmp_path), {}), "live", "mast-1")
    assert (len(hours.times_s_N), hours.scores_M.tolist(), hours.num_others) == (6, [0.5] * 6, 11)


def test_frames_before_a_moment_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, [frame(offset, offset) for offset in range(10)])
    table = open_results(str(tmp_path), {})
    assert len(sensor_hours(table, "live", "mast-1", NOON + timedelta(seconds=4)).times_s_N) == 6
    with pytest.raises(SettingsError, match="since: expected frames of mast-1 in run live, got none captured since"):
        sensor_hours(table, "live", "mast-1", NOON + timedelta(days=1))


def test_a_sensor_without_rows_is_answered_with_those_that_have_some(tmp_path: Path) -> None:
    write(tmp_path, [frame(0, 0), frame(1, 1, sensor="gate-7"), letter(2, sensor_id="broken")])
    table = open_results(str(tmp_path), {})
    with pytest.raises(SettingsError, match=r"sensor: expected one of gate-7, mast-1, got 'mast-l'. Did you mean 'mast-1'\?"):
        tune(table, "live", "mast-l", 1.0)
    with pytest.raises(SettingsError, match="no frames at all in run other"):
        tune(table, "other", "mast-1", 1.0)


def test_the_proposal_and_what_it_leaves(tmp_path: Path) -> None:
    """An hour, a frame a minute: 30 of 0.25, five of 0.75 in one frame, two of 0.875 in two frames; seven are at most 13.1 an hour."""
    scores = {0: [0.75] * 5, 10: [0.875], 20: [0.875], **{minute: [0.25] for minute in range(30, 60)}}
    write(tmp_path, [frame(minute, 60 * minute, scores.get(minute, [])) for minute in range(60)])
    found = tune(open_results(str(tmp_path), {}), "live", "mast-1", 13.2, zones=False)
    assert found.coverage.hours == pytest.approx(1.0)
    assert found.proposed is not None
    assert (found.proposed.score, found.proposed.num, found.num_frames_left) == (0.26, 7, 3)
    assert {each.score: each.num for each in found.rates} == {0: 37, 0.26: 7, 0.3: 7, 0.4: 7, 0.5: 7, 0.6: 7, 0.7: 7, 0.8: 2, 0.9: 0}
    fewer = tune(open_results(str(tmp_path), {}), "live", "mast-1", 13.1, zones=False).proposed
    assert fewer is not None
    assert (fewer.score, fewer.num) == (0.76, 2)


def test_hours_without_any_detection_are_hours(tmp_path: Path) -> None:
    write(tmp_path, [frame(minute, 60 * minute) for minute in range(60)])
    found = tune(open_results(str(tmp_path), {}), "live", "mast-1", 3.0)
    assert found.least is not None
    assert found.least.promised is not None
    assert (found.least.promised.score, found.least.promised.num, found.num_frames_left) == (0.0, 0, 0)


def alarming(offset: int, *places: tuple[float, float, float]) -> FrameResult:
    """A frame a minute with detections of these centroids and scores."""
    found = tuple(
        replace(detection(score), centroid_x_px=x, centroid_y_px=y, x_min_px=x - 4, x_max_px=x + 4, y_min_px=y - 3, y_max_px=y + 3)
        for x, y, score in places
    )
    return replace(frame(offset, 60.0 * offset, [0.5] * len(found)), detections=found)


def hour(with_display: bool = True) -> list[FrameResult]:
    """An hour: a display in each frame, a target that crosses in ten, a faint thing elsewhere in three."""
    display = [(600.0, 20.0, 0.75)] if with_display else []
    return [
        alarming(
            minute,
            *display,
            *([(20.0 * minute, 200.0, 0.875)] if minute < 10 else []),
            *([(7.0 * minute, 400.0, 0.25)] if minute % 20 == 0 else []),
        )
        for minute in range(60)
    ]


def test_a_display_becomes_a_zone_and_the_score_is_for_what_is_left(tmp_path: Path) -> None:
    write(tmp_path, hour())
    found = tune(open_results(str(tmp_path), {}), "live", "mast-1", 20.0)
    assert [(place.rectangle_px, place.num_frames, place.num_others) for place in found.places] == [((595, 16, 605, 24), 60, 0)]
    assert (found.num_removed, found.num_left, found.num_alerts) == (60, 13, (60, 12, 10))
    assert found.proposed is not None
    assert (found.proposed.score, found.proposed.num) == (0.26, 10)
    without = tune(open_results(str(tmp_path), {}), "live", "mast-1", 20.0, zones=False)
    assert (without.places, without.num_alerts[:2]) == ((), (60, 60))


def test_what_filters_suppress_already_is_not_proposed_again(tmp_path: Path) -> None:
    write(tmp_path, hour())
    table = open_results(str(tmp_path), {})
    for alerts, num_left in (
        (AlertSettings(zones={"display": Zone(rectangle_px=(590, 0, 640, 30))}), 13),
        (AlertSettings(min_size_px=9), 0),
        (AlertSettings(hidden_labels=("drone",)), 0),
        (AlertSettings(min_score=0.8), 73),  # the display may come back with a lower score
    ):
        found = tune(table, "live", "mast-1", alerts=alerts)
        assert (found.places, found.num_left) == ((), num_left)


def test_a_parquet_of_predict_is_taken_too(tmp_path: Path) -> None:
    file = tmp_path / "results.parquet"
    pq.write_table(outcomes_to_table(hour(), "predict"), file)
    assert len(tune(open_rows(str(file), {}), "predict", "mast-1").places) == 1
    with pytest.raises(SettingsError, match="one of mast-1, got 'mast-2'"):
        tune(open_rows(str(file), {}), "predict", "mast-2")
    file.write_bytes(b"no Parquet")
    with pytest.raises(SettingsError, match="expected a Parquet of `irstream predict`"):
        open_rows(str(file), {})


def test_what_is_no_target_counts_for_no_proposal(tmp_path: Path) -> None:
    marks = ("weak", "double", None)
    rows = [frame(offset, 60 * offset, [0.4, 0.9, 0.8]) for offset in range(30)]
    rows = [
        replace(row, detections=tuple(replace(each, suppressed_by=mark) for each, mark in zip(row.detections, marks, strict=True)))
        for row in rows
    ]
    write(tmp_path, rows)
    table = open_results(str(tmp_path), {})
    for least, num in ((None, 30), (0.9, 30), (0.3, 30)):
        found = tune(table, "live", "mast-1", 1.0, alerts=AlertSettings(min_score=least), zones=False)
        assert found.num_left == num, least
