"""Boxes `(N, 4)` x_min, y_min, x_max, y_max in pixels, from edge to edge: overlaps, cutting at a border, non-maximum suppression.

Arrays of numpy but for what runs beside a network, which takes tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Boxes = NDArray[np.float32]
Ratios = NDArray[np.float64]


def areas(boxes_N4: Boxes) -> Ratios:
    """Square pixels of each box, `(N,)`."""
    return np.asarray((boxes_N4[:, 2:] - boxes_N4[:, :2]).prod(1), np.float64)


def intersections(boxes_N4: Boxes, others_M4: Boxes) -> Ratios:
    """Square pixels that each pair has in common, `(N, M)`."""
    low = np.maximum(boxes_N4[:, None, :2], others_M4[None, :, :2])
    high = np.minimum(boxes_N4[:, None, 2:], others_M4[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(2), np.float64)


def iou_matrix(boxes_N4: Boxes, others_M4: Boxes) -> Ratios:
    """Intersection over union of all pairs, `(N, M)` in [0, 1]; 0 for a pair without any area."""
    shared_NM = intersections(boxes_N4, others_M4)
    return np.asarray(shared_NM / np.maximum(areas(boxes_N4)[:, None] + areas(others_M4)[None, :] - shared_NM, 1e-9))


def shares_inside(boxes_N4: Boxes, regions_K4: Boxes) -> Ratios:
    """Share of each box that lies in each region, `(N, K)` in [0, 1]."""
    return np.asarray(intersections(boxes_N4, regions_K4) / np.maximum(areas(boxes_N4)[:, None], 1e-9))


def cut_boxes(boxes_N4: Boxes, frame_4: Any) -> Boxes:
    """Boxes cut at the edges of a frame (x_min, y_min, x_max, y_max); one that lies outside keeps no area."""
    low_2, high_2 = np.asarray(frame_4, np.float32).reshape(2, 2)
    return np.asarray(np.clip(boxes_N4.reshape(-1, 2, 2), low_2, high_2).reshape(-1, 4), np.float32)


def strongest_boxes(
    boxes_N4: Tensor, scores_N: Tensor, size_px: tuple[int, int], *, min_score: float, max_iou: float, max_num: int
) -> tuple[Boxes, NDArray[np.float32]]:
    """Boxes of one frame without weak and doubled ones, cut at its border, by falling score.

    Args:
        boxes_N4: of all locations, on any device.
        scores_N: likewise, in [0, 1].
        size_px: height and width of the frame; a box whose centre lies outside is dropped.
        min_score: what is not above is dropped.
        max_iou: of two boxes that overlap more, the weaker one is dropped.
        max_num: how many to keep at most.

    Returns:
        `(n, 4)` and `(n,)`, float32.
    """
    import torch

    height_px, width_px = size_px
    centres_N2 = (boxes_N4[:, :2] + boxes_N4[:, 2:]) / 2
    inside_N = (centres_N2[:, 0] < width_px) & (centres_N2[:, 1] < height_px) & (centres_N2 >= 0).all(1)
    chosen = torch.nonzero(inside_N & (scores_N > min_score))[:, 0]
    # Suppression is quadratic: a thousand candidates are ten times what a frame may report.
    chosen = chosen[scores_N[chosen].argsort(descending=True, stable=True)][: 10 * max_num]
    limits_4 = boxes_N4.new_tensor([width_px, height_px, width_px, height_px])
    boxes_n4 = torch.minimum(boxes_N4[chosen].clamp(min=0), limits_4)
    candidates_n4, scores_n = boxes_n4.float().cpu().numpy(), scores_N[chosen].float().cpu().numpy()
    kept = first_of_overlapping(candidates_n4, max_iou, max_num)
    return candidates_n4[kept], scores_n[kept]


def first_of_overlapping(boxes_N4: Boxes, max_iou: float, max_num: int) -> NDArray[np.intp]:
    """Non-maximum suppression of boxes by falling score: the numbers of the first ones that overlap no earlier one of them by more.

    torchvision's does the same, but importing torchvision takes as long as torch, in every process that runs a network.
    """
    kept: list[int] = []
    left_n = np.arange(len(boxes_N4))
    while len(left_n) and len(kept) < max_num:
        first, left_n = left_n[0], left_n[1:]
        kept.append(first)
        left_n = left_n[iou_matrix(boxes_N4[first : first + 1], boxes_N4[left_n])[0] <= max_iou]
    return np.asarray(kept, np.intp)
