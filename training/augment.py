"""Augmentation of normalised pixels: crops around targets, the eight symmetries, gain and offset, pasted targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets import Sample

Floats = NDArray[np.float32]
_MARGIN_PX = 4
_MAX_PASTED_SIDE_PX = 40


@dataclass(frozen=True, slots=True, eq=False)
class TargetPatch:
    """A target cut out for pasting.

    Attributes:
        residual_HW: normalised pixels minus the level of the surroundings.
        mask_HW: target pixels, 0 or 1.
        alpha_HW: how much of the residual is added; 1 on the target, falling to 0 around it.
    """

    residual_HW: Floats
    mask_HW: NDArray[np.uint8]
    alpha_HW: Floats


def cut_targets(samples: Sequence[Sample]) -> list[TargetPatch]:
    """Cut out every small enough target with a margin that lies inside its image."""
    return [patch for sample in samples for patch in _cut(sample)]


def _cut(sample: Sample) -> list[TargetPatch]:
    height_px, width_px = sample.mask_HW.shape
    patches = []
    for x_min, y_min, x_max, y_max in sample.boxes_xyxy_px.astype(int):
        left, top, right, bottom = x_min - _MARGIN_PX, y_min - _MARGIN_PX, x_max + _MARGIN_PX, y_max + _MARGIN_PX
        inside = left >= 0 and top >= 0 and right <= width_px and bottom <= height_px
        if not inside or max(right - left, bottom - top) > _MAX_PASTED_SIDE_PX:
            continue
        mask = sample.mask_HW[top:bottom, left:right]
        pixels = sample.normalised((slice(top, bottom), slice(left, right)))
        near = cv2.dilate(mask, np.ones((5, 5), np.uint8))
        if not mask.any() or near.all():
            continue
        alpha = cv2.GaussianBlur(cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.float32), (3, 3), 0)
        patches.append(TargetPatch((pixels - np.median(pixels[near == 0])).astype(np.float32), mask.copy(), np.asarray(alpha, np.float32)))
    return patches


def paste_target(pixels_HW: Floats, mask_HW: NDArray[np.uint8], patch: TargetPatch, rng: np.random.Generator) -> None:
    """Add a target somewhere, in place, unless the place is taken or the image is too small."""
    height, width = patch.mask_HW.shape
    if height > pixels_HW.shape[0] or width > pixels_HW.shape[1]:
        return
    top = int(rng.integers(pixels_HW.shape[0] - height + 1))
    left = int(rng.integers(pixels_HW.shape[1] - width + 1))
    place = (slice(top, top + height), slice(left, left + width))
    if mask_HW[place].any():
        return
    pixels_HW[place] += patch.alpha_HW * patch.residual_HW * np.float32(rng.uniform(0.6, 1.4))
    mask_HW[place] |= patch.mask_HW


def crop_origin(
    size_px: tuple[int, int], crop_px: int, focus_xy_px: tuple[float, float] | None, rng: np.random.Generator
) -> tuple[int, int]:
    """Choose the top and left of a crop, anywhere, or anywhere that holds a point.

    Args:
        size_px: height and width of the image; a smaller image is placed at random inside the crop (negative origin).
        crop_px: side.
        focus_xy_px: point to hold, or None.
        rng: source of chance.
    """
    origin = []
    for limit, focus in zip(size_px, (None, None) if focus_xy_px is None else focus_xy_px[::-1], strict=True):
        low, high = min(0, limit - crop_px), max(0, limit - crop_px)
        if focus is not None:
            low, high = max(low, int(focus) - crop_px + 1), min(high, int(focus))
        origin.append(int(rng.integers(low, max(low, high) + 1)))
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
    """What a square and an image have in common, as seen from the image and from the square."""
    y0, y1, x0, x1 = max(top, 0), min(top + crop_px, shape[0]), max(left, 0), min(left + crop_px, shape[1])
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))


def jitter_counts(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Gain, offset and a little noise: another camera, another scene statistic."""
    gain = np.exp(rng.uniform(-0.35, 0.35))
    noisy = pixels * np.float32(gain) + np.float32(rng.uniform(-0.3, 0.3))
    if rng.random() < 0.3:
        noisy = noisy + rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(0.0, 0.1))
    return np.asarray(noisy, np.float32)


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
