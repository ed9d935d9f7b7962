"""Mask files of labelled data sets, as target pixels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.errors import SettingsError
from contracts.image_files import read_counts
from contracts.limits import InputLimits

_Greys: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
_LEAST_BRIGHTEST = 128
_LIMITS = InputLimits(max_decompression_ratio=math.inf)  # background compresses beyond belief


def read_mask(path: Path, shape_HW: tuple[int, ...], image: str) -> NDArray[np.uint8]:
    """Target pixels `(H, W)`, 0 or 1: what is above half of the brightest pixel.

    Args:
        path: mask file: 0 and one other value, or greys of which the brightest is at least 128 (smoothed edges).
        shape_HW: of its image.
        image: name of the image, for the message.

    Raises:
        SettingsError: unreadable, of another size, or several small values, such as numbers of targets or classes.
    """
    mask_HW = _read_greys(path)
    if mask_HW.shape != shape_HW:
        raise SettingsError(
            expected=f"a mask of the size of its image, {_size(shape_HW)} ({image})",
            got=_size(mask_HW.shape),
            where=str(path),
            action="Save the mask in the size of the image, or correct the index.",
        )
    return _target_pixels(mask_HW, path)


def boxes_of_mask(path: Path) -> NDArray[np.float32]:
    """Boxes of the 8-connected regions of a mask file, `(n, 4)`: left, top, right and bottom edge in pixels.

    Raises:
        SettingsError: as `read_mask`.
    """
    return boxes_of_regions(_target_pixels(_read_greys(path), path))


def boxes_of_regions(mask_HW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The same of a mask that is there, `(H, W)`, 0 or not."""
    _, _, stats_N5, _ = cv2.connectedComponentsWithStats(mask_HW, connectivity=8)
    left_top_N2, sizes_N2 = stats_N5[1:, :2], stats_N5[1:, 2:4]
    return np.concatenate([left_top_N2, left_top_N2 + sizes_N2], axis=1).astype(np.float32)


def _read_greys(path: Path) -> _Greys:
    mask_HW = read_counts(path, limits=_LIMITS)
    if mask_HW.dtype == np.float32:
        raise SettingsError(
            expected="a mask of 8 or 16 bits", got="float32", where=str(path), action="Save it as PNG or TIFF of 8 or 16 bits."
        )
    return cast(_Greys, mask_HW)


def _target_pixels(mask_HW: _Greys, path: Path) -> NDArray[np.uint8]:
    brightest = int(mask_HW.max())
    if 1 < brightest < _LEAST_BRIGHTEST:
        values = np.unique(mask_HW)
        if len(values) > 2:
            raise SettingsError(
                expected="a mask of two values, or greys up to 255",
                got=f"{len(values)} values: {', '.join(map(str, values[:5]))}{', ...' * (len(values) > 5)}",
                where=str(path),
                action="Save it with 0 for background and 255 for targets.",
            )
    return (mask_HW > brightest / 2).astype(np.uint8)


def _size(shape_HW: tuple[int, ...]) -> str:
    return f"{shape_HW[1]} x {shape_HW[0]} px"
