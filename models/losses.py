"""Losses, each with its source; every one is a plain function of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def soft_iou_loss(logits_B1HW: Tensor, targets_B1HW: Tensor, smooth: float = 1.0, weights_B1HW: Tensor | None = None) -> Tensor:
    """One minus soft intersection over union, per sample, then averaged.

    Per sample and not over the whole batch, so that an image with a 9 px target weighs as much as one with 900 px.

    Args:
        logits_B1HW: `(B, 1, H, W)` before sigmoid.
        targets_B1HW: `(B, 1, H, W)`, 0 or 1.
        smooth: added to both sums; keeps empty crops finite and gives them a gradient.
        weights_B1HW: 0 where nobody knows, else 1; None knows everywhere.

    Returns:
        Scalar in [0, 1].

    Source: Rahman and Wang 2016, as used by Dai et al. 2021 (ACM), there over the batch.
    """
    probabilities = logits_B1HW.sigmoid()
    if weights_B1HW is not None:
        probabilities, targets_B1HW = probabilities * weights_B1HW, targets_B1HW * weights_B1HW
    intersection_B = (probabilities * targets_B1HW).sum((1, 2, 3))
    total_B = (probabilities + targets_B1HW).sum((1, 2, 3))
    return (1 - (intersection_B + smooth) / (total_B - intersection_B + smooth)).mean()


def segmentation_loss(logits_B1HW: Tensor, targets_B1HW: Tensor, bce_weight: float = 20.0, weights_B1HW: Tensor | None = None) -> Tensor:
    """Soft IoU plus weighted binary cross-entropy.

    The cross-entropy is averaged over all pixels of which about one in a thousand is target, hence the weight.

    Args:
        logits_B1HW: `(B, 1, H, W)` before sigmoid.
        targets_B1HW: `(B, 1, H, W)`, 0 or 1.
        bce_weight: factor on the cross-entropy.
        weights_B1HW: 0 where nobody knows, else 1; None knows everywhere.

    Returns:
        Scalar.
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logits_B1HW, targets_B1HW, weight=weights_B1HW)
    return soft_iou_loss(logits_B1HW, targets_B1HW, weights_B1HW=weights_B1HW) + bce_weight * cross_entropy


def focal_loss(logits: Tensor, targets: Tensor, weights: Tensor, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    """Binary focal loss, summed.

    Args:
        logits: any shape, before sigmoid.
        targets: same shape, 0 or 1.
        weights: same shape; 0 leaves a location out (regions nobody labelled).
        gamma: focusing exponent.
        alpha: weight of the positives.

    Returns:
        Scalar, nats; divide by the number of positives outside.

    Source: Lin et al. 2017, arXiv:1708.02002, eq. 5.
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    confidence = torch.exp(-cross_entropy)
    balance = alpha * targets + (1 - alpha) * (1 - targets)
    return (balance * (1 - confidence) ** gamma * cross_entropy * weights).sum()


def giou_loss(predicted_N4: Tensor, targets_N4: Tensor) -> Tensor:
    """One minus generalised IoU of pairs of boxes.

    Args:
        predicted_N4: `(N, 4)` x_min, y_min, x_max, y_max with x_max > x_min and y_max > y_min.
        targets_N4: `(N, 4)`, likewise.

    Returns:
        `(N,)` in [0, 2].

    Source: Rezatofighi et al. 2019, arXiv:1902.09630, algorithm 1.
    """
    overlap_N2 = (torch.minimum(predicted_N4[:, 2:], targets_N4[:, 2:]) - torch.maximum(predicted_N4[:, :2], targets_N4[:, :2])).clamp(
        min=0
    )
    hull_N2 = torch.maximum(predicted_N4[:, 2:], targets_N4[:, 2:]) - torch.minimum(predicted_N4[:, :2], targets_N4[:, :2])
    intersection_N = overlap_N2.prod(1)
    union_N = (predicted_N4[:, 2:] - predicted_N4[:, :2]).prod(1) + (targets_N4[:, 2:] - targets_N4[:, :2]).prod(1) - intersection_N
    hull_N = hull_N2.prod(1)
    return 1 - intersection_N / union_N + (hull_N - union_N) / hull_N
