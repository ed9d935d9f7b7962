"""The score of a region: the probability that it is a target.

A segmenter's probabilities say of pixels how much they are target; most regions have pixels above 0.99, real or not. How often regions
whose best pixel is so sure were targets on held-out images says what that is worth: a straight line between logits, kept in the card.

Source: Platt, Probabilistic outputs for support vector machines, 1999.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Nearer to 0 and 1 float32 has no numbers to tell probabilities apart.
_LEAST = 1e-7


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """Scores from the probabilities of the surest pixels: `sigmoid(slope * logit + offset)`.

    Attributes:
        slope: above 0, so that no two regions change places; 1 and an offset of 0 keep the probability.
        offset: added to the logit.
    """

    slope: float = 1.0
    offset: float = 0.0

    def of(self, peaks_N: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores `(n,)` in (0, 1) of probabilities `(n,)` in [0, 1]."""
        return 1 / (1 + np.exp(-(self.slope * logits_of(peaks_N) + self.offset)))


def logits_of(probabilities_N: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logits `(n,)` of probabilities `(n,)`, within 16.1 of 0."""
    inside_N = np.clip(probabilities_N.astype(np.float64), _LEAST, 1 - _LEAST)
    logits_N: NDArray[np.float64] = np.log(inside_N / (1 - inside_N))
    return logits_N
