"""Pd by centre against false alarms a frame: by hand, and against a slow count of every threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.found import MIN_REACH_PX, RATES, FoundMetrics, match_centres

Frame = tuple[list[tuple[float, float, float]], list[tuple[float, float, float, float]]]
"""Detections (x, y, score) and boxes."""


def boxes(*rows: Sequence[float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def counted(*frames: Frame) -> FoundMetrics:
    metrics = FoundMetrics()
    for detections, targets in frames:
        rows = np.array(detections, np.float64).reshape(-1, 3)
        metrics.update(rows[:, :2], rows[:, 2], boxes(*targets))
    return metrics


def hits(centres: list[tuple[float, float]], scores: list[float], *targets: Sequence[float]) -> list[bool]:
    return [bool(hit) for hit in match_centres(np.array(centres, np.float64).reshape(-1, 2), np.array(scores), boxes(*targets))]


def test_a_small_target_is_found_within_five_pixels_and_a_large_one_within_half_its_box() -> None:
    small, large = (10, 10, 14, 14), (40, 40, 80, 50)
    assert hits([(17, 12), (17.1, 12)], [0.9, 0.9], small) == [True, False]
    assert hits([(12, 7)], [0.9], small) == [True], "five pixels to the middle at (12, 12)"
    assert hits([(80, 45)], [0.9], large) == [True], "half of the longer side, 20 px"
    assert hits([(80.1, 45)], [0.9], large) == [False]


def test_each_target_is_found_once_by_the_best_score_and_by_the_nearest() -> None:
    assert hits([(12, 12), (13, 12)], [0.4, 0.8], (10, 10, 14, 14)) == [False, True], "the worse score is nearer and comes too late"
    # Both targets are in reach of both: each detection takes the one that is nearer.
    assert hits([(14, 10), (11, 10)], [0.9, 0.8], (8, 8, 12, 12), (12, 8, 16, 12)) == [True, True]


def test_the_curve_by_hand() -> None:
    target = (10.0, 10.0, 14.0, 14.0)
    curve = counted(
        ([(12, 12, 0.9), (50, 50, 0.7)], [target]),
        ([(12, 12, 0.7)], [target]),
        ([(30, 30, 0.8), (12, 12, 0.2)], [target]),
        ([], []),
    ).compute()
    assert curve.thresholds_T.tolist() == [0.9, 0.8, 0.7, 0.2]
    np.testing.assert_allclose(curve.pd_T, [1 / 3, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(curve.false_per_frame_T, [0, 0.25, 0.5, 0.5])
    assert (curve.num_frames, curve.num_targets, curve.num_detections) == (4, 3, 5)
    assert curve.lowest_rate == 0.25
    at = curve.at(0.3)
    assert at.pd == pytest.approx(1 / 3)
    assert (at.false_per_frame, at.threshold) == (0.25, 0.8)
    assert curve.at(0.5).pd == 1


def test_less_than_one_false_alarm_in_all_frames_is_not_measured() -> None:
    curve = counted(*[([(12.0, 12.0, 0.9)], [(10.0, 10.0, 14.0, 14.0)])] * 10).compute()
    assert curve.lowest_rate == 0.1
    points = {rate: curve.at(rate) for rate in RATES}
    assert [math.isnan(point.pd) for point in points.values()] == [True, False, False, False]
    assert [math.isnan(point.false_per_frame) for point in points.values()] == [True, False, False, False]
    assert points[0.1].pd == 1


def test_scores_that_are_all_alike_find_nothing_where_too_many_of_them_are_false() -> None:
    saturated = counted(([(12, 12, 1.0), (50, 50, 1.0), (70, 70, 1.0)], [(10, 10, 14, 14)]), ([], [])).compute()
    assert saturated.thresholds_T.tolist() == [1.0]
    at = saturated.at(0.9)
    assert (at.pd, at.false_per_frame, at.threshold) == (0, 0, math.inf)
    assert saturated.at(1.0).pd == 1


def test_without_targets_or_frames_there_is_no_figure() -> None:
    empty = counted(([(12, 12, 0.9)], []), ([], [])).compute()
    assert all(math.isnan(empty.at(rate).pd) for rate in RATES)
    assert empty.false_per_frame_T.tolist() == [0.5], "false alarms can be counted all the same"
    nothing = FoundMetrics().compute()
    assert nothing.lowest_rate == math.inf
    assert (nothing.num_frames, len(nothing.thresholds_T)) == (0, 0)
    assert math.isnan(nothing.at(1.0).pd)


def test_nothing_found_is_a_figure() -> None:
    at = counted(([], [(10, 10, 14, 14)])).compute().at(1.0)
    assert (at.pd, at.threshold) == (0, math.inf)


def test_what_lies_where_nobody_labelled_counts_neither_way_but_a_target_there_is_found() -> None:
    metrics = FoundMetrics()
    centres, scores = np.array([[12, 12], [20, 20], [60, 60]], float), np.array([0.9, 0.8, 0.7])
    metrics.update(centres, scores, boxes((10, 10, 14, 14)), boxes((8, 8, 30, 30)))
    assert metrics.scores_N.tolist() == [0.9, 0.7]
    assert metrics.hits_N.tolist() == [True, False]
    metrics.update(centres, scores, boxes((10, 10, 14, 14)), boxes())
    assert metrics.hits_N.tolist() == [True, False, True, False, False]


def test_wrong_shapes_scores_and_rates_are_refused() -> None:
    metrics = FoundMetrics()
    with pytest.raises(ValueError, match="expected 1 centres"):
        metrics.update(np.zeros((2, 2)), np.zeros(1), boxes())
    with pytest.raises(ValueError, match="finite scores"):
        metrics.update(np.zeros((1, 2)), np.array([math.nan]), boxes())
    with pytest.raises(ValueError, match="rate above 0"):
        metrics.compute().at(0)


def slow_counts(frames: list[Frame], threshold: float) -> tuple[int, int]:
    """Found targets and false alarms of the detections from a score on, one by one."""
    found = false = 0
    for detections, targets in frames:
        free = list(targets)
        for x, y, score in sorted(detections, key=lambda each: -each[2]):
            if score < threshold:
                continue
            near = []
            for target in free:
                away = math.dist((x, y), ((target[0] + target[2]) / 2, (target[1] + target[3]) / 2))
                if away <= max(MIN_REACH_PX, (target[2] - target[0]) / 2, (target[3] - target[1]) / 2):
                    near.append((away, free.index(target)))
            if near:
                free.pop(min(near)[1])
                found += 1
            else:
                false += 1
    return found, false


PLACE = st.integers(0, 60).map(float)
BOX = st.tuples(PLACE, PLACE, st.integers(1, 30), st.integers(1, 30)).map(lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3]))
DETECTION = st.tuples(PLACE, PLACE, st.integers(0, 5).map(lambda tenth: tenth / 8))
FRAMES = st.lists(st.tuples(st.lists(DETECTION, max_size=6), st.lists(BOX, max_size=3, unique=True)), min_size=1, max_size=5)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(FRAMES, st.sampled_from([0.2, 0.3, 0.5, 1.0, 2.0]))
def test_every_threshold_and_rate_agree_with_a_slow_count(frames: list[Frame], rate: float) -> None:
    curve = counted(*frames).compute()
    num_targets = sum(len(targets) for _, targets in frames)
    scores = sorted({score for detections, _ in frames for *_, score in detections}, reverse=True)
    assert curve.thresholds_T.tolist() == scores
    counts = [slow_counts(frames, score) for score in scores]
    np.testing.assert_allclose(curve.false_per_frame_T, [false / len(frames) for _, false in counts])
    at = curve.at(rate)
    if not num_targets or rate * len(frames) < 1:
        assert math.isnan(at.pd)
        return
    np.testing.assert_allclose(curve.pd_T, [found / num_targets for found, _ in counts])
    assert at.pd == pytest.approx(max([found / num_targets for found, false in counts if false <= rate * len(frames)], default=0))
    assert at.false_per_frame <= rate
