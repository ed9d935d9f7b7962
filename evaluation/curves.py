"""Curves of a segmenter over all thresholds: ROC and precision-recall over pixels.

Probabilities are counted between thresholds, so memory does not grow with the data set. Networks are sure of most pixels: nearly
all background lies below 0.001 and a third of the targets above 0.999. So thresholds are 1/1000 apart, and 0.05 apart in the logit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LOGITS: Floats = np.arange(-600, 321) / 20
THRESHOLDS: Floats = np.unique(np.concatenate([np.arange(1000) / 1000, 1 / (1 + np.exp(-_LOGITS))]))
_NUM_BINS = len(THRESHOLDS) + 1


@dataclass(frozen=True, slots=True, eq=False)
class PixelCurves:
    """Rates at each threshold t: a pixel is a target when its probability is greater than t.

    Attributes:
        thresholds_T: rising, from 0 to just below 1.
        true_positive_rate_T: recall.
        false_positive_rate_T: background pixels taken for targets, over background pixels.
        precision_T: NaN where no pixel is left.
        iou_T: intersection over union.
        auc: area under the ROC curve.
        average_precision: area under the precision-recall curve (sum of precision times the step in recall).
    """

    thresholds_T: Floats
    true_positive_rate_T: Floats
    false_positive_rate_T: Floats
    precision_T: Floats
    iou_T: Floats
    auc: float
    average_precision: float

    @property
    def f1_T(self) -> Floats:
        """Harmonic mean of precision and recall, `2 iou / (1 + iou)`."""
        return 2 * self.iou_T / (1 + self.iou_T)


class CurveMetrics:
    """Counts image by image."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._targets = np.zeros(_NUM_BINS, np.int64)
        self._background = np.zeros(_NUM_BINS, np.int64)

    def update(self, probability_HW: NDArray[np.float32], target_HW: NDArray[np.bool_]) -> None:
        """Count one image.

        Args:
            probability_HW: `(H, W)` in [0, 1].
            target_HW: `(H, W)` bool, the truth.

        Raises:
            ValueError: shapes differ, the truth is not bool, or a probability is outside [0, 1].
        """
        if probability_HW.shape != target_HW.shape:
            raise ValueError(f"expected two maps of one shape (H, W), got {probability_HW.shape} and {target_HW.shape}")
        if target_HW.dtype != np.bool_:
            raise ValueError(f"expected a bool truth, got {target_HW.dtype}")
        if not (probability_HW.min(initial=0) >= 0 and probability_HW.max(initial=0) <= 1):
            raise ValueError("expected probabilities in [0, 1]")
        # Bin k holds what exceeds k thresholds, compared in the format of the probabilities as a mask is made.
        bins_HW = np.searchsorted(THRESHOLDS.astype(probability_HW.dtype), probability_HW)
        self._targets += np.bincount(bins_HW[target_HW], minlength=_NUM_BINS)
        self._background += np.bincount(bins_HW[~target_HW], minlength=_NUM_BINS)

    def compute(self) -> PixelCurves:
        """The curves so far."""
        positives, negatives = int(self._targets.sum()), int(self._background.sum())
        true_T, false_T = _above(self._targets), _above(self._background)
        with np.errstate(invalid="ignore", divide="ignore"):
            recall_T, fallout_T = true_T / positives, false_T / negatives
            precision_T = true_T / (true_T + false_T)
            iou_T = true_T / (positives + false_T)
        # From the highest threshold (nothing found) to below the lowest (everything found).
        falling = [np.concatenate([each[::-1], [1.0]]) for each in (recall_T, fallout_T)]
        steps_T = np.diff(np.concatenate([[0.0], falling[0]]))
        prevalence = positives / max(positives + negatives, 1)
        reached_T = np.concatenate([precision_T[::-1], [prevalence]])
        return PixelCurves(
            thresholds_T=THRESHOLDS,
            true_positive_rate_T=recall_T,
            false_positive_rate_T=fallout_T,
            precision_T=precision_T,
            iou_T=iou_T,
            auc=float(np.trapezoid(np.concatenate([[0.0], falling[0]]), np.concatenate([[0.0], falling[1]]))),
            average_precision=float(np.sum(steps_T * np.nan_to_num(reached_T))) if positives else float("nan"),
        )


def _above(counts: NDArray[np.int64]) -> Floats:
    """Pixels in the bins above each threshold."""
    return counts[::-1].cumsum()[::-1][1:].astype(np.float64)
