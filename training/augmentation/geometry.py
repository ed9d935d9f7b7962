"""Flips, transposition, rotation and scale of pixels, masks and boxes alike."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.uint8]
_TRACE = 0.05


def symmetry(rng: np.random.Generator) -> tuple[bool, bool, bool]:
    """One of the eight: (flip rows, flip columns, transpose)."""
    flips = rng.random(3) < 0.5
    return bool(flips[0]), bool(flips[1]), bool(flips[2])


def apply_symmetry(image_HW: NDArray[np.generic], chosen: tuple[bool, bool, bool]) -> NDArray[np.generic]:
    """Flip and transpose an image."""
    rows, columns, transpose = chosen
    flipped = image_HW[:: -1 if rows else 1, :: -1 if columns else 1]
    return flipped.T if transpose else flipped


def apply_symmetry_to_boxes(boxes_xyxy: Floats, side_px: int, chosen: tuple[bool, bool, bool]) -> Floats:
    """The same for boxes of a square of `side_px`."""
    x0, y0, x1, y1 = boxes_xyxy.T
    rows, columns, transpose = chosen
    if columns:
        x0, x1 = side_px - x1, side_px - x0
    if rows:
        y0, y1 = side_px - y1, side_px - y0
    corners = (y0, x0, y1, x1) if transpose else (x0, y0, x1, y1)
    return np.stack(corners, axis=1).astype(np.float32)


def rotated(pixels_HW: Floats, degrees: float) -> Floats:
    """Turn around the middle, counter-clockwise; what comes in from outside repeats the border."""
    height, width = pixels_HW.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return np.asarray(
        cv2.warpAffine(pixels_HW, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def rotate_and_scale(
    pixels_HW: Floats,
    mask_HW: Mask,
    unknown_HW: Mask,
    degrees: float,
    factor: float,
    kept_xy_px: tuple[float, float] | None = None,
) -> tuple[Floats, Mask, Mask]:
    """Turn around the middle and enlarge; what comes in from outside is at the mean.

    A target that falls below half a pixel everywhere is no longer labelled, though a trace of it is left: there nobody knows.

    Args:
        pixels_HW: normalised pixels.
        mask_HW: target pixels, 0 or 1.
        unknown_HW: pixels of which nobody knows, 0 or 1.
        degrees: counter-clockwise.
        factor: above 1 enlarges.
        kept_xy_px: a point that stays inside: where it would leave, all moves with it by as little as needed.

    Returns:
        The three, same shapes.
    """
    height, width = pixels_HW.shape
    # Pixel centres are at whole numbers for OpenCV.
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, factor)
    if kept_xy_px is not None:
        moved_xy = matrix @ (*kept_xy_px, 1.0)
        matrix[:, 2] += np.clip(moved_xy, 1, (width - 2, height - 2)) - moved_xy

    def warp(image_HW: NDArray[np.generic]) -> Floats:
        return np.asarray(cv2.warpAffine(image_HW.astype(np.float32), matrix, (width, height), flags=cv2.INTER_LINEAR), np.float32)

    soft_HW = warp(mask_HW)
    hard_HW = (soft_HW >= 0.5).astype(np.uint8)
    num, labels_HW = cv2.connectedComponents((soft_HW > _TRACE).astype(np.uint8), connectivity=8)
    kept = np.zeros(num, bool)
    kept[np.unique(labels_HW[hard_HW > 0])] = True
    kept[0] = True
    lost_HW = ~kept[labels_HW]
    unknown = (warp(unknown_HW) > _TRACE) | lost_HW
    return warp(pixels_HW), hard_HW, (unknown & (hard_HW == 0)).astype(np.uint8)
