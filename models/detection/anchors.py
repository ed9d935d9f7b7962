"""Anchors, and boxes as differences from them: centres in sides of the anchor, sides as logarithms.

Source: Ren et al., "Faster R-CNN", 2015, arXiv:1506.01497, eq. 2, divided by what is usual of each (`Spread`).
All in pixels of the input of the backbone, edges; tensors on one device, float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Spread = tuple[float, float, float, float]
"""Usual size of the four differences; networks answer in these units."""
_MAX_LOG_RATIO = math.log(1000 / 16)


def grid_anchors(height: int, width: int, stride: int, sides_A2: Sequence[tuple[float, float]], device: torch.device) -> Tensor:
    """Anchors of a map, `(H * W * A, 4)`, cell by cell and row by row; those of one cell share its middle.

    Args:
        height: of the map, cells.
        width: likewise.
        stride: pixels a cell.
        sides_A2: width and height of each anchor of a cell, pixels.
        device: where to make them.
    """
    y_H = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) * stride
    x_W = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) * stride
    centres_HW2 = torch.stack(torch.meshgrid(x_W, y_H, indexing="xy"), -1)
    halves_A2 = torch.tensor(sides_A2, device=device, dtype=torch.float32) / 2
    centres_HWA2 = centres_HW2[:, :, None].expand(-1, -1, len(halves_A2), -1)
    return torch.cat([centres_HWA2 - halves_A2, centres_HWA2 + halves_A2], -1).reshape(-1, 4)


def sides_of(side_px: float, ratios: Sequence[float]) -> list[tuple[float, float]]:
    """Widths and heights of boxes with the area of a square, by their height over width."""
    return [(side_px / math.sqrt(ratio), side_px * math.sqrt(ratio)) for ratio in ratios]


def boxes_from(deltas_N4: Tensor, anchors_N4: Tensor, spread: Spread) -> Tensor:
    """Boxes `(..., N, 4)` from differences of the same shape."""
    scaled = deltas_N4 * deltas_N4.new_tensor(spread)
    sides = anchors_N4[..., 2:] - anchors_N4[..., :2]
    centres = (anchors_N4[..., :2] + anchors_N4[..., 2:]) / 2 + scaled[..., :2] * sides
    halves = sides * scaled[..., 2:].clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO).exp() / 2
    return torch.cat([centres - halves, centres + halves], -1)


def deltas_to(boxes_N4: Tensor, anchors_N4: Tensor, spread: Spread) -> Tensor:
    """Differences that `boxes_from` makes these boxes of."""
    sides, own = anchors_N4[..., 2:] - anchors_N4[..., :2], boxes_N4[..., 2:] - boxes_N4[..., :2]
    moved = (boxes_N4[..., :2] + boxes_N4[..., 2:] - anchors_N4[..., :2] - anchors_N4[..., 2:]) / 2
    return torch.cat([moved / sides, (own / sides).log()], -1) / boxes_N4.new_tensor(spread)


def tap_offsets(boxes_BN4: Tensor, height: int, width: int, stride: int) -> Tensor:
    """Offsets that lay the nine taps of each cell's convolution on the corners, the edges' middles and the middle of its box.

    Source: Vu et al., "Cascade RPN", NeurIPS 2019, arXiv:1909.06720, section 3.2.

    Args:
        boxes_BN4: one box a cell, row by row, pixels.
        height: of the map, cells.
        width: likewise.
        stride: pixels a cell.

    Returns:
        `(B, 18, H, W)`, see `DeformableConv`.
    """
    num = len(boxes_BN4)
    boxes_BHW4 = boxes_BN4.reshape(num, height, width, 4) / stride
    halves_BHW2 = (boxes_BHW4[..., 2:] - boxes_BHW4[..., :2]) / 2
    cells_HW4 = grid_anchors(height, width, 1, [(0.0, 0.0)], boxes_BN4.device).reshape(height, width, 4)
    moved_BHW2 = (boxes_BHW4[..., :2] + boxes_BHW4[..., 2:]) / 2 - cells_HW4[..., :2]
    step_3 = torch.tensor([-1.0, 0.0, 1.0], device=boxes_BN4.device)
    y_99, x_99 = torch.meshgrid(step_3, step_3, indexing="ij")
    steps_92 = torch.stack([x_99, y_99], -1).reshape(9, 2)
    offsets_BHW92 = moved_BHW2[..., None, :] + (halves_BHW2[..., None, :] - 1) * steps_92
    return offsets_BHW92.flip(-1).reshape(num, height, width, 18).permute(0, 3, 1, 2)


def overlaps(boxes_N4: Tensor, others_M4: Tensor) -> Tensor:
    """Intersection over union of all pairs, `(N, M)`; 0 for a pair without any area."""
    shared_NM = _shared(boxes_N4, others_M4)
    areas_NM = _area(boxes_N4)[:, None] + _area(others_M4)[None] - shared_NM
    return shared_NM / areas_NM.clamp(min=1e-9)


def shares_inside(boxes_N4: Tensor, regions_K4: Tensor) -> Tensor:
    """Share of each box that lies in each region, `(N, K)`."""
    return _shared(boxes_N4, regions_K4) / _area(boxes_N4)[:, None].clamp(min=1e-9)


def _shared(boxes_N4: Tensor, others_M4: Tensor) -> Tensor:
    low_NM2 = torch.maximum(boxes_N4[:, None, :2], others_M4[None, :, :2])
    high_NM2 = torch.minimum(boxes_N4[:, None, 2:], others_M4[None, :, 2:])
    return (high_NM2 - low_NM2).clamp(min=0).prod(2)


def _area(boxes_N4: Tensor) -> Tensor:
    return (boxes_N4[:, 2:] - boxes_N4[:, :2]).clamp(min=0).prod(1)
