"""A loss of the background that looks most like a target."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def hardest_negatives_loss(logits_B1HW: Tensor, targets_B1HW: Tensor, weights_B1HW: Tensor | None = None, share: float = 0.005) -> Tensor:
    """Binary cross-entropy of the hardest background pixels of each sample, averaged over them.

    Args:
        logits_B1HW: `(B, 1, H, W)` before sigmoid.
        targets_B1HW: `(B, 1, H, W)`, 0 or 1.
        weights_B1HW: 0 where nobody knows, else 1; None knows everywhere.
        share: of the pixels of a sample that count, at least one pixel.

    Returns:
        Scalar, nats.
    """
    negative = 1 - targets_B1HW if weights_B1HW is None else (1 - targets_B1HW) * weights_B1HW
    cost_BN = (functional.softplus(logits_B1HW) * negative).flatten(1)
    hardest_BK = cost_BN.topk(max(1, int(share * cost_BN.shape[1])), sorted=False).values
    return torch.mean(hardest_BK)
