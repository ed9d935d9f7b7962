"""Outputs of the three networks for one frame, as arrays in pixels of that frame.

Coordinates are pixel *edges*: the first pixel spans x in [0, 1); a box of one pixel at (x, y) is
`[x, y, x + 1, y + 1]`. Centroids are pixel-edge coordinates too (the middle of pixel 0 is 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


def _check(array: NDArray[np.generic], shape: tuple[int | None, ...], name: str) -> None:
    if array.ndim != len(shape) or any(want is not None and want != got for want, got in zip(shape, array.shape, strict=True)):
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Boxes of one frame.

    Attributes:
        boxes_xyxy_px: `(n, 4)` float32, pixel edges of the frame.
        scores: `(n,)` float32 in [0, 1].
    """

    boxes_xyxy_px: Float32
    scores: Float32

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        _check(self.boxes_xyxy_px, (None, 4), "boxes_xyxy_px")
        _check(self.scores, (len(self.boxes_xyxy_px),), "scores")

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.scores)

    @classmethod
    def empty(cls) -> Detections:
        """No box."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Regions (8-connected components of the mask) of one frame.

    Attributes:
        boxes_xyxy_px: `(n, 4)` float32, tight pixel-edge boxes.
        scores: `(n,)` float32, mean probability inside the region.
        centroids_xy_px: `(n, 2)` float32, pixel-edge coordinates.
        areas_px: `(n,)` float32, pixels.
        mask_rles: n COCO compressed RLE strings over the whole frame (height, width of the frame).
        scrs: `(n,)` float32, signal-to-clutter ratios; NaN where there is nothing to compare with.
    """

    boxes_xyxy_px: Float32
    scores: Float32
    centroids_xy_px: Float32
    areas_px: Float32
    mask_rles: tuple[str, ...]
    scrs: Float32

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        num = len(self.boxes_xyxy_px)
        _check(self.boxes_xyxy_px, (None, 4), "boxes_xyxy_px")
        _check(self.scores, (num,), "scores")
        _check(self.centroids_xy_px, (num, 2), "centroids_xy_px")
        _check(self.areas_px, (num,), "areas_px")
        _check(self.scrs, (num,), "scrs")
        if len(self.mask_rles) != num:
            raise ValueError(f"mask_rles: expected {num} strings, got {len(self.mask_rles)}")

    def __len__(self) -> int:
        """Number of regions."""
        return len(self.scores)

    @classmethod
    def empty(cls) -> Segmentation:
        """No region."""
        none = np.zeros(0, np.float32)
        return cls(np.zeros((0, 4), np.float32), none, np.zeros((0, 2), np.float32), none, (), none)


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """Class scores of the crops of one frame.

    Attributes:
        class_names: the K labels, in column order.
        scores: `(n, K)` float32, each row sums to 1.
    """

    class_names: tuple[str, ...]
    scores: Float32

    def __post_init__(self) -> None:
        """Refuse scores that do not fit the names."""
        _check(self.scores, (None, len(self.class_names)), "scores")

    def __len__(self) -> int:
        """Number of crops."""
        return len(self.scores)
