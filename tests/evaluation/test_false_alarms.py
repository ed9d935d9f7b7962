"""Least scores for a wanted number of false alarms: hours, bounds, and whether the promise is kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.false_alarms import CONFIDENCE, coverage, least_score, rate_at, upper_rate


@pytest.mark.parametrize(
    ("times_s", "seconds", "gaps"),
    [
        pytest.param([], 0, 0, id="nothing"),
        pytest.param([7, 7], 0, 0, id="one moment"),
        pytest.param([0, 1, 2, 3], 4, 0, id="steady"),
        pytest.param([3, 1, 0, 2, 2], 4, 0, id="any order, one moment twice"),
        pytest.param([0, 1, 2, 3, 100, 101], 6, 1, id="a gap"),
        pytest.param([0, 1, 2, 3, 8, 9], 10, 0, id="a few frames dropped are no gap"),
        pytest.param([0, 1, 50, 51, 52, 90, 91, 92], 8, 2, id="bursts"),
    ],
)
def test_frames_cover_the_time_to_the_next_one_but_no_gap(times_s: list[float], seconds: float, gaps: int) -> None:
    found = coverage(np.array(times_s, np.float64))
    assert found.hours == pytest.approx(seconds / 3600)
    assert found.num_gaps == gaps
    assert found.interval_s == 1 or math.isnan(found.interval_s)


def test_capture_times_of_this_century_keep_their_milliseconds() -> None:
    found = coverage(1_772_000_000 + np.arange(36_001) / 100)
    assert found.interval_s == pytest.approx(0.01, rel=1e-4)
    assert found.hours == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize(("num", "bound"), [(0, 2.996), (1, 4.744), (2, 6.296), (5, 10.513), (10, 16.962)])
def test_bounds_are_those_of_the_tables(num: int, bound: float) -> None:
    """One-sided 95 % limits of a Poisson mean, as in Garwood's table."""
    assert upper_rate(num, 1.0) == pytest.approx(bound, abs=1e-3)
    assert upper_rate(num, 4.0) == pytest.approx(bound / 4, abs=1e-3)
    assert upper_rate(num, 0.0) == math.inf


def test_by_hand() -> None:
    """Ten an hour in one hour: five may stay (at most 10.5 is too many), so four do (9.15)."""
    scores = np.array([0.99, 0.95, 0.91, 0.87, 0.83, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1], np.float32)
    found = least_score(scores, 1.0, 10.0)
    assert found.promised is not None
    assert found.counted is not None
    assert (found.promised.score, found.promised.num, found.promised.per_hour) == (0.84, 4, 4.0)
    assert found.promised.at_most == pytest.approx(9.154, abs=1e-3)
    # Ten were counted at most: of the two that score 0.1 neither may stay.
    assert (found.counted.score, found.counted.num) == (0.11, 9)
    assert found.least_hours == pytest.approx(0.2996, abs=1e-4)


@pytest.mark.parametrize(
    ("hours", "max_per_hour", "promise"),
    [(0.2, 1, False), (2.9, 1, False), (3.0, 1, True), (0.0, 1000, False), (29, 0.1, False), (30, 0.1, True)],
)
def test_too_few_hours_promise_nothing_even_if_they_are_silent(hours: float, max_per_hour: float, promise: bool) -> None:
    found = least_score(np.zeros(0, np.float32), hours, max_per_hour)
    assert (found.promised is not None) == promise
    assert (hours >= found.least_hours) == promise
    assert found.counted == rate_at(np.zeros(0), 0.0, hours) or hours == 0


def test_nothing_has_to_go_where_all_is_rare() -> None:
    found = least_score(np.array([0.3, 0.9]), 100.0, 1.0)
    assert found.promised is not None
    assert (found.promised.score, found.promised.num) == (0.0, 2)


def test_where_too_many_have_the_highest_score_no_score_can_part_them() -> None:
    found = least_score(np.ones(50), 10.0, 1.0)
    assert (found.promised, found.counted) == (None, None)


def test_saturated_scores_are_parted_by_as_many_decimals_as_it_takes() -> None:
    low, high = np.nextafter(np.float32(1), np.float32(0)), np.float32(1)
    found = least_score(np.array([low] * 20 + [high], np.float32), 5.0, 1.0)
    assert found.promised is not None
    assert found.promised.num == 1
    assert low < np.float32(found.promised.score) <= high


@pytest.mark.parametrize(
    ("scores", "rate"), [([1.5], 1.0), ([-0.1], 1.0), ([math.nan], 1.0), ([0.5], 0.0), ([0.5], -1.0), ([0.5], math.inf)]
)
def test_what_makes_no_sense_is_refused(scores: list[float], rate: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        least_score(np.array(scores), 1.0, rate)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1, width=32), max_size=60), st.floats(0.1, 50), st.floats(0.1, 50))
def test_the_lowest_score_that_does_is_taken(scores: list[float], hours: float, max_per_hour: float) -> None:
    values = np.array(scores, np.float32)
    promised = least_score(values, hours, max_per_hour).promised
    if promised is None:
        assert (
            upper_rate(int((values == values.max()).sum()) if len(values) else 0, hours) > max_per_hour
            or upper_rate(0, hours) > max_per_hour
        )
        return
    assert promised == rate_at(values, promised.score, hours)
    assert promised.at_most <= max_per_hour
    lower = values[values < np.float32(promised.score)]
    if len(lower):  # with the next detection, too, it would be too many
        assert upper_rate(int((values >= lower.max()).sum()), hours) > max_per_hour


def test_the_promise_is_kept_as_often_as_it_says() -> None:
    """Hours in which 200 false alarms come on average, scores uniform: at 0.95 there are 10 an hour, so no lower score may be promised."""
    rng = np.random.default_rng(5)
    broken, num_trials, hours = 0, 2_000, 2.0
    for _ in range(num_trials):
        promised = least_score(rng.random(rng.poisson(200 * hours)).astype(np.float32), hours, 10.0).promised
        assert promised is not None
        broken += promised.score < 0.95
    share = broken / num_trials
    assert share <= 1 - CONFIDENCE + 3 * math.sqrt(0.05 * 0.95 / num_trials)
    assert share > 0.01  # and it is not bought by removing far more than needed
