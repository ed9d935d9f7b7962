"""Accuracy against coverage: a classifier that gives no name below a score names fewer targets, and should name those better.

Source: Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, NeurIPS 2017, arXiv:1705.08500; the area under the
risk: Geifman et al., ICLR 2019, arXiv:1805.08206.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class AbstentionCurve:
    """Share of items that are named, and of these that are named right, where answers from a score on are given.

    Attributes:
        thresholds_T: the scores that occur, each once, falling.
        coverage_T: named items over all, rising.
        accuracy_T: right ones over named ones.
        aurc: area under the risk (1 - accuracy) over the coverage: the mean risk over items by falling score, items of one score counted at
            once; 0 is best. NaN without items.
    """

    thresholds_T: Floats
    coverage_T: Floats
    accuracy_T: Floats
    aurc: float

    def at_score(self, score: float) -> tuple[float, float]:
        """Coverage and accuracy where answers from this score on are given; accuracy is NaN where none is."""
        named = int(np.searchsorted(-self.thresholds_T, -score, side="right"))
        return (float(self.coverage_T[named - 1]), float(self.accuracy_T[named - 1])) if named else (0.0, math.nan)

    def at_coverage(self, coverage: float) -> tuple[float, float]:
        """Lowest score with at least this coverage, and the accuracy there; NaN without items.

        Raises:
            ValueError: it is not in (0, 1].
        """
        if not 0 < coverage <= 1:
            raise ValueError(f"expected a coverage above 0, at most 1, got {coverage}")
        if not len(self.thresholds_T):
            return math.nan, math.nan
        place = min(int(np.searchsorted(self.coverage_T, coverage - 1e-12)), len(self.coverage_T) - 1)
        return float(self.thresholds_T[place]), float(self.accuracy_T[place])


def abstain(scores_N: NDArray[np.floating], hits_N: NDArray[np.bool_]) -> AbstentionCurve:
    """The curve of some answers.

    Args:
        scores_N: of the best class of each item.
        hits_N: true where that class is right.

    Raises:
        ValueError: not one hit for each score.
    """
    if scores_N.shape != hits_N.shape or scores_N.ndim != 1:
        raise ValueError(f"expected one hit for each score, got shapes {scores_N.shape} and {hits_N.shape}")
    order = np.argsort(-scores_N, kind="stable")
    scores, right = scores_N[order].astype(np.float64), np.cumsum(hits_N[order])
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], [True] * bool(len(scores))))
    named = last + 1
    accuracy = right[last] / named
    sizes = np.diff(named, prepend=0)
    aurc = float(((1 - accuracy) * sizes).sum() / len(scores)) if len(scores) else math.nan
    return AbstentionCurve(scores[last], named / max(1, len(scores)), accuracy, aurc)
