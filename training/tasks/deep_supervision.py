"""Loss of a segmenter with several heads: each against the truth at its own size, averaged."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from models.losses import SegmentationLoss


def deep_supervision(
    raw: Tensor | tuple[Tensor, ...], targets_B1HW: Tensor, loss: SegmentationLoss, weights_B1HW: Tensor | None = None
) -> Tensor:
    """Mean of a loss over all heads, in float32.

    A head at a fraction of the size learns from max-pooled labels: a target of one pixel stays one (MSHNet). There a place is
    known only where all of it is.

    Args:
        raw: `(B, 1, H, W)` logits, or those of several heads at H, H/2, H/4, ... (DNANet and MSHNet average them, UIU-Net
            sums: a factor of the learning rate).
        targets_B1HW: 0 or 1.
        loss: of one head.
        weights_B1HW: 0 where nobody knows, else 1; None knows everywhere.

    Returns:
        Scalar.
    """
    heads = (raw,) if isinstance(raw, Tensor) else raw
    with torch.autocast(targets_B1HW.device.type, enabled=False):
        return torch.stack([_of_head(head.float(), targets_B1HW, loss, weights_B1HW) for head in heads]).mean()


def _of_head(logits_B1hw: Tensor, targets_B1HW: Tensor, loss: SegmentationLoss, weights_B1HW: Tensor | None) -> Tensor:
    step = targets_B1HW.shape[-1] // logits_B1hw.shape[-1]
    if step == 1:
        return loss(logits_B1hw, targets_B1HW, weights_B1HW=weights_B1HW)
    known = None if weights_B1HW is None else 1 - functional.max_pool2d(1 - weights_B1HW, step)
    return loss(logits_B1hw, functional.max_pool2d(targets_B1HW, step), weights_B1HW=known)
