"""The light of a single target against its surroundings: where its centre is between the pixels, and how it stands out.

Plain functions on arrays: the segmenter's actor asks them about what it has found, the evaluation about the truth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
_GUARD_PX = 2
REACH_PX = 10
"""Width of the surroundings around a target, pixels."""
# An optical system blurs a point over the next pixel, and masks of a few pixels are drawn tight.
_SKIRT_PX = 1
# Rounding to whole counts has this standard deviation: 1 / sqrt(12).
_ROUNDING = 12**-0.5


@dataclass(frozen=True, slots=True)
class TargetLight:
    """Photometry of one target.

    Attributes:
        centroid_xy_px: pixel edges (the middle of pixel 0 is 0.5).
        scr: signal-to-clutter ratio, see `signal_to_clutter`.
    """

    centroid_xy_px: tuple[float, float]
    scr: float


def measure_light(image_HW: NDArray[np.generic], mask_HW: Mask, targets_HW: Mask | None = None, void_HW: Mask | None = None) -> TargetLight:
    """Centre of light and contrast of one target.

    The centre is the mean of pixel positions weighted by how far each pixel is on the target's side of its surroundings' median
    (brighter for a bright target, darker for a dark one), over the target and one pixel around it; where no pixel is, the
    middle of the mask.

    Args:
        image_HW: `(H, W)` counts.
        mask_HW: `(H, W)` bool, one target, not empty.
        targets_HW: `(H, W)` bool, all targets: a neighbour is neither clutter nor light of this one. None: this one is alone.
        void_HW: `(H, W)` bool, pixels that show no scene: neither light nor clutter, unless the target has no others. None: there are none.
    """
    window, top, left = _window(mask_HW)
    inside_hw, pixels_hw = mask_HW[window], image_HW[window].astype(np.float64)
    taken_hw = inside_hw if targets_HW is None else targets_HW[window] | inside_hw
    around_hw, lit_hw = ~_widened(taken_hw, _GUARD_PX), _widened(inside_hw, _SKIRT_PX) & (inside_hw | ~taken_hw)
    if void_HW is not None:
        shown_hw = ~void_HW[window]
        around_hw &= shown_hw
        if (inside_hw & shown_hw).any():
            lit_hw, inside_hw = lit_hw & shown_hw, inside_hw & shown_hw
    around = pixels_hw[around_hw]
    rows, columns = np.nonzero(lit_hw)
    lights = np.zeros(len(rows))
    if len(around):
        level = float(np.median(around))
        side = math.copysign(1.0, float(pixels_hw[inside_hw].mean()) - level)
        lights = np.maximum(side * (pixels_hw[rows, columns] - level), 0)
    if not lights.any():
        rows, columns = np.nonzero(inside_hw)
        lights = np.ones(len(rows))
    row, column = (float(np.average(places, weights=lights)) for places in (rows, columns))
    return TargetLight((left + column + 0.5, top + row + 0.5), _ratio(image_HW.dtype, pixels_hw[inside_hw], around))


def signal_to_clutter(image_HW: NDArray[np.generic], mask_HW: Mask, targets_HW: Mask | None = None, void_HW: Mask | None = None) -> float:
    """`|mean of the target - mean of its surroundings| / standard deviation of the surroundings`.

    Surroundings are the pixels of the target's box widened by 10 px on each side, less the targets widened by 2 px (their blur).
    Their deviation counts as no less than that of rounding to whole counts (0.29), for floats a millionth of their level.

    Args:
        image_HW: `(H, W)` counts.
        mask_HW: `(H, W)` bool, one target, not empty.
        targets_HW: `(H, W)` bool, all targets; None: this one is alone.
        void_HW: `(H, W)` bool, pixels that show no scene; None: there are none.

    Returns:
        NaN where the targets fill their surroundings.

    Source: the survey of docs/losses.md, metrics; Gao et al. 2013 (IPI), there with the same neighbourhood of 20 px.
    """
    return measure_light(image_HW, mask_HW, targets_HW, void_HW).scr


def _ratio(dtype: np.dtype[np.generic], inside: NDArray[np.float64], around: NDArray[np.float64]) -> float:
    if not len(around):
        return math.nan
    level = float(around.mean())
    floor = _ROUNDING if np.issubdtype(dtype, np.integer) else max(abs(level) * 1e-6, 1e-12)
    return abs(float(inside.mean()) - level) / max(float(around.std()), floor)


def _window(mask_HW: Mask) -> tuple[tuple[slice, slice], int, int]:
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    top, left = max(int(rows[0]) - REACH_PX, 0), max(int(columns[0]) - REACH_PX, 0)
    return (slice(top, int(rows[-1]) + REACH_PX + 1), slice(left, int(columns[-1]) + REACH_PX + 1)), top, left


def _widened(mask_hw: Mask, reach_px: int) -> Mask:
    side = 2 * reach_px + 1
    return cv2.dilate(np.ascontiguousarray(mask_hw).view(np.uint8), np.ones((side, side), np.uint8)) > 0
