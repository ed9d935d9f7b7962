"""Calibration errors: by hand, against a slow mean over bins, and what ties must not change."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.calibration import NUM_BINS, calibrate


def test_two_bins_by_hand() -> None:
    # 0.2 and 0.22: mean 0.21, none a target; three of 0.8: two are.
    found = calibrate(np.array([0.8, 0.2, 0.8, 0.22, 0.8]), np.array([True, False, False, False, True]))
    assert [each.num for each in found.widths] == [2, 3]
    assert [each.score for each in found.widths] == pytest.approx([0.21, 0.8])
    assert [each.share for each in found.widths] == pytest.approx([0, 2 / 3])
    assert (found.widths[0].low, found.widths[0].high) == (0.2, 0.22)
    assert found.ece == pytest.approx((2 * 0.21 + 3 * (0.8 - 2 / 3)) / 5)
    # Equal numbers: 0.2 and 0.22 have bins of their own.
    assert [each.num for each in found.masses] == [1, 1, 3]
    assert found.ece_mass == pytest.approx((0.2 + 0.22 + 3 * (0.8 - 2 / 3)) / 5)


def test_probabilities_have_no_error_and_saturated_scores_have_all_of_it() -> None:
    scores = np.repeat(np.arange(1, 10) / 10, 10) + 0.001
    hits = np.concatenate([np.arange(10) < tenth for tenth in range(1, 10)])
    assert calibrate(scores, hits).ece == pytest.approx(0.001)
    assert calibrate(np.ones(50), np.zeros(50, bool)).ece == 1
    assert calibrate(np.ones(50), np.zeros(50, bool)).ece_mass == 1


def test_equal_numbers_see_what_equal_widths_hide() -> None:
    # Within 0.9 to 1 low scores are always right and high ones never: their mean is right.
    scores = np.concatenate([np.full(50, 0.901), np.full(50, 0.999)])
    hits = np.concatenate([np.ones(50, bool), np.zeros(50, bool)])
    found = calibrate(scores, hits)
    assert found.ece == pytest.approx(0.45)
    assert found.ece_mass == pytest.approx((0.099 + 0.999) / 2)


def test_without_detections_there_is_no_error() -> None:
    found = calibrate(np.zeros(0), np.zeros(0, bool))
    assert math.isnan(found.ece)
    assert math.isnan(found.ece_mass)
    assert found.widths == found.masses == ()


@pytest.mark.parametrize(
    ("scores", "hits", "text"),
    [([0.5], [True, False], "one hit for each"), ([1.5], [True], "in \\[0, 1\\]"), ([math.nan], [True], "in \\[0, 1\\]")],
)
def test_wrong_scores_are_refused(scores: list[float], hits: list[bool], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        calibrate(np.array(scores), np.array(hits))


DETECTIONS = st.lists(st.tuples(st.integers(0, 32).map(lambda part: part / 32), st.booleans()), min_size=1, max_size=60)


@settings(deadline=None)
@given(DETECTIONS, st.randoms(use_true_random=False))
def test_errors_agree_with_a_slow_mean_in_any_order(detections: list[tuple[float, bool]], chance: Random) -> None:
    def measured(rows: list[tuple[float, bool]]) -> tuple[float, float]:
        found = calibrate(np.array([score for score, _ in rows]), np.array([hit for _, hit in rows]))
        assert sum(each.num for each in found.widths) == sum(each.num for each in found.masses) == len(rows)
        return found.ece, found.ece_mass

    slow = 0.0
    for number in range(NUM_BINS):
        low, high = number / NUM_BINS, (number + 1) / NUM_BINS
        inside = [row for row in detections if low <= row[0] < high or (row[0] == 1 and high == 1)]
        slow += abs(sum(score - hit for score, hit in inside)) / len(detections)
    shuffled = list(detections)
    chance.shuffle(shuffled)
    ece, ece_mass = measured(detections)
    assert ece == pytest.approx(slow)
    assert measured(shuffled) == pytest.approx((ece, ece_mass))
