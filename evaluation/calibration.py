"""Scores as probabilities: of detections that score 0.8, four of five should be targets.

The expected calibration error (ECE) is the mean, over all detections, of the distance between the mean score of a bin and the share
of its detections that are targets. Bins of equal width are usual and compare with papers; saturated scores leave nearly all of them
empty, so bins of equal numbers are counted too.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv:1706.04599; equal numbers: Nixon et al., Measuring
Calibration in Deep Learning, CVPR Workshops 2019, arXiv:1904.01685.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 10
_EDGES = np.arange(1, NUM_BINS) / NUM_BINS


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Detections of about one score.

    Attributes:
        low, high: lowest and highest score among them.
        num: how many.
        score: their mean score.
        share: of them that are targets.
    """

    low: float
    high: float
    num: int
    score: float
    share: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Distance of scores from probabilities.

    Attributes:
        ece: expected calibration error over bins of equal width; NaN without detections.
        ece_mass: the same over bins of equal numbers.
        widths: bins of equal width that hold anything, by rising score: the reliability diagram.
        masses: bins of equal numbers; detections of one score share a bin, so there may be fewer.
    """

    ece: float
    ece_mass: float
    widths: tuple[ReliabilityBin, ...]
    masses: tuple[ReliabilityBin, ...]


def calibrate(scores_N: NDArray[np.floating], hits_N: NDArray[np.bool_]) -> Calibration:
    """Compare scores with what became of them.

    Args:
        scores_N: in [0, 1].
        hits_N: whether each detection is a target.

    Raises:
        ValueError: not one for each, or a score outside [0, 1].
    """
    if scores_N.shape != hits_N.shape or scores_N.ndim != 1:
        raise ValueError(f"expected one hit for each score, got shapes {scores_N.shape} and {hits_N.shape}")
    if not ((scores_N >= 0) & (scores_N <= 1)).all():
        raise ValueError("expected scores in [0, 1]")
    order = np.argsort(scores_N, kind="stable")
    scores, hits = scores_N[order].astype(np.float64), hits_N[order]
    widths = _bins(scores, hits, np.searchsorted(scores, _EDGES))
    masses = _bins(scores, hits, _equal_cuts(scores))
    return Calibration(ece=_error(widths), ece_mass=_error(masses), widths=widths, masses=masses)


def _equal_cuts(scores_N: NDArray[np.float64]) -> NDArray[np.int64]:
    if not len(scores_N):
        return np.zeros(0, np.int64)
    # A cut within detections of one score goes before the first of them: which of them came first means nothing.
    return np.searchsorted(scores_N, scores_N[len(scores_N) * np.arange(1, NUM_BINS) // NUM_BINS])


def _bins(scores_N: NDArray[np.float64], hits_N: NDArray[np.bool_], cuts: NDArray[np.int64]) -> tuple[ReliabilityBin, ...]:
    """Sorted detections, cut before some of them; empty parts are left out."""
    parts = zip(np.split(scores_N, cuts), np.split(hits_N, cuts), strict=True)
    return tuple(
        ReliabilityBin(float(scores[0]), float(scores[-1]), len(scores), float(scores.mean()), float(hits.mean()))
        for scores, hits in parts
        if len(scores)
    )


def _error(bins: tuple[ReliabilityBin, ...]) -> float:
    num = sum(each.num for each in bins)
    return sum(each.num * abs(each.score - each.share) for each in bins) / num if num else math.nan
