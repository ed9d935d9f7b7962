"""Losses that mix overlap with single pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.losses.overlap import Masses, soft_iou_loss
from models.losses.pixelwise import bce_loss, mean_focal_loss


def segmentation_loss(logits_B1HW: Tensor, targets_B1HW: Tensor, bce_weight: float = 20.0, weights_B1HW: Tensor | None = None) -> Tensor:
    """Soft IoU (per sample) plus weighted binary cross-entropy.

    The cross-entropy is averaged over all pixels of which about one in a thousand is target, hence the weight.

    Args:
        logits_B1HW: `(B, 1, H, W)` before sigmoid.
        targets_B1HW: `(B, 1, H, W)`, 0 or 1.
        bce_weight: factor on the cross-entropy.
        weights_B1HW: 0 at places nobody has labelled, else 1; None: all are labelled.

    Returns:
        Scalar.
    """
    overlap = soft_iou_loss(logits_B1HW, targets_B1HW, weights_B1HW=weights_B1HW)
    return overlap + bce_weight * bce_loss(logits_B1HW, targets_B1HW, weights_B1HW)


def focal_plus_iou_loss(logits_B1HW: Tensor, targets_B1HW: Tensor, weights_B1HW: Tensor | None = None) -> Tensor:
    """Focal loss (mean over pixels) plus soft IoU (per sample), simply added.

    Returns:
        Scalar.

    Source: the survey of docs/losses.md, section 3.3.2, eq. 1 and 2 (Chen et al., GANet).
    """
    overlap = soft_iou_loss(logits_B1HW, targets_B1HW, weights_B1HW=weights_B1HW)
    return mean_focal_loss(logits_B1HW, targets_B1HW, weights_B1HW) + overlap


def focal_iou_loss(logits_B1HW: Tensor, targets_B1HW: Tensor, weights_B1HW: Tensor | None = None, alpha: float = 0.75) -> Tensor:
    """MTU-Net's FocalIoU: the better the masks overlap, the more the hard pixels alone count.

    `sum a_t (1 - IoU) F^(0.5 IoU + 0.5)` with `F = -(1 - p'_t)^2 log p'_t`, `p' = 0.999 (p - 0.5) + 0.5` (so that no logarithm
    is infinite), IoU the soft one of the whole batch with s = 1, a_t = 0.75 on targets and 0.25 elsewhere. The published code takes
    the IoU of p', too: every pixel of background then adds 0.0005, and a perfect answer to a 3 x 3 target in 256 x 256 has IoU 0.23.

    Args:
        logits_B1HW: `(B, 1, H, W)` before sigmoid.
        targets_B1HW: `(B, 1, H, W)`, 0 or 1.
        weights_B1HW: 0 at places nobody has labelled, else 1; None: all are labelled.
        alpha: weight of the targets.

    Returns:
        Scalar, **summed** over pixels as published: it grows with batch and crop, and wants a smaller learning rate.

    Source: Wu et al. 2023 (MTU-Net), arXiv:2209.13756.
    """
    probabilities = logits_B1HW.sigmoid()
    iou = Masses.of(probabilities, targets_B1HW, weights_B1HW, "batch").iou(smooth=1.0)
    clipped = 0.999 * (probabilities - 0.5) + 0.5
    p_t = torch.where(targets_B1HW > 0.5, clipped, 1 - clipped)
    focal = (1 - p_t) ** 2 * functional.binary_cross_entropy(clipped, targets_B1HW, reduction="none")
    balance = alpha * targets_B1HW + (1 - alpha) * (1 - targets_B1HW)
    cost = balance * (1 - iou) * focal ** (0.5 * iou + 0.5)
    return (cost if weights_B1HW is None else cost * weights_B1HW).sum()
