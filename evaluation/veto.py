"""Clutter told from targets by a score: how many false alarms a veto removes, at what loss of targets."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOST = 0.01
"""Share of true targets that a veto may cost."""


@dataclass(frozen=True, slots=True)
class Veto:
    """A veto of everything whose clutter score is at least `score`.

    Attributes:
        score: lowest clutter score that is vetoed; NaN where nothing can be said.
        lost: share of true targets that are vetoed.
        vetoed: share of false alarms that are vetoed.
        targets: true targets.
        false_alarms: false alarms.
    """

    score: float
    lost: float
    vetoed: float
    targets: int
    false_alarms: int


def best_veto(clutter_scores_N: NDArray[np.floating], is_clutter_N: NDArray[np.bool_], lost: float = LOST) -> Veto:
    """The lowest score that costs at most a share of the targets.

    Args:
        clutter_scores_N: in [0, 1], of targets and false alarms.
        is_clutter_N: true for false alarms.
        lost: share of the targets that may be vetoed.

    Raises:
        ValueError: not one truth for each score.
    """
    if clutter_scores_N.shape != is_clutter_N.shape or clutter_scores_N.ndim != 1:
        raise ValueError(f"expected one truth for each score, got shapes {clutter_scores_N.shape} and {is_clutter_N.shape}")
    targets, alarms = clutter_scores_N[~is_clutter_N], clutter_scores_N[is_clutter_N]
    if not len(targets) or not len(alarms):
        return Veto(math.nan, math.nan, math.nan, len(targets), len(alarms))
    # Scores that occur among the false alarms: another one would veto no more of them and maybe more targets.
    for score in np.unique(alarms):
        share = float((targets >= score).mean())
        if share <= lost:
            return Veto(float(score), share, float((alarms >= score).mean()), len(targets), len(alarms))
    return Veto(math.nan, 0.0, 0.0, len(targets), len(alarms))
