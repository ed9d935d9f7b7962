"""Boxes around what is seen of a target, inside boxes that are drawn loosely around it.

Sets differ in what a box is: some end with the last pixel of the target, others leave room. One convention makes their boxes comparable:
the half-maximum box, around the pixels whose difference from the background is at least half of the target's largest. What counts as
background is the plane through what surrounds the label, or, where the target lies on a cloud or before a mountain, the level at which
it becomes part of them. Where a target is too faint to tell, or nothing in the label stands out by itself, there is no such box.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
Floats = NDArray[np.float32]
_AROUND_PX = 5
_LEAST_DEVIATIONS = 4.0
_LEAST_COUNTS = 2.0
_LEAST_PROMINENCE = 0.35
_BESIDE_PX = 1
_LEAST_SIDE_PX = 2
_LEVELS = np.linspace(0.05, 0.95, 19)
_SMOOTH = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 16
_JOIN = np.ones((3, 3), np.uint8)


def half_maximum_boxes(pixels_HW: NDArray[np.generic], boxes_N4: Boxes) -> tuple[Boxes, NDArray[np.bool_]]:
    """The half-maximum box of each label.

    Args:
        pixels_HW: counts of the frame.
        boxes_N4: labels, pixel edges.

    Returns:
        Boxes `(N, 4)` float32 on pixel edges inside the labels, those of labels without one as they are labelled; and for which there is
        one, `(N,)`.
    """
    found = [_half_maximum_box(pixels_HW, box_4) for box_4 in boxes_N4]
    tight_N4 = [box_4 if own is None else own for box_4, own in zip(boxes_N4, found, strict=True)]
    return np.array(tight_N4, np.float32).reshape(-1, 4), np.array([own is not None for own in found], bool)


def _half_maximum_box(pixels_HW: NDArray[np.generic], box_4: Floats) -> Floats | None:
    height, width = pixels_HW.shape
    left, top = (max(0, int(np.floor(edge))) for edge in box_4[:2])
    right, bottom = min(width, int(np.ceil(box_4[2]))), min(height, int(np.ceil(box_4[3])))
    if right - left < 2 or bottom - top < 2:
        return None
    x0, y0 = max(0, left - _AROUND_PX), max(0, top - _AROUND_PX)
    patch_hw = pixels_HW[y0 : bottom + _AROUND_PX, x0 : right + _AROUND_PX].astype(np.float32)
    label_hw = np.zeros(patch_hw.shape, bool)
    label_hw[top - y0 : bottom - y0, left - x0 : right - x0] = True
    flat = _without_plane(patch_hw, ~label_hw)
    if flat is None:
        return None
    differs_hw, deviation = flat
    found = [_peak_of(sign * differs_hw, label_hw, deviation) for sign in (1.0, -1.0)]
    best = max((each for each in found if each is not None), key=lambda each: each[0], default=None)
    if best is None:
        return None
    if _least_side(best[1] & label_hw) < _LEAST_SIDE_PX:
        return None
    rows, columns = np.nonzero(best[1] & label_hw)
    tight = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32) + np.array([x0, y0, x0, y0], np.float32)
    # An edge of the label may lie inside a pixel.
    low_2, high_2 = np.maximum(tight[:2], box_4[:2]), np.minimum(tight[2:], box_4[2:])
    return np.concatenate([low_2, high_2]) if (high_2 > low_2).all() else None


def _without_plane(patch_hw: Floats, outside_hw: NDArray[np.bool_]) -> tuple[Floats, float] | None:
    """The patch less the plane through what is outside the label, and the deviation of its noise; None where nothing is outside."""
    y, x = np.mgrid[: patch_hw.shape[0], : patch_hw.shape[1]].astype(np.float32)
    terms = np.stack([np.ones_like(x), x - x.mean(), y - y.mean()], -1)
    values, design = patch_hw[outside_hw], terms[outside_hw]
    if len(values) < 16:
        return None
    kept = np.ones(len(values), bool)
    plane = np.zeros(3, np.float32)
    for _ in range(3):
        plane = np.linalg.lstsq(design[kept], values[kept], rcond=None)[0].astype(np.float32)
        rest = values - design @ plane
        reach = 2.5 * max(1.4826 * float(np.median(np.abs(rest))), 0.5)
        kept = np.abs(rest) <= reach
    # What changes from pixel to pixel is noise; what changes slowly is scene.
    fine = (patch_hw - cv2.blur(patch_hw, (3, 3)))[outside_hw]
    return np.asarray(patch_hw - terms @ plane, np.float32), 1.4826 * float(np.median(np.abs(fine)))


def _peak_of(differs_hw: Floats, label_hw: NDArray[np.bool_], deviation: float) -> tuple[float, NDArray[np.bool_]] | None:
    """Rise of the highest place of a label above what it is part of, and the pixels of its upper half; None where it does not rise."""
    smooth_hw = np.asarray(cv2.filter2D(differs_hw, -1, _SMOOTH, borderType=cv2.BORDER_REPLICATE), np.float32)
    inner_hw = cv2.erode(label_hw.astype(np.uint8), _JOIN, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    if not inner_hw.any():
        inner_hw = label_hw
    y, x = divmod(int(np.argmax(np.where(inner_hw, smooth_hw, -np.inf))), smooth_hw.shape[1])
    smooth_peak, peak = float(smooth_hw[y, x]), float(differs_hw[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max())
    if smooth_peak < max(_LEAST_DEVIATIONS * deviation, _LEAST_COUNTS):
        return None
    near_hw = cv2.dilate(label_hw.astype(np.uint8), np.ones((2 * _BESIDE_PX + 1,) * 2, np.uint8)) > 0
    base = 0.0
    for share in _LEVELS[::-1]:
        # Of smoothed pixels: noise builds no bridges.
        if (_part_at(smooth_hw, share * smooth_peak, (y, x)) & ~near_hw).any():
            base = share
            break
    if 1 - base < _LEAST_PROMINENCE or (1 - base) * smooth_peak < _LEAST_COUNTS:
        return None
    middle = base + (1 - base) / 2
    part_hw = _part_at(differs_hw, middle * peak, (y, x))
    if _least_side(part_hw & label_hw) < _LEAST_SIDE_PX:
        # A point between pixels, or one with a flaw beside it.
        part_hw = _part_at(smooth_hw, middle * smooth_peak, (y, x))
    return (1 - base) * smooth_peak, part_hw


def _least_side(part_hw: NDArray[np.bool_]) -> int:
    """Height or width of the pixels that are true, whichever is less; 0 where none is."""
    places = [np.flatnonzero(part_hw.any(axis)) for axis in (0, 1)]
    return min(int(place_K[-1] - place_K[0]) + 1 if len(place_K) else 0 for place_K in places)


def _part_at(values_hw: Floats, level: float, place: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels from a level on that hang together with a place; gaps of a pixel, as between the motors of a drone, do not part them."""
    above_hw = (values_hw >= level).astype(np.uint8)
    above_hw[place] = 1
    _, parts_hw = cv2.connectedComponents(cv2.dilate(above_hw, _JOIN), connectivity=8)
    return np.asarray((above_hw > 0) & (parts_hw == parts_hw[place]), np.bool_)
