"""Masks of sets that draw them where the light is not (`training.data.catalogue`: `offset_areas_px`), kept so through flips.

A flip turns an offset over: a network that is taught with flips must draw its answer in the middle, and is half a pixel wrong on most
edges of such a set. So with every flip these masks are moved back by one pixel along the flipped axis: the light then lies right of and
below them again. The symmetries stay, and the answer carries the set's convention.

This is the convention of one set, not of the world: a box or an outline drawn from such an answer lies half a pixel left of and above
the light.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.catalogue import KNOWN

Mask = NDArray[np.uint8]
PLAIN, OFFSET = 1, 2
"""Values of a mask that tells the conventions apart: target; target of a set whose light lies half a pixel right of and below."""


def mark_of(area_px: int, dataset: str) -> int:
    """`OFFSET` for a target of a set and size that have the offset, else `PLAIN`."""
    areas_px = KNOWN[dataset].offset_areas_px if dataset in KNOWN else None
    return OFFSET if areas_px is not None and areas_px[0] <= area_px <= areas_px[1] else PLAIN


def marked(mask_HW: Mask, dataset: str) -> Mask:
    """The mask of an image (0 or 1) with the marks of its targets in place of the ones.

    A target that a crop cuts is as large as what is left of it: mark the mask of the whole image.
    """
    if dataset not in KNOWN or KNOWN[dataset].offset_areas_px is None or not mask_HW.any():
        return mask_HW
    _, labels_HW, stats_N5, _ = cv2.connectedComponentsWithStats(mask_HW, connectivity=8)
    values_N = np.array([mark_of(int(area_px), dataset) for area_px in stats_N5[:, cv2.CC_STAT_AREA]], np.uint8)
    values_N[0] = 0
    return np.asarray(values_N[labels_HW], np.uint8)


def flip_marked(marked_HW: Mask, rows: bool, columns: bool) -> Mask:
    """Flip a marked mask, and move what is marked `OFFSET` by one pixel up after a flip of rows, to the left after one of columns.

    What would leave the mask is lost.

    Args:
        marked_HW: values of `marked`.
        rows: flip upside down.
        columns: flip left and right.

    Returns:
        Same shape, marked as before.
    """
    flipped_HW = marked_HW[:: -1 if rows else 1, :: -1 if columns else 1]
    offset_HW = flipped_HW == OFFSET
    if not (rows or columns) or not offset_HW.any():
        return np.ascontiguousarray(flipped_HW)
    height, width = offset_HW.shape
    moved_HW = np.zeros_like(offset_HW)
    moved_HW[: height - rows, : width - columns] = offset_HW[int(rows) :, int(columns) :]
    kept_HW = np.where(offset_HW, 0, flipped_HW).astype(np.uint8)
    kept_HW[moved_HW] = OFFSET
    return kept_HW
