"""Losses that know how large a target is and where: SLS and SD.

MSHNet's published code takes the mean of `x P` over all pixels for the centre and never divides by the mass, so that its
location term grows with the target's area (a 3 x 3 target found in its place at half probability is charged 0.05, not 0) and is NaN where
target and answer are both empty. Here the centre is the centre of mass, and an empty truth has none.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.losses.overlap import Masses

_TINY_MASS = 1e-6
_ROC_PX = 512 * 512
_SMALL_PX = 81  # a target of 9 x 9 pixels, the largest that counts as small (SPIE)


def sls_loss(
    logits_B1HW: Tensor, targets_B1HW: Tensor, weights_B1HW: Tensor | None = None, smooth: float = 1.0, *, location: bool = True
) -> Tensor:
    """Scale and location sensitive loss: `1 - mean(w IoU) + mean(L_loc)`.

    `w = (min(P, Y) + v) / (max(P, Y) + v)`, `v = ((P - Y) / 2)^2` with P and Y the masses of answer and truth;
    `L_loc = 1 - min(r_p, r_t) / max(r_p, r_t) + 4 / pi^2 (theta_p - theta_t)^2` with the polar coordinates of both centres of
    mass, seen from the upper left corner.

    Args:
        logits_B1HW: `(B, 1, H, W)` before sigmoid.
        targets_B1HW: `(B, 1, H, W)`, 0 or 1.
        weights_B1HW: 0 at places nobody has labelled, else 1; None: all are labelled.
        smooth: added above and below the line of IoU and w; keeps empty crops finite and gives them a gradient.
        location: False leaves the second term out. (MSHNet's first epochs have neither term's factor: plain `1 - IoU` of the first mask.)

    Returns:
        Scalar in [0, 3].

    Source: Liu et al. 2024 (MSHNet), arXiv:2403.19366, with the centre divided by its mass.
    """
    scale_B, location_B = _terms(logits_B1HW, targets_B1HW, weights_B1HW, smooth)
    return (scale_B + location_B).mean() if location else scale_B.mean()


def sd_loss(
    logits_B1HW: Tensor, targets_B1HW: Tensor, weights_B1HW: Tensor | None = None, smooth: float = 1.0, delta: float = 0.5
) -> Tensor:
    """Scale-based dynamic loss: the terms of `sls_loss`, the scale weighed more the larger the target is.

    `mean((1 + b) (1 - w IoU) + (1 - b) L_loc)` with `b = min(delta Y / 81 * 512^2 / (H W), delta)` per sample: what is small
    in the crop has no dependable area, so its place counts for more. (Its code averages b over the batch.)

    Args:
        logits_B1HW: `(B, 1, H, W)` before sigmoid.
        targets_B1HW: `(B, 1, H, W)`, 0 or 1.
        weights_B1HW: 0 at places nobody has labelled, else 1; None: all are labelled.
        smooth: as in `sls_loss`.
        delta: most that area and place are shifted by, in [0, 1].

    Returns:
        Scalar in [0, 3].

    Source: Yang et al. 2025 (PConv), arXiv:2412.16986.
    """
    scale_B, location_B = _terms(logits_B1HW, targets_B1HW, weights_B1HW, smooth)
    area_B = (targets_B1HW if weights_B1HW is None else targets_B1HW * weights_B1HW).flatten(1).sum(1)
    height_px, width_px = logits_B1HW.shape[-2:]
    b_B = (delta * area_B / _SMALL_PX * (_ROC_PX / (height_px * width_px))).clamp(max=delta)
    return ((1 + b_B) * scale_B + (1 - b_B) * location_B).mean()


def _terms(logits_B1HW: Tensor, targets_B1HW: Tensor, weights_B1HW: Tensor | None, smooth: float) -> tuple[Tensor, Tensor]:
    """`1 - w IoU` and `L_loc`, each `(B,)`."""
    probabilities = logits_B1HW.sigmoid()
    if weights_B1HW is not None:
        probabilities, targets_B1HW = probabilities * weights_B1HW, targets_B1HW * weights_B1HW
    masses = Masses.of(probabilities, targets_B1HW)
    spread_B = ((masses.predicted - masses.true) / 2) ** 2 + smooth
    least_B, most_B = torch.minimum(masses.predicted, masses.true), torch.maximum(masses.predicted, masses.true)
    weight_B = (least_B + spread_B) / (most_B + spread_B)
    (r_p, theta_p), (r_t, theta_t) = _centre(probabilities), _centre(targets_B1HW)
    apart_B = 1 - torch.minimum(r_p, r_t) / torch.maximum(r_p, r_t) + 4 / math.pi**2 * (theta_p - theta_t) ** 2
    location_B = torch.where(masses.true > 0, apart_B, torch.zeros_like(apart_B))
    return 1 - weight_B * masses.iou(smooth), location_B


def _centre(mass_B1HW: Tensor) -> tuple[Tensor, Tensor]:
    """Radius and angle of the centre of mass, `(B,)` each; both coordinates run over (0, 1). Of nothing: near the corner."""
    height_px, width_px = mass_B1HW.shape[-2:]
    y_H, x_W = (
        (torch.arange(side_px, dtype=mass_B1HW.dtype, device=mass_B1HW.device) + 0.5) / side_px for side_px in (height_px, width_px)
    )
    mass_B = mass_B1HW.sum((1, 2, 3)) + _TINY_MASS
    # The tiny mass lies in the first pixel: coordinates stay positive, and so does the radius.
    x_B = ((mass_B1HW * x_W).sum((1, 2, 3)) + _TINY_MASS * x_W[0]) / mass_B
    y_B = ((mass_B1HW * y_H[:, None]).sum((1, 2, 3)) + _TINY_MASS * y_H[0]) / mass_B
    return torch.sqrt(x_B**2 + y_B**2), torch.atan2(y_B, x_B)
