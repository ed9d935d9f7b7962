"""Mask files of labelled data sets, as target pixels."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.errors import SettingsError
from contracts.limits import InputLimits
from training.data.label_values import LabelPixels, read_labels

_LIMITS = InputLimits(max_decompression_ratio=math.inf)  # background compresses beyond belief


def read_mask(path: Path, shape_HW: tuple[int, ...], image: str) -> NDArray[np.uint8]:
    """Target pixels `(H, W)`, 0 or 1; see `training.data.label_values` for what a mask file may hold.

    Args:
        path: mask file.
        shape_HW: of its image.
        image: name of the image, for the message.

    Raises:
        SettingsError: unreadable, of another size, or with values that can be read in several ways.
    """
    return read_mask_labels(path, shape_HW, image).target_HW


def read_mask_labels(path: Path, shape_HW: tuple[int, ...], image: str) -> LabelPixels:
    """Targets and pixels that nobody labelled (255 of the palette of PASCAL VOC) of a mask file.

    Raises:
        SettingsError: as `read_mask`.
    """
    labels = read_labels(path, _LIMITS)
    if labels.target_HW.shape != shape_HW:
        raise SettingsError(
            expected=f"a mask of the size of its image, {_size(shape_HW)} ({image})",
            got=_size(labels.target_HW.shape),
            where=str(path),
            action="Save the mask in the size of the image, or correct the index.",
        )
    return labels


def boxes_of_mask(path: Path) -> NDArray[np.float32]:
    """Boxes of the 8-connected regions of a mask file, `(n, 4)`: left, top, right and bottom edge in pixels.

    Raises:
        SettingsError: as `read_mask`.
    """
    return boxes_of_regions(read_labels(path, _LIMITS).target_HW)


def boxes_of_regions(mask_HW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The same of a mask that is there, `(H, W)`, 0 or not."""
    _, _, stats_N5, _ = cv2.connectedComponentsWithStats(mask_HW, connectivity=8)
    left_top_N2, sizes_N2 = stats_N5[1:, :2], stats_N5[1:, 2:4]
    return np.concatenate([left_top_N2, left_top_N2 + sizes_N2], axis=1).astype(np.float32)


def _size(shape_HW: tuple[int, ...]) -> str:
    return f"{shape_HW[1]} x {shape_HW[0]} px"
