"""Places over a frame, and beside it how often each pixel alarmed."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.frame import Pixels
from evaluation.drawing import Colour, Picture, draw_words, grey_picture
from evaluation.places import Found, Place

_SIDE_PX = 640
"""Smaller frames are enlarged by a whole number."""
_PLACE: Colour = (255, 90, 90)
_KEPT: Colour = (120, 220, 255)
_MOST_DOTS = 20_000
_FONT, _SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.4


def places_picture(found: Found, places: Sequence[Place], frame_HW: Pixels | None, heading: str) -> Picture:
    """Zones in red with their names, what would stay as blue dots; on the frame where there is one, and on the density of alarms.

    Args:
        found: all detections.
        places: the proposal.
        frame_HW: a frame of the sensor; None, or one of another size: the density alone.
        heading: words above.

    Returns:
        One or two panels side by side.
    """
    width_px, height_px = found.size_px
    panels = [_density(found)]
    if frame_HW is not None and frame_HW.shape == (height_px, width_px):
        panels.insert(0, grey_picture(frame_HW))
    times = max(1, -(-_SIDE_PX // max(height_px, width_px)))
    kept_M = ~np.any([place.contains(found.centroids_M2) for place in places], axis=0) if places else np.ones(len(found.frames_M), bool)
    drawn = [_drawn(panel, times, places, found.centroids_M2[kept_M]) for panel in panels]
    body: Picture = np.concatenate(drawn, axis=1)
    head = np.zeros((20, body.shape[1], 3), np.uint8)
    whole: Picture = np.ascontiguousarray(np.concatenate([head, body], axis=0))
    return draw_words(whole, heading)


def _density(found: Found) -> Picture:
    """Number of detections that cover each pixel, by the logarithm."""
    width_px, height_px = found.size_px
    limits = (width_px, height_px, width_px, height_px)
    low_high = np.clip(np.concatenate([np.floor(found.boxes_M4[:, :2]), np.ceil(found.boxes_M4[:, 2:])], axis=1), 0, limits)
    x_min, y_min, x_max, y_max = low_high.astype(np.int64).T
    steps = np.zeros((height_px + 1, width_px + 1))
    for ys, xs, sign in ((y_min, x_min, 1), (y_min, x_max, -1), (y_max, x_min, -1), (y_max, x_max, 1)):
        np.add.at(steps, (ys, xs), sign)
    covered_HW = np.log1p(steps.cumsum(0).cumsum(1)[:-1, :-1].clip(min=0))
    scaled = (255 * covered_HW / max(float(covered_HW.max()), 1e-9)).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(scaled, cv2.COLORMAP_INFERNO)[:, :, ::-1], np.uint8)


def _drawn(panel: Picture, times: int, places: Sequence[Place], kept_xy_px: NDArray[np.float64]) -> Picture:
    picture: Picture = np.ascontiguousarray(np.repeat(np.repeat(panel, times, 0), times, 1))
    step = max(1, len(kept_xy_px) // _MOST_DOTS)
    for x, y in (kept_xy_px[::step] * times).astype(int).tolist():
        cv2.circle(picture, (x, y), 1, _KEPT, -1)
    for place in places:
        x_min, y_min, x_max, y_max = (edge * times for edge in place.rectangle_px)
        cv2.rectangle(picture, (x_min, y_min), (x_max, y_max), _PLACE, 1)
        (width, height), _ = cv2.getTextSize(place.name, _FONT, _SIZE, 1)
        left = min(x_min, max(0, picture.shape[1] - width - 2))
        below = y_min < height + 6
        cv2.putText(picture, place.name, (left, y_max + height + 4 if below else y_min - 4), _FONT, _SIZE, _PLACE, 1, cv2.LINE_AA)
    return picture
