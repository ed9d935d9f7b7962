"""Crops around targets or anywhere; what lies outside the image is at its mean, as padding is in the stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data.samples import Sample

Floats = NDArray[np.float32]


def crop_origin(
    size_px: tuple[int, int], crop_px: int, focus_xy_px: tuple[float, float] | None, rng: np.random.Generator, grid_px: int = 1
) -> tuple[int, int]:
    """Choose the top and left of a crop, anywhere, or anywhere that holds a point.

    Args:
        size_px: height and width of the image; a smaller image is placed at random inside the crop (negative origin).
        crop_px: side.
        focus_xy_px: point to hold, or None.
        rng: source of chance.
        grid_px: top and left are multiples of it, wherever one of these holds the point.
    """
    origin = []
    for limit, focus in zip(size_px, (None, None) if focus_xy_px is None else focus_xy_px[::-1], strict=True):
        low, high = min(0, limit - crop_px), max(0, limit - crop_px)
        if focus is not None:
            low, high = max(low, int(focus) - crop_px + 1), min(high, int(focus))
        first, last = -(-low // grid_px), high // grid_px
        on_grid = first <= last
        origin.append(grid_px * int(rng.integers(first, last + 1)) if on_grid else int(rng.integers(low, max(low, high) + 1)))
    return origin[0], origin[1]


def cut_crop(image_HW: NDArray[np.generic], top: int, left: int, crop_px: int) -> NDArray[np.generic]:
    """Copy a square out of an image; what lies outside becomes 0."""
    window, place = _shared(image_HW.shape, top, left, crop_px)
    out = np.zeros((crop_px, crop_px), image_HW.dtype)
    out[place] = image_HW[window]
    return out


def cut_pixels(sample: Sample, top: int, left: int, crop_px: int) -> Floats:
    """The same of an image's normalised pixels: what lies outside is at its mean, as padding is in the stream."""
    window, place = _shared(sample.pixels_HW.shape, top, left, crop_px)
    out = np.zeros((crop_px, crop_px), np.float32)
    out[place] = sample.normalised(window)
    return out


def _shared(shape: tuple[int, ...], top: int, left: int, crop_px: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Part that a square and an image have in common, as seen from the image and from the square."""
    y0, y1, x0, x1 = max(top, 0), min(top + crop_px, shape[0]), max(left, 0), min(left + crop_px, shape[1])
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
