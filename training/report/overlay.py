"""A frame with its true targets and the answer of a segmenter drawn on it."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.drawing import Picture, grey_picture
from training.data.samples import Sample

_TRUTH, _ANSWER, _BOTH = (60, 220, 60), (255, 120, 40), (255, 225, 60)
_MAX_PICTURE_PX = 640
_RINGS = 100
_MIDDLES = 12
"""Missed targets between which cuts are tried."""
_RING_SHARE = 30
"""A ring lies this part of the picture's side away from what it is around: small enough to aim, large enough to see in a thumbnail."""


def overlay(sample: Sample, answer_HW: NDArray[np.bool_], truth_HW: NDArray[np.bool_]) -> Picture:
    """The frame in grey with truth green, answer orange, both yellow, and a ring around each place: green where missed, orange where false.

    A frame over 640 px is cut so that as many missed targets as possible are in the picture, and then as much else that is wrong.
    Rings never hide a pixel of a target.
    """
    picture, both_HW = grey_picture(sample.pixels_HW), answer_HW & truth_HW
    painted = ((truth_HW & ~answer_HW, _TRUTH), (answer_HW & ~truth_HW, _ANSWER), (both_HW, _BOTH))
    window = _window(answer_HW, truth_HW)
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


def _window(answer_HW: NDArray[np.bool_], truth_HW: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The cut with most missed targets; of equal ones that with most wrong pixels."""
    num, labels_HW, _, centroids_N2 = cv2.connectedComponentsWithStats(truth_HW.astype(np.uint8), connectivity=8)
    missed = [label for label in range(1, num) if not answer_HW[labels_HW == label].any()]
    wrong_HW = answer_HW ^ truth_HW
    rows, columns = np.nonzero(wrong_HW)
    middles = [(float(np.median(columns)), float(np.median(rows)))] if len(rows) else []
    middles += [(float(x), float(y)) for x, y in centroids_N2[missed]]
    # Middles between two targets, too: a cut around one may just miss the other.
    middles += [((one[0] + other[0]) / 2, (one[1] + other[1]) / 2) for one, other in combinations(middles[: _MIDDLES + 1], 2)]
    cuts = [tuple(_cut(at, side) for at, side in zip((y, x), wrong_HW.shape, strict=True)) for x, y in middles]
    centre = tuple(_cut(side / 2, side) for side in wrong_HW.shape)
    targets_HW = np.zeros(wrong_HW.shape, bool)
    for label in missed:
        x, y = centroids_N2[label]
        targets_HW[round(float(y)), round(float(x))] = True
    best = max(cuts, key=lambda cut: (int(targets_HW[cut].sum()), int(wrong_HW[cut].sum())), default=centre)
    return best[0], best[1]


def _cut(middle: float, side_px: int) -> slice:
    start = int(np.clip(round(middle) - _MAX_PICTURE_PX // 2, 0, max(0, side_px - _MAX_PICTURE_PX)))
    return slice(start, start + _MAX_PICTURE_PX)
