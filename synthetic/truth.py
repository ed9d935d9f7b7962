"""Exact ground truth of a synthetic frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TargetTruth:
    """One target in one frame, measured on the noise-free light it added.

    Attributes:
        track_id: the same for one target over all frames of its pass; unique within a sensor.
        label: class name.
        box_xyxy_px: tight box of its mask, pixel edges.
        centroid_xy_px: centre of its light inside the frame (weights: absolute change), pixel edges.
        area_px: pixels of its mask.
        contrast_k: change of its strongest pixel against the same frame without it, kelvin (equivalent), signed.
        snr: absolute contrast by temporal noise (standard deviation at that pixel).
        clutter_ratio: absolute contrast by the standard deviation of the background just around it.
    """

    track_id: int
    label: str
    box_xyxy_px: tuple[int, int, int, int]
    centroid_xy_px: tuple[float, float]
    area_px: int
    contrast_k: float
    snr: float
    clutter_ratio: float


@dataclass(frozen=True, slots=True, eq=False)
class FrameTruth:
    """Truth of one frame: its targets and their masks.

    Attributes:
        targets: in drawing order: a later one lies before an earlier one.
        labels_HW: `(H, W)` uint16, 0 for background, else 1 + index into `targets`.
    """

    targets: tuple[TargetTruth, ...]
    labels_HW: NDArray[np.uint16]

    def mask_HW(self, index: int) -> NDArray[np.bool_]:
        """Mask of one target, `(H, W)`."""
        mask: NDArray[np.bool_] = self.labels_HW == index + 1
        return mask

    @property
    def any_HW(self) -> NDArray[np.bool_]:
        """Mask of all targets, `(H, W)`."""
        mask: NDArray[np.bool_] = self.labels_HW > 0
        return mask
