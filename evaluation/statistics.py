"""Statistics of figures that repeat over folds, and comparisons of networks on the same folds.

Folds share most of their training images, so that the differences over folds are not independent, and the plain paired t-test finds
differences too easily. The test of Nadeau and Bengio allows for that, and is the one to trust.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Summary:
    """A figure over folds.

    Attributes:
        num: values that are numbers.
        mean: of these; NaN without any.
        sd: standard deviation with `num - 1` below (ddof 1); NaN for fewer than two.
        low: of the 95 % interval of the mean by Student's t; NaN for fewer than two.
        high: likewise.
    """

    num: int
    mean: float
    sd: float
    low: float
    high: float


def summarise(values: Sequence[float], confidence: float = _CONFIDENCE) -> Summary:
    """Mean, standard deviation and t interval; values that are no numbers are left out."""
    kept = np.array([value for value in values if math.isfinite(value)], np.float64)
    if len(kept) == 0:
        return Summary(0, math.nan, math.nan, math.nan, math.nan)
    mean = float(kept.mean())
    if len(kept) == 1:
        return Summary(1, mean, math.nan, math.nan, math.nan)
    sd = float(kept.std(ddof=1))
    half = float(stats.t.ppf((1 + confidence) / 2, len(kept) - 1)) * sd / math.sqrt(len(kept))
    return Summary(len(kept), mean, sd, mean - half, mean + half)


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Comparison of two networks on the same folds.

    Attributes:
        num: folds where both have a figure.
        difference: mean of second less first.
        low: of the interval of the difference that belongs to the corrected test.
        high: likewise.
        t: of the plain paired test.
        p: of the plain paired test, two-sided.
        t_corrected: of the test of Nadeau and Bengio.
        p_corrected: likewise, two-sided.
        cohen_d: mean difference over the standard deviation of the differences.
    """

    num: int
    difference: float
    low: float
    high: float
    t: float
    p: float
    t_corrected: float
    p_corrected: float
    cohen_d: float


def compare_paired(first: Sequence[float], second: Sequence[float], test_share: float, confidence: float = _CONFIDENCE) -> PairedTest:
    """Paired t-test and its correction for folds that share training images.

    The corrected statistic has the variance `(1 / k + n_test / n_train) * s^2` in place of `s^2 / k`, with `k - 1` degrees of freedom.
    Differences that are all alike have no spread: t is infinite, p is 0; where they are all 0, t is 0 and p is 1.

    Args:
        first: a figure by fold.
        second: the same of the other network, on the same folds in the same order.
        test_share: images that a fold tests on over images that it learns from.
        confidence: of the interval.

    Raises:
        ValueError: lengths differ, or the share is not above 0.

    Source: Nadeau, Bengio, Inference for the generalization error, Machine Learning 52 (2003), section 3.
    """
    if len(first) != len(second):
        raise ValueError(f"expected figures of the same folds, got {len(first)} and {len(second)}")
    if not test_share > 0:
        raise ValueError(f"expected a share above 0, got {test_share:g}")
    every = np.array(second, np.float64) - np.array(first, np.float64)
    kept = every[np.isfinite(every)]
    num = len(kept)
    if num < 2:
        mean = float(kept.mean()) if num else math.nan
        return PairedTest(num, mean, *(math.nan,) * 7)
    mean, sd = float(kept.mean()), float(kept.std(ddof=1))
    plain, corrected = sd * math.sqrt(1 / num), sd * math.sqrt(1 / num + test_share)
    (t, p), (t_corrected, p_corrected) = (_student(mean, error, num - 1) for error in (plain, corrected))
    half = float(stats.t.ppf((1 + confidence) / 2, num - 1)) * corrected
    return PairedTest(num, mean, mean - half, mean + half, t, p, t_corrected, p_corrected, mean / sd if sd else _student(mean, 0.0, 1)[0])


