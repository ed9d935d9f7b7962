"""Statistics of folds against worked examples and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evaluation.statistics import analyse_variance, compare_paired, compare_scenes, summarise

# The weight gain example of scipy's and many textbooks' paired test: ten subjects before and after.
BEFORE = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
AFTER = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_student_1908_sleep_data() -> None:
    # Student, The probable error of a mean, Biometrika 6 (1908): mean 1.58, SD 1.23 (ddof 1), t = 4.06, p = 0.0028.
    found = compare_paired(BEFORE, AFTER, 0.25)
    assert found.difference == pytest.approx(1.58)
    assert found.t == pytest.approx(4.0621, abs=1e-4)
    assert found.p == pytest.approx(0.00283, abs=1e-5)
    assert found.cohen_d == pytest.approx(1.58 / 1.22995, abs=1e-4)
    assert (found.t, found.p) == pytest.approx(tuple(stats.ttest_rel(AFTER, BEFORE)))


def test_images_of_a_scene_count_as_one_observation() -> None:
    # Student's ten pairs as the means of ten scenes of three images each, one of which says nothing in one of the networks.
    scenes = [f"scene{number}" for number in range(10) for _ in range(3)]
    before = [value for mean in BEFORE for value in (mean - 1, mean + 1, 50.0)]
    after = [value for mean in AFTER for value in (mean + 2, mean - 2, math.nan)]
    found = compare_scenes(before, after, scenes)
    assert found.num == 10
    assert found.difference == pytest.approx(1.58)
    assert (found.t, found.p) == pytest.approx((4.0621, 0.00283), abs=1e-4)
    assert found.low == pytest.approx(1.58 - 2.26216 * 1.58 / 4.0621, abs=1e-3)
    assert math.isnan(compare_scenes([0.1, 0.2], [0.3, 0.4], ["one", "one"]).p)


def test_the_correction_by_hand() -> None:
    # Differences 1, 2, 3, 4, 5: mean 3, variance 2.5; five folds, test a quarter of training: sqrt(2.5 * (1/5 + 1/4)) = 1.06066.
    found = compare_paired([0.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0], 0.25)
    assert found.t == pytest.approx(3 / math.sqrt(0.5))
    assert found.t_corrected == pytest.approx(3 / 1.0606602)
    assert found.p_corrected == pytest.approx(2 * stats.t.sf(2.8284271, 4))
    assert (found.low, found.high) == pytest.approx((3 - 2.7764451 * 1.0606602, 3 + 2.7764451 * 1.0606602), abs=1e-5)
    assert found.p < found.p_corrected


def test_mean_sd_and_interval_by_hand() -> None:
    # Mean 5, SD sqrt(32/7) = 2.138, t(7) = 2.36462: half width 2.36462 * 2.13809 / sqrt(8) = 1.78748.
    found = summarise([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert (found.num, found.mean) == (8, 5.0)
    assert found.sd == pytest.approx(2.13809, abs=1e-5)
    assert (found.low, found.high) == pytest.approx((5 - 1.78748, 5 + 1.78748), abs=1e-4)


def test_what_is_no_number_is_left_out_on_both_sides() -> None:
    assert summarise([1.0, math.nan, 3.0]) == summarise([1.0, 3.0])
    assert summarise([2.0]).num == 1
    assert math.isnan(summarise([2.0]).sd)
    assert math.isnan(summarise([]).mean)
    assert compare_paired([1.0, math.nan, 2.0], [2.0, 5.0, 4.0], 0.25) == compare_paired([1.0, 2.0], [2.0, 4.0], 0.25)
    assert math.isnan(compare_paired([1.0], [2.0], 0.25).p)


def test_differences_without_spread() -> None:
    alike = compare_paired([1.0, 2.0], [1.0, 2.0], 0.25)
    assert (alike.t, alike.p, alike.p_corrected, alike.cohen_d) == (0.0, 1.0, 1.0, 0.0)
    better = compare_paired([1.0, 2.0], [2.0, 3.0], 0.25)
    assert (better.t, better.p, better.p_corrected) == (math.inf, 0.0, 0.0)


@pytest.mark.parametrize(("first", "second", "share"), [([1.0], [1.0, 2.0], 0.25), ([1.0, 2.0], [1.0, 2.0], 0.0)])
def test_what_cannot_be_paired_is_refused(first: list[float], second: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        compare_paired(first, second, share)


def test_variance_of_the_textbook_example() -> None:
    # Three groups of a worked one-way ANOVA: means 5, 9, 10; between 84 / 2 = 42, within 68 / 15 = 4.53: F = 9.26.
    groups = {"a": [6.0, 8, 4, 5, 3, 4], "b": [8.0, 12, 9, 11, 6, 8], "c": [13.0, 9, 11, 8, 7, 12]}
    found = analyse_variance(groups)
    assert found.f == pytest.approx(9.2647, abs=1e-4)
    assert found.p == pytest.approx(0.0024, abs=1e-4)
    assert found.tukey["a", "b"][0] == pytest.approx(4.0)
    # Honest significant difference at 5 %: 3.67 * sqrt(4.533 / 6) = 3.19, so a differs from both, b not from c.
    assert [found.tukey[pair][1] < 0.05 for pair in (("a", "b"), ("a", "c"), ("b", "c"))] == [True, True, False]
    with pytest.raises(ValueError, match="two groups"):
        analyse_variance({"a": [1.0, 2.0]})


def test_the_corrected_test_keeps_its_promise_where_the_plain_one_does_not() -> None:
    # Two networks that are alike: differences over five folds, correlated as shared training images make them, n_test / (n_test + n_train).
    rng, correlation = np.random.default_rng(5), 0.2
    shared, own = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 5))
    differences = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
    tests = [compare_paired([0.0] * 5, row.tolist(), 0.25) for row in differences[:1500]]
    assert np.mean([each.p_corrected < 0.05 for each in tests]) == pytest.approx(0.05, abs=0.015)
    assert np.mean([each.p < 0.05 for each in tests]) > 0.1
