"""Losses of boxes."""

from __future__ import annotations

import torch
from torch import Tensor


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


def linear_iou_loss(predicted_N4: Tensor, targets_N4: Tensor) -> Tensor:
    """One minus IoU of pairs of boxes, `(N,)` in [0, 1]; boxes as in `giou_loss`, but may have no area.

    Source: Yu et al., "UnitBox", 2016, arXiv:1608.01471, linear as in Cascade RPN's code.
    """
    low_N2 = torch.maximum(predicted_N4[:, :2], targets_N4[:, :2])
    shared_N = (torch.minimum(predicted_N4[:, 2:], targets_N4[:, 2:]) - low_N2).clamp(min=0).prod(1)
    areas_N = (predicted_N4[:, 2:] - predicted_N4[:, :2]).prod(1) + (targets_N4[:, 2:] - targets_N4[:, :2]).prod(1)
    return 1 - shared_N / (areas_N - shared_N).clamp(min=1e-9)


def wasserstein_similarity(boxes_N4: Tensor, targets_N4: Tensor) -> Tensor:
    """Nearness of pairs of boxes, seen as Gaussians, `(N,)` in (0, 1]: it falls smoothly where tiny boxes no longer overlap.

    `exp(-W / c)` with the 2-Wasserstein distance `W` of Gaussians with the means and half the sides of the boxes. The paper's `c` is the
    mean size of its data set; here it is that of each target (root of its area), at least 2 px, so that it means the same for all sizes.

    Args:
        boxes_N4: `(N, 4)` x_min, y_min, x_max, y_max.
        targets_N4: likewise.

    Source: Wang et al. 2021, arXiv:2110.13389, eq. 4 to 6.
    """
    middles_N2 = (boxes_N4[:, :2] + boxes_N4[:, 2:] - targets_N4[:, :2] - targets_N4[:, 2:]) / 2
    sides_N2 = targets_N4[:, 2:] - targets_N4[:, :2]
    halves_N2 = (boxes_N4[:, 2:] - boxes_N4[:, :2] - sides_N2) / 2
    distance_N = (middles_N2.square().sum(1) + halves_N2.square().sum(1) + 1e-9).sqrt()
    return torch.exp(-distance_N / sides_N2.clamp(min=0).prod(1).sqrt().clamp(min=2))
