"""Fit the temperature of a classifier, so that its scores say how often its answers are right.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2, arXiv:1706.04599.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

LEAST_CROPS = 20
"""Crops below which nothing can be said."""
_LEAST_SCORE = 1e-12
_RANGE = (math.log(0.2), math.log(5.0))


def fit_temperature(scores_NK: NDArray[np.floating], true_N: NDArray[np.integer]) -> float | None:
    """The temperature with the best likelihood: `softmax(log(scores) / temperature)`; the best class of a crop stays the best.

    Args:
        scores_NK: rows that sum to 1, of crops that were not learnt from.
        true_N: their classes.

    Returns:
        From 0.2 to 5; None with fewer than `LEAST_CROPS` crops.

    Raises:
        ValueError: not one row for each crop.
    """
    if scores_NK.ndim != 2 or len(scores_NK) != len(true_N):
        raise ValueError(f"expected one row of scores for each of {len(true_N)} crops, got {scores_NK.shape}")
    if len(true_N) < LEAST_CROPS:
        return None
    logits_NK = np.log(np.maximum(scores_NK.astype(np.float64), _LEAST_SCORE))
    rows_N = np.arange(len(true_N))

    def surprise(log_temperature: float) -> float:
        return -float(special.log_softmax(logits_NK / math.exp(log_temperature), axis=1)[rows_N, true_N].mean())

    return math.exp(float(optimize.minimize_scalar(surprise, bounds=_RANGE, method="bounded").x))