def _student(mean: float, error: float, freedom: int) -> tuple[float, float]:
    """Statistic and two-sided probability."""
    if error == 0:
        return (0.0, 1.0) if mean == 0 else (math.copysign(math.inf, mean), 0.0)
    t = mean / error
    return t, float(2 * stats.t.sf(abs(t), freedom))


@dataclass(frozen=True, slots=True)
class Variance:
    """One-way analysis of variance, and which groups differ.

    Attributes:
        f: ratio of the variances between and within groups.
        p: of all groups being alike.
        tukey: by pair of names, difference of means (second less first) and its probability (Tukey's honest significance).
    """

    f: float
    p: float
    tukey: Mapping[tuple[str, str], tuple[float, float]]


def analyse_variance(groups: Mapping[str, Sequence[float]]) -> Variance:
    """One-way ANOVA over groups of figures, with Tukey's comparison of each pair.

    Raises:
        ValueError: fewer than two groups, or one with fewer than two values.
    """
    if len(groups) < 2 or any(len(values) < 2 for values in groups.values()):
        sizes = ", ".join(f"{name} {len(values)}" for name, values in groups.items())
        raise ValueError(f"expected at least two groups of at least two values, got {sizes or 'none'}")
    names, values = list(groups), [np.asarray(each, np.float64) for each in groups.values()]
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)  # groups without any spread: infinite, or no number
        f, p = stats.f_oneway(*values)
        honest = stats.tukey_hsd(*values).pvalue
    pairs = [(one, other) for one in range(len(names)) for other in range(one + 1, len(names))]
    tukey = {
        (names[one], names[other]): (float(values[other].mean() - values[one].mean()), float(honest[one, other])) for one, other in pairs
    }
    return Variance(float(f), float(p), tukey)


@dataclass(frozen=True, slots=True)
class ScenesTest:
    """Comparison of two networks on the same images, none of which either has learnt from.

    Attributes:
        num: scenes.
        first: mean over scenes of the first network's means.
        second: likewise.
        difference: second less first.
        low: of the 95 % t interval of the difference; NaN for fewer than two scenes.
        high: likewise.
        t: of the paired t-test over scenes.
        p: likewise, two-sided.
    """

    num: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    t: float
    p: float


def compare_scenes(first: Sequence[float], second: Sequence[float], scenes: Sequence[str], confidence: float = _CONFIDENCE) -> ScenesTest:
    """Paired t-test over the means of scenes: images of one scene are alike, and count together as one observation.

    Args:
        first: a figure by image; images where it is no number in either are left out.
        second: the same of the other network, on the same images in the same order.
        scenes: of each image.
        confidence: of the interval.

    Raises:
        ValueError: lengths differ.
    """
    if not len(first) == len(second) == len(scenes):
        raise ValueError(f"expected figures of the same images, got {len(first)}, {len(second)} and {len(scenes)}")
    one_N, other_N = np.array(first, np.float64), np.array(second, np.float64)
    kept_N = np.isfinite(one_N) & np.isfinite(other_N)
    if not kept_N.any():
        return ScenesTest(0, *(math.nan,) * 7)
    _, scene_M = np.unique(np.array(scenes, object)[kept_N].astype(str), return_inverse=True)
    sizes_S = np.bincount(scene_M)
    one_S, other_S = (np.bincount(scene_M, each[kept_N]) / sizes_S for each in (one_N, other_N))
    differences_S, num = other_S - one_S, len(sizes_S)
    means = float(one_S.mean()), float(other_S.mean()), float(differences_S.mean())
    if num < 2:
        return ScenesTest(num, *means, *(math.nan,) * 4)
    error = float(differences_S.std(ddof=1)) / math.sqrt(num)
    t, p = _student(means[2], error, num - 1)
    half = float(stats.t.ppf((1 + confidence) / 2, num - 1)) * error
    return ScenesTest(num, *means, means[2] - half, means[2] + half, t, p)
