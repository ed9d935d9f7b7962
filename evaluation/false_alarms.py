"""A least score for a wanted number of false alarms an hour, from hours without labels.

Targets are rare, so nearly all that a network finds in a sensor's own hours is false, and the tail of the scores says how often a
score is reached by mistake. The number above a score is taken as Poisson distributed: its one-sided upper bound of the rate is

    rate <= chi2.ppf(0.95, 2 * (num + 1)) / (2 * hours) = gammaincinv(num + 1, 0.95) / hours

so an hour without any false alarm proves no less than 3.0 an hour at 95 %. The bound also holds for a score that was chosen by it:
the lowest score with few enough above it lies too low only where the score at which the rate is just right has too few above it.

Source: Garwood, Fiducial Limits for the Poisson Distribution, Biometrika 28, 1936.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

CONFIDENCE = 0.95
# A frame that comes later than so many usual intervals comes after a gap: nobody looked meanwhile.
_GAP_INTERVALS = 5.0
_SECONDS_PER_HOUR = 3600.0
_MAX_DECIMALS = 9


@dataclass(frozen=True, slots=True)
class Coverage:
    """The time that frames cover.

    Attributes:
        hours: each frame covers the time until the next one, at a gap and at the end one usual interval.
        interval_s: usual time between frames, the median; NaN below two moments.
        num_gaps: pauses longer than five usual intervals.
    """

    hours: float
    interval_s: float
    num_gaps: int


@dataclass(frozen=True, slots=True)
class RateAt:
    """Detections that reach a score.

    Attributes:
        score: the least score.
        num: detections with this score or more.
        per_hour: their number an hour; NaN without hours.
        at_most: upper bound of the rate at the confidence; infinite without hours.
    """

    score: float
    num: int
    per_hour: float
    at_most: float


@dataclass(frozen=True, slots=True)
class LeastScore:
    """The lowest score that keeps a rate.

    Attributes:
        promised: its rate is at most the wanted one at the confidence; None where none can be.
        counted: the number that was counted, divided by the hours, is at most the wanted one; None where too many have the highest score.
        least_hours: hours that a promise needs where nothing at all is found in them.
    """

    promised: RateAt | None
    counted: RateAt | None
    least_hours: float


def coverage(times_s_N: NDArray[np.floating]) -> Coverage:
    """The time that frames cover, gaps left out.

    Args:
        times_s_N: capture times in seconds, in any order; several frames of one moment count once.
    """
    steps_s = np.diff(np.unique(times_s_N))
    if not len(steps_s):
        return Coverage(0.0, math.nan, 0)
    interval_s = float(np.median(steps_s))
    gaps = steps_s > _GAP_INTERVALS * interval_s
    covered_s = float(steps_s[~gaps].sum()) + interval_s * (int(gaps.sum()) + 1)
    return Coverage(covered_s / _SECONDS_PER_HOUR, interval_s, int(gaps.sum()))


def upper_rate(num: int, hours: float) -> float:
    """Upper bound, at the confidence, of the rate of events of which so many were counted; infinite without hours."""
    return float(gammaincinv(num + 1, CONFIDENCE)) / hours if hours > 0 else math.inf


def rate_at(scores_N: NDArray[np.floating], score: float, hours: float) -> RateAt:
    """Detections that reach a score, as float32, which is what scores are.

    Args:
        scores_N: of all detections.
        score: the least score.
        hours: that the frames cover.
    """
    num = int((scores_N.astype(np.float32) >= np.float32(score)).sum())
    return RateAt(score, num, num / hours if hours > 0 else math.nan, upper_rate(num, hours))


def least_score(scores_N: NDArray[np.floating], hours: float, max_per_hour: float) -> LeastScore:
    """The lowest least score that keeps a rate, with few decimals; 0 where nothing has to go.

    Args:
        scores_N: of all detections, in [0, 1].
        hours: that the frames cover.
        max_per_hour: the rate that is wanted.

    Raises:
        ValueError: a score outside [0, 1], or a rate that is not above 0.
    """
    if not ((scores_N >= 0) & (scores_N <= 1)).all():
        raise ValueError("expected scores in [0, 1]")
    if not (math.isfinite(max_per_hour) and max_per_hour > 0):
        raise ValueError(f"expected a rate above 0, got {max_per_hour}")
    falling = np.sort(scores_N.astype(np.float32))[::-1]
    by_count = math.floor(max_per_hour * hours * (1 + 1e-12))  # 0.1 an hour in 30 hours are 3, whatever the last bit says
    return LeastScore(
        promised=_cut(falling, _most_that_promise(hours, max_per_hour), hours),
        counted=_cut(falling, by_count, hours),
        least_hours=upper_rate(0, 1.0) / max_per_hour,
    )


def _most_that_promise(hours: float, max_per_hour: float) -> int:
    """Most events whose upper rate is low enough; -1 where even none is too many."""
    low, high = -1, math.floor(max_per_hour * hours)  # the bound is above the rate that was counted
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if upper_rate(middle, hours) <= max_per_hour else (low, middle - 1)
    return low


def _cut(falling_N: NDArray[np.float32], most: int, hours: float) -> RateAt | None:
    """The lowest score that at most `most` detections reach."""
    if most < 0:
        return None
    if most >= len(falling_N):
        return rate_at(falling_N, 0.0, hours)
    too_many = falling_N[most]  # the best that has to go, and with it all of its score
    above = falling_N[falling_N > too_many]
    score = _between(too_many, above[-1] if len(above) else np.float32(1))
    return None if score is None else rate_at(falling_N, score, hours)


def _between(below: np.float32, reached: np.float32) -> float | None:
    """The number with the fewest decimals above `below` and at most `reached`, as float32; None where there is none."""
    for decimals in range(2, _MAX_DECIMALS + 1):
        scale = 10**decimals
        # The second one where the first is `below` itself, as float32.
        for step in (1, 2):
            score: float = (math.floor(float(below) * scale) + step) / scale
            if below < np.float32(score) <= reached:
                return score
    return float(reached) if reached > below else None
