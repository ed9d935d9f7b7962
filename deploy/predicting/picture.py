"""A frame with what was found in it, as a picture of its own."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from contracts.frame import Pixels
from contracts.result import KEPT_BESIDE, Detection
from evaluation.drawing import Colour, Picture, decode_mask, draw_outlines, grey_picture
from evaluation.label_places import Area, free_place

LEAST_SIDE_PX = 640
"""Smaller frames are enlarged by a whole number, so that a target of a few pixels can be seen."""
COLOURS: dict[tuple[str, ...], Colour] = {
    ("detector", "segmenter"): (255, 210, 63),
    ("detector",): (255, 140, 66),
    ("segmenter",): (125, 223, 100),
}
SUPPRESSED: Colour = (150, 150, 150)
_FONT, _SIZE, _GAP_PX, _ROOM_PX = cv2.FONT_HERSHEY_SIMPLEX, 0.45, 3, 4
_Place = tuple[int, int, int, int]


def annotated(pixels_HW: Pixels, detections: Sequence[Detection]) -> Picture:
    """The frame with boxes, outlines of masks, and names that do not cover each other; those that are shown first, surest first.

    What a filter suppresses is grey and bears the filter's name; weak and double boxes, of which there are dozens, are not drawn.

    Args:
        pixels_HW: counts.
        detections: of the frame; a name is left out where there is no room for it.

    Returns:
        `(k * H, k * W, 3)` with a whole number k.
    """
    height_px, width_px = pixels_HW.shape
    times = max(1, -(-LEAST_SIDE_PX // max(height_px, width_px)))
    grey = grey_picture(pixels_HW)
    picture: Picture = np.ascontiguousarray(np.repeat(np.repeat(grey, times, 0), times, 1))
    taken: list[Area] = []
    ordered = sorted(
        (each for each in detections if each.suppressed_by not in KEPT_BESIDE),
        key=lambda found: (found.suppressed_by is not None, -found.score),
    )
    for found in ordered:
        box = _box(found, times)
        cv2.rectangle(picture, box[:2], box[2:], _colour(found), 1)
        taken.append(box)
        if found.mask_rle is not None:
            mask_HW = decode_mask(found.mask_rle, height_px, width_px).astype(np.uint8)
            draw_outlines(picture, np.repeat(np.repeat(mask_HW, times, 0), times, 1), _colour(found))
    for found in ordered:
        _name(picture, found, _box(found, times), taken)
    return picture


def _colour(found: Detection) -> Colour:
    if found.suppressed_by is not None:
        return SUPPRESSED
    return COLOURS.get(found.found_by, COLOURS["detector", "segmenter"])


def _box(found: Detection, times: int) -> _Place:
    """Corners just outside the target, in pixels of the picture."""
    low = (int(edge * times) - _ROOM_PX for edge in (found.x_min_px, found.y_min_px))
    high = (int(np.ceil(edge * times)) + _ROOM_PX for edge in (found.x_max_px, found.y_max_px))
    x_min, y_min, x_max, y_max = *low, *high
    return x_min, y_min, x_max, y_max


def _name(picture: Picture, found: Detection, box: _Place, taken: list[Area]) -> None:
    """Label and scores beside the box, where nothing else is."""
    words = found.words if found.suppressed_by is None else found.suppressed_by
    (width, height), below = cv2.getTextSize(words, _FONT, _SIZE, 1)
    place = free_place((width, height + below), box, taken, (picture.shape[1], picture.shape[0]), _GAP_PX)
    if place is not None:
        left, top, right, bottom = (int(edge) for edge in place)
        cv2.rectangle(picture, (left, top), (right, bottom), _colour(found), -1)
        cv2.putText(picture, words, (left, bottom - below), _FONT, _SIZE, (0, 0, 0), 1, cv2.LINE_AA)
        taken.append(place)
