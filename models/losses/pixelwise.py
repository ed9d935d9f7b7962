"""Losses of single pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def bce_loss(logits_B1HW: Tensor, targets_B1HW: Tensor, weights_B1HW: Tensor | None = None) -> Tensor:
    """Binary cross-entropy, averaged over all pixels (unknown ones count as pixels without loss).

    Args:
        logits_B1HW: any shape, before sigmoid.
        targets_B1HW: same shape, 0 or 1.
        weights_B1HW: 0 at places nobody has labelled, else 1; None: all are labelled.

    Returns:
        Scalar, nats.
    """
    return functional.binary_cross_entropy_with_logits(logits_B1HW, targets_B1HW, weight=weights_B1HW)


def focal_loss(logits: Tensor, targets: Tensor, weights: Tensor, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    """Binary focal loss, summed: `sum -a_t (1 - p_t)^gamma log p_t`.

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


def mean_focal_loss(
    logits_B1HW: Tensor, targets_B1HW: Tensor, weights_B1HW: Tensor | None = None, gamma: float = 2.0, alpha: float = 0.25
) -> Tensor:
    """`focal_loss` averaged over all pixels, as segmenters use it.

    Returns:
        Scalar, nats.
    """
    weights = torch.ones_like(logits_B1HW) if weights_B1HW is None else weights_B1HW
    return focal_loss(logits_B1HW, targets_B1HW, weights, gamma, alpha) / logits_B1HW.numel()


def threshold_focal_loss(logits_B1HW: Tensor, targets_B1HW: Tensor, weights_B1HW: Tensor | None = None) -> Tensor:
    """Adaptive threshold focal loss: easy pixels fade the more, the better the batch already is; hard ones grow.

    `-(1 - p_t)^(-ln m) log p_t` where p_t > 0.5 and `-(1.5 - p_t)^(-ln p_t) log p_t` elsewhere, m being the mean of p_t.
    Factor and m take part in the gradient, as in EFLNet's code. All is computed from the logits: a saturated pixel has a finite
    gradient, too. It grows as 1.5^|logit| where the answer is wrong: train with small learning rates or bounded gradients.

    Args:
        logits_B1HW: any shape, before sigmoid.
        targets_B1HW: same shape, 0 or 1.
        weights_B1HW: 0 at places nobody has labelled, else 1; None: all are labelled.

    Returns:
        Scalar, nats, averaged over all pixels.

    Source: Yang et al. 2024 (EFLNet), arXiv:2307.14723.
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logits_B1HW, targets_B1HW, reduction="none")
    known = torch.ones_like(logits_B1HW) if weights_B1HW is None else weights_B1HW
    p_t = torch.exp(-cross_entropy)
    mean = (p_t * known).sum() / known.sum().clamp(min=1)
    tiny = torch.finfo(p_t.dtype).tiny
    # ln(1 - p_t) is minus the softplus of the logit of p_t.
    easy = torch.exp(mean.clamp(min=tiny).log() * functional.softplus(logits_B1HW * (2 * targets_B1HW - 1)))
    hard = torch.exp(cross_entropy.clamp(max=-math.log(tiny)) * (1.5 - p_t).log())
    return (torch.where(p_t > 0.5, easy, hard) * cross_entropy * known).mean()


def quality_focal_loss(logits: Tensor, qualities: Tensor, weights: Tensor, gamma: float = 2.0) -> Tensor:
    """Cross-entropy with a soft target, least where it is met, summed: `sum |q - p|^gamma CE(p, q)`.

    Args:
        logits: any shape, before sigmoid.
        qualities: same shape, in [0, 1]: 0 for background, the overlap of its box for a location with a target.
        weights: same shape; 0 leaves a location out (regions nobody labelled).
        gamma: focusing exponent.

    Returns:
        Scalar, nats; divide by the number of positives outside.

    Source: Li et al. 2020, "Generalized Focal Loss", arXiv:2006.04388, eq. 3.
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, qualities, reduction="none")
    return ((qualities - logits.sigmoid()).abs() ** gamma * cross_entropy * weights).sum()
