"""Anchors that are responsible for a box, by the region of its middle or by overlap, and a random choice among many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.detection.anchors import grid_anchors, overlaps, shares_inside

CENTRE_SHARE = 0.2
"""Share of a box, by side, in whose middle region cells are responsible for it (Cascade RPN's code; the paper names none)."""
_UNKNOWN_SHARE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Assigned:
    """Boxes that N anchors of one image are responsible for.

    Attributes:
        box_N: index of the box, -1 where there is none.
        known_N: False where there is no box and nobody knows what is there (ignored regions), or too much of one: neither target nor
            background.
    """

    box_N: Tensor
    known_N: Tensor


def by_region(boxes_M4: Tensor, sizes: Sequence[tuple[int, int]], strides: Sequence[int], base_px: float) -> Tensor:
    """Cells in the middle region of each box on the level of its size; the smaller box wins a shared cell.

    Source: Wang et al., "Region Proposal by Guided Anchoring", 2019, arXiv:1901.03278, section 3.2. A box that is smaller than a cell has
    the cell of its centre. What lies around the region would be ignored by a class, of which there is none here.

    Args:
        boxes_M4: pixels.
        sizes: height and width of each level, cells.
        strides: of each level.
        base_px: side of the boxes of the first level; the next has twice that.

    Returns:
        `(N,)` index of the box of each cell of all levels, -1 where there is none.
    """
    device = boxes_M4.device
    cells = [grid_anchors(*size, stride, [(0.0, 0.0)], device)[:, :2] for size, stride in zip(sizes, strides, strict=True)]
    cells_N2 = torch.cat(cells)
    if not len(boxes_M4):
        return torch.full((len(cells_N2),), -1, device=device)
    level_N = torch.cat([torch.full((len(part),), level, device=device) for level, part in enumerate(cells)])
    stride_N = torch.tensor(strides, dtype=torch.float32, device=device)[level_N]
    sides_M2 = boxes_M4[:, 2:] - boxes_M4[:, :2]
    area_M = sides_M2.prod(1)
    level_M = (area_M.clamp(min=1e-9).log2() / 2 - math.log2(base_px) + 0.5).floor().clamp(0, len(sizes) - 1)
    away_NM2 = (cells_N2[:, None] - (boxes_M4[:, :2] + boxes_M4[:, 2:])[None] / 2).abs()
    reach_NM2 = torch.maximum(sides_M2[None] * CENTRE_SHARE / 2, stride_N[:, None, None] / 2)
    own_NM = (away_NM2 <= reach_NM2).all(2) & (level_N[:, None] == level_M[None])
    smallest_N, box_N = torch.where(own_NM, area_M[None], math.inf).min(1)
    return torch.where(smallest_N < math.inf, box_N, -1)


def by_overlap(
    anchors_N4: Tensor,
    boxes_M4: Tensor,
    ignored_K4: Tensor,
    min_iou: float,
    least_iou: float | None = None,
    background_iou: float | None = None,
) -> Assigned:
    """Give each anchor the box it overlaps most, if it overlaps enough.

    Args:
        anchors_N4: pixels.
        boxes_M4: targets.
        ignored_K4: regions of which nobody knows what is there.
        min_iou: enough.
        least_iou: enough for the anchors that overlap a box more than any other anchor does; None: they are no exception.
        background_iou: an anchor without a box that overlaps one by so much is no background either; None: it is.
    """
    known_N = (shares_inside(anchors_N4, ignored_K4) < _UNKNOWN_SHARE).all(1)
    if not len(boxes_M4):
        return Assigned(torch.full((len(anchors_N4),), -1, device=anchors_N4.device), known_N)
    iou_NM = overlaps(anchors_N4, boxes_M4)
    most_N, nearest_N = iou_NM.max(1)
    box_N = torch.where(most_N >= min_iou, nearest_N, -1)
    if background_iou is not None:
        known_N = known_N & (most_N < background_iou)
    if least_iou is not None:
        best_M = iou_NM.amax(0)
        is_best_NM = (iou_NM == best_M) & (best_M >= least_iou) & (best_M > 0)
        # Of several boxes of which an anchor is the best, it takes the one it overlaps most.
        own_N = torch.where(is_best_NM, iou_NM, -1.0).argmax(1)
        box_N = torch.where(is_best_NM.any(1), own_N, box_N)
    return Assigned(box_N, known_N | (box_N >= 0))


def drawn(assigned: Assigned, num: int, share: float) -> tuple[Tensor, Tensor]:
    """Indices of some anchors with a box, and of some without, at random.

    Args:
        assigned: see there.
        num: anchors at most.
        share: of them that have a box, at most.
    """
    with_box = torch.nonzero(assigned.box_N >= 0)[:, 0]
    without = torch.nonzero((assigned.box_N < 0) & assigned.known_N)[:, 0]
    positive = _some(with_box, int(num * share))
    return positive, _some(without, num - len(positive))


def _some(index_n: Tensor, num: int) -> Tensor:
    if len(index_n) <= num:
        return index_n
    return index_n[torch.randperm(len(index_n), device=index_n.device)[:num]]
