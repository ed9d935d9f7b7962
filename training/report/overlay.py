"""A frame with its true targets and the answer of a segmenter drawn on it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.drawing import Picture, grey_picture
from training.data.samples import Sample

_TRUTH, _ANSWER, _BOTH = (60, 220, 60), (255, 120, 40), (255, 225, 60)
_MAX_PICTURE_PX = 640
_RINGS = 100
_RING_SHARE = 30
"""A ring lies this part of the picture's side away from what it is around: small enough to aim, large enough to see in a thumbnail."""


def overlay(sample: Sample, answer_HW: NDArray[np.bool_], truth_HW: NDArray[np.bool_]) -> Picture:
    """The frame in grey with truth green, answer orange, both yellow, and a ring around each place: green where missed, orange where false.

    A frame over 640 px is cut around what is wrong. Rings never hide a pixel of a target.
    """
    picture, both_HW = grey_picture(sample.pixels_HW), answer_HW & truth_HW
    painted = ((truth_HW & ~answer_HW, _TRUTH), (answer_HW & ~truth_HW, _ANSWER), (both_HW, _BOTH))
    window = _window(answer_HW ^ truth_HW)
    for x, y, radius, colour in _rings(answer_HW, truth_HW, min(_MAX_PICTURE_PX, *truth_HW.shape) // _RING_SHARE):
        cv2.circle(picture, (x, y), radius, colour, 1, cv2.LINE_AA)
    for mask_HW, colour in painted:
        picture[mask_HW] = colour
    return picture[window]


def _rings(answer_HW: NDArray[np.bool_], truth_HW: NDArray[np.bool_], away_px: int) -> list[tuple[int, int, int, tuple[int, int, int]]]:
    """Centre, radius and colour of a ring around each connected place, the largest ones first."""
    places_HW = (answer_HW | truth_HW).astype(np.uint8)
    num, labels_HW, stats_N5, centroids_N2 = cv2.connectedComponentsWithStats(places_HW, connectivity=8)
    largest = sorted(range(1, num), key=lambda label: -stats_N5[label, cv2.CC_STAT_AREA])[:_RINGS]
    rings = []
    for label in largest:
        x, y = (round(float(each)) for each in centroids_N2[label])
        size_px = max(stats_N5[label, cv2.CC_STAT_WIDTH], stats_N5[label, cv2.CC_STAT_HEIGHT])
        place_HW = labels_HW == label
        found, true = bool(answer_HW[place_HW].any()), bool(truth_HW[place_HW].any())
        rings.append((x, y, int(size_px) // 2 + max(4, away_px), _BOTH if found and true else _TRUTH if true else _ANSWER))
    return rings


def _window(wrong_HW: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.nonzero(wrong_HW)
    cuts = []
    for places, side in ((rows, wrong_HW.shape[0]), (columns, wrong_HW.shape[1])):
        middle = int(np.median(places)) if len(places) else side // 2
        start = int(np.clip(middle - _MAX_PICTURE_PX // 2, 0, max(0, side - _MAX_PICTURE_PX)))
        cuts.append(slice(start, start + _MAX_PICTURE_PX))
    return cuts[0], cuts[1]
