"""Fit the map from the probability of a region's surest pixel to its score, so that scores say how often such regions are targets.

Logistic regression on the logit, with Platt's softened targets: with few regions it says less than the regions themselves would.

Source: Platt, Probabilistic outputs for support vector machines, 1999, section 2.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from models.scores import ScoreMap, logits_of

LEAST_OF_EACH = 10
"""Targets, and as many others, below which nothing can be said."""
# Scores keep their order whatever is found.
_LEAST_SLOPE = 0.05


def fit_score_map(peaks_N: NDArray[np.floating], hits_N: NDArray[np.bool_]) -> ScoreMap | None:
    """Fit to regions of images that were not learnt from.

    Args:
        peaks_N: probabilities of the surest pixels, in [0, 1].
        hits_N: whether each region is a target.

    Returns:
        The map, or None with fewer than `LEAST_OF_EACH` targets or others.

    Raises:
        ValueError: not one for each.
    """
    if peaks_N.shape != hits_N.shape or peaks_N.ndim != 1:
        raise ValueError(f"expected one hit for each region, got shapes {peaks_N.shape} and {hits_N.shape}")
    num_hits, num_others = int(hits_N.sum()), int((~hits_N).sum())
    if min(num_hits, num_others) < LEAST_OF_EACH:
        return None
    logits_N = logits_of(peaks_N)
    wanted_N = np.where(hits_N, (num_hits + 1) / (num_hits + 2), 1 / (num_others + 2))

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        answers_N = line[0] * logits_N + line[1]
        slack_N = special.expit(answers_N) - wanted_N
        return float((np.logaddexp(0, answers_N) - wanted_N * answers_N).sum()), np.array([slack_N @ logits_N, slack_N.sum()])

    best = optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(_LEAST_SLOPE, None), (None, None)])
    return ScoreMap(slope=float(best.x[0]), offset=float(best.x[1]))
