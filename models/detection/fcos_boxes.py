"""Places and boxes of a light FCOS: three levels, each location with the offset and the logarithm of the size of a box."""

from __future__ import annotations

import torch
from torch import Tensor

STRIDES = (4, 8, 16)
# Sizes are predicted relative to these, so that the logarithms start near 0.
BASE_SIZE_PX = (8.0, 28.0, 80.0)
_MAX_LOG_SIZE = 4.0


def locations_of(height: int, width: int, stride: int, device: torch.device | None = None) -> Tensor:
    """Centres of the cells of one level, `(H * W, 2)` x, y in pixel-edge coordinates, row by row."""
    rows = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) * stride
    columns = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) * stride
    y_HW, x_HW = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x_HW, y_HW], -1).reshape(-1, 2)


def decode_boxes(geometry_N4: Tensor, locations_N2: Tensor, level: int) -> Tensor:
    """dx, dy (in strides) and log w, log h (relative to the level's base size) to corner boxes `(..., N, 4)` in pixels."""
    centres = locations_N2 + geometry_N4[..., :2] * STRIDES[level]
    halves = geometry_N4[..., 2:].clamp(-_MAX_LOG_SIZE, _MAX_LOG_SIZE).exp() * (BASE_SIZE_PX[level] / 2)
    return torch.cat([centres - halves, centres + halves], -1)


def decode_level(raw_B6HW: Tensor, level: int) -> tuple[Tensor, Tensor]:
    """One raw map to scores `(B, N)` and boxes `(B, N, 4)`; the score is sqrt(class * centre-ness)."""
    height, width = raw_B6HW.shape[-2:]
    flat_BN6 = raw_B6HW.flatten(2).transpose(1, 2)
    scores_BN = (flat_BN6[..., 0].sigmoid() * flat_BN6[..., 1].sigmoid()).sqrt()
    return scores_BN, decode_boxes(flat_BN6[..., 2:], locations_of(height, width, STRIDES[level], raw_B6HW.device), level)
