"""Faults of a single frame, from what its measuring has found anyway and two cheap looks at its counts.

Figures on real frames, and on the damaged ones among them: docs/results-table.md.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.frame import Pixels
from contracts.quality import Quality
from models.normalisation import Filled, scale_floor

_SATURATED_SHARE = 0.01
_LINES = 32
_EDGE_PX = 4
# In steps from one pixel to the next, as they usually are in the frame.
_SEAM_STEPS, _CLOSED_STEPS, _SKIRT, _SECOND = 3.0, 2.0, 0.7, 0.5
_LEAST_SIDE_PX = 32
# Where the first line begins with a filler: least jump (also in counts), and its least part of the largest.
_LATE_STEPS, _LATE_COUNTS, _LATE_SHARE = 1.5, 3, 0.75


def quality_of(pixels_HW: Pixels, bit_depth: int, filled: Filled) -> tuple[Quality, ...]:
    """Faults of a frame, each once.

    Args:
        pixels_HW: counts as they came, uint8, uint16 or float32.
        bit_depth: significant bits (32 for float32).
        filled: what `models.normalisation.fill` made of them.
    """
    flat = filled.normalisation.scale <= scale_floor(filled.normalisation.mean, bit_depth)
    found = {
        Quality.HOT_PIXELS: filled.num_lone > 0,
        Quality.TELEMETRY: bool(filled.telemetry_rows),
        Quality.WRAPPED: not flat and is_wrapped(filled.pixels_HW),
        Quality.SATURATED: is_saturated(pixels_HW, filled.void_HW),
        Quality.FLAT: flat,
    }
    return tuple(fault for fault, there in found.items() if there)


def is_saturated(pixels_HW: Pixels, void_HW: NDArray[np.bool_] | None = None) -> bool:
    """True where a hundredth of the pixels has the largest count of a sensor of 8 to 16 bits; never of floats.

    Args:
        pixels_HW: counts.
        void_HW: True where a pixel is no measurement; None: all are.
    """
    if pixels_HW.dtype == np.float32:
        return False
    largest = int(cv2.minMaxLoc(pixels_HW)[1])
    if largest < 2**8 - 1 or largest & (largest + 1):  # 255, 1023, 4095, 16383, ... are 2^bits - 1
        return False
    full_HW: Any = pixels_HW == largest
    if void_HW is not None:
        full_HW = full_HW & ~void_HW
    return bool(np.count_nonzero(full_HW) >= _SATURATED_SHARE * pixels_HW.size)


def is_wrapped(pixels_HW: Pixels) -> bool:
    """True where a picture is turned around itself, along its rows or its columns, as when a reader missed the start of a line.

    From one column to the next the counts of most lines jump at one place only, at once (light has a skirt), and the two edges of the frame
    fit together as any two neighbours do. A weaker jump is enough where the first line begins with a filler that ends at that very column:
    what was read too late is missing at the start.
    """
    return _turned(pixels_HW) or _turned(pixels_HW.T) or _late(pixels_HW)


def _late(pixels_HW: NDArray[Any]) -> bool:
    """True where the first row begins with one value over and over, the second does not, and lines jump where that ends."""
    width_px = pixels_HW.shape[1]
    if min(pixels_HW.shape) < _LEAST_SIDE_PX:
        return False
    run = int((pixels_HW[0] != pixels_HW[0, 0]).argmax())
    if not _EDGE_PX <= run < width_px - _EDGE_PX or np.ptp(pixels_HW[1, :run]) == 0:
        return False
    steps_N, usual = _steps(pixels_HW)
    jump = float(steps_N[run - 1 : run + 1].max())
    least = _LATE_STEPS * usual if pixels_HW.dtype == np.float32 else max(_LATE_STEPS * usual, _LATE_COUNTS)
    return bool(jump >= least and steps_N.max() <= jump / _LATE_SHARE and steps_N[-1] <= _CLOSED_STEPS * usual)


def _steps(lines_LN: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Median step from each column to the next, the last one to the first; and the usual one, for counts at least one."""
    some_NL = np.ascontiguousarray(lines_LN[:: -(-len(lines_LN) // _LINES)].T)  # what is sorted lies together
    steps_NL = np.sort(cv2.absdiff(some_NL, np.roll(some_NL, -1, axis=0)), axis=1)
    steps_N = steps_NL[:, steps_NL.shape[1] // 2].astype(np.float64)
    usual = float(np.median(steps_N))
    return steps_N, usual if lines_LN.dtype == np.float32 else max(usual, 1.0)


def _turned(lines_LN: NDArray[Any]) -> bool:
    num_lines, num = lines_LN.shape
    if min(num_lines, num) < _LEAST_SIDE_PX:
        return False
    steps_N, usual = _steps(lines_LN)
    seam = int(steps_N[:-1].argmax())
    jump = float(steps_N[seam])
    if not _EDGE_PX <= seam < num - 1 - _EDGE_PX or jump < _SEAM_STEPS * usual or jump == 0 or steps_N[-1] > _CLOSED_STEPS * usual:
        return False
    beside = max(steps_N[seam - 1], steps_N[seam + 1])
    elsewhere = max(steps_N[: seam - 1].max(), steps_N[seam + 2 : -1].max())
    return bool(beside <= _SKIRT * jump and elsewhere <= _SECOND * jump)
