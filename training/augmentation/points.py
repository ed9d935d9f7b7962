"""Targets of a few pixels: the image of a point through a lens, at any place between the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.uint8]
_REACH_PX = 5
_AROUND_PX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PointSettings:
    """Number, size and brightness of planted points.

    Attributes:
        probability: share of the crops that get one to `max_points`.
        max_points: most in a crop.
        sigma_px: range of the width of the Gaussian that stands for the lens.
        contrast: range of the height of its brightest pixel, in standard deviations of what lies around it (log-uniform).
        least_contrast: the same in units of the frame's scale, where nothing lies around it.
        mask_part: a pixel belongs to the target when it gets this part of what the brightest gets.
    """

    probability: float = 0.2
    max_points: int = 3
    sigma_px: tuple[float, float] = (0.5, 1.3)
    contrast: tuple[float, float] = (3.0, 14.0)
    least_contrast: float = 0.25
    mask_part: float = 0.35


def plant_points(pixels_HW: Floats, taken_HW: Mask, settings: PointSettings, rng: np.random.Generator) -> Mask:
    """Add points to normalised pixels, in place, where nothing is yet.

    Args:
        pixels_HW: changed.
        taken_HW: 1 where a target is, or nobody knows.
        settings: how.
        rng: source of chance.

    Returns:
        Mask of what was planted, 0 or 1.
    """
    mask_HW = np.zeros_like(taken_HW)
    if rng.random() >= settings.probability:
        return mask_HW
    height, width = pixels_HW.shape
    if min(height, width) <= 2 * _AROUND_PX:
        return mask_HW
    axis = np.arange(-_REACH_PX, _REACH_PX + 1, dtype=np.float32)
    for _ in range(int(rng.integers(1, settings.max_points + 1))):
        row, column = int(rng.integers(_AROUND_PX, height - _AROUND_PX)), int(rng.integers(_AROUND_PX, width - _AROUND_PX))
        sigma, offset = rng.uniform(*settings.sigma_px), rng.uniform(-0.5, 0.5, 2).astype(np.float32)
        contrast = float(np.exp(rng.uniform(*np.log(settings.contrast))))
        around = (slice(row - _AROUND_PX, row + _AROUND_PX + 1), slice(column - _AROUND_PX, column + _AROUND_PX + 1))
        place = (slice(row - _REACH_PX, row + _REACH_PX + 1), slice(column - _REACH_PX, column + _REACH_PX + 1))
        if taken_HW[place].any() or mask_HW[place].any():
            continue
        profile = [np.exp(-0.5 * ((axis - shift) / sigma) ** 2) for shift in offset]
        spot = np.outer(*profile) / (profile[0].max() * profile[1].max())
        peak = max(contrast * float(pixels_HW[around].std()), settings.least_contrast)
        pixels_HW[place] += np.float32(peak) * spot.astype(np.float32)
        mask_HW[place] |= (spot >= settings.mask_part).astype(np.uint8)
    return mask_HW
