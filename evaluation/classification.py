"""Metrics of classification: confusion matrix and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class ClassificationScores:
    """The figures of one run; ratios are in [0, 1].

    Attributes:
        accuracy: right answers over all.
        macro_precision: mean over the classes that occur (as truth or as answer); a class never answered counts 0.
        macro_recall: mean over the same classes; a class that never occurs counts 0.
        macro_f1: mean of the F1 of the same classes.
        balanced_accuracy: mean recall of the classes that occur as truth.
        precision_K: precision per class; NaN for a class that was never answered.
        recall_K: recall per class; NaN for a class that never occurs.
        f1_K: F1 per class; NaN for a class that neither occurs nor was answered.
        confusion_KK: counts; rows are truth, columns are answers.
    """

    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    balanced_accuracy: float
    precision_K: NDArray[np.float64]
    recall_K: NDArray[np.float64]
    f1_K: NDArray[np.float64]
    confusion_KK: NDArray[np.int64]


def confusion_matrix(true_N: NDArray[np.int64], answered_N: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Count pairs of truth (row) and answer (column).

    Raises:
        ValueError: lengths differ, or an index is not in [0, num_classes).
    """
    if true_N.shape != answered_N.shape:
        raise ValueError(f"expected as many answers as truths, got {answered_N.shape} and {true_N.shape}")
    both = np.concatenate([true_N, answered_N])
    if both.size and not (both.min() >= 0 and both.max() < num_classes):
        raise ValueError(f"expected class indexes in [0, {num_classes}), got [{both.min()}, {both.max()}]")
    return np.bincount(true_N * num_classes + answered_N, minlength=num_classes**2).reshape(num_classes, num_classes)


def classification_scores(confusion_KK: NDArray[np.int64]) -> ClassificationScores:
    """All figures of a confusion matrix; NaN when it is empty."""
    true_K, answered_K, right_K = confusion_KK.sum(1), confusion_KK.sum(0), np.diag(confusion_KK)
    occurs_K = (true_K + answered_K) > 0
    precision_K = right_K / np.maximum(answered_K, 1)
    recall_K = right_K / np.maximum(true_K, 1)
    f1_K = np.where(occurs_K, 2 * right_K / np.maximum(true_K + answered_K, 1), np.nan)
    total = int(confusion_KK.sum())
    return ClassificationScores(
        accuracy=_mean(right_K.sum() / total if total else np.nan),
        macro_precision=_mean(precision_K[occurs_K]),
        macro_recall=_mean(recall_K[occurs_K]),
        macro_f1=_mean(f1_K[occurs_K]),
        balanced_accuracy=_mean(recall_K[true_K > 0]),
        precision_K=np.where(answered_K > 0, precision_K, np.nan),
        recall_K=np.where(true_K > 0, recall_K, np.nan),
        f1_K=f1_K,
        confusion_KK=confusion_KK,
    )


def top_k_accuracy(true_N: NDArray[np.int64], scores_NK: NDArray[np.floating], k: int = 2) -> float:
    """Share of items whose class is among the k best scored; NaN without items. Of equal scores the class that comes first is better.

    Raises:
        ValueError: not one row of scores for each item.
    """
    if scores_NK.ndim != 2 or len(true_N) != len(scores_NK):
        raise ValueError(f"expected one row of scores for each item, got {scores_NK.shape} for {len(true_N)}")
    best_Nk = np.argsort(-scores_NK, axis=1, kind="stable")[:, :k]
    return float((best_Nk == true_N[:, None]).any(1).mean()) if len(true_N) else float("nan")


def _mean(values: NDArray[np.float64] | float) -> float:
    array = np.atleast_1d(np.asarray(values, np.float64))
    return float(array.mean()) if array.size else float("nan")
