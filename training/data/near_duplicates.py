"""Frames that show nearly the same: found by the correlation of small pictures of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.frame import Pixels

SIDE_PX = 32
NEAR = 0.98
"""Correlation of two thumbnails from which on frames count as nearly the same."""
_BLOCK = 2048
_FLAT = 1e-6


def thumbnail_of(pixels_HW: Pixels) -> bytes:
    """`SIDE_PX` x `SIDE_PX` bytes: the frame by areas, from its darkest to its brightest place; all 0 for a flat one."""
    finite_HW = np.nan_to_num(pixels_HW.astype(np.float32), posinf=0.0, neginf=0.0)
    small = np.asarray(cv2.resize(finite_HW, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.float64)
    low, high = float(small.min()), float(small.max())
    if high - low <= _FLAT * max(abs(low), abs(high)):  # means of equal counts differ by their rounding
        return bytes(SIDE_PX**2)
    return np.rint((small - low) * (255 / (high - low))).astype(np.uint8).tobytes()


def near_pairs(
    thumbnails: list[bytes], near: float = NEAR, report: Callable[[int, int], None] = lambda done, of: None
) -> Iterator[tuple[int, int, float]]:
    """Pairs of frames whose thumbnails correlate at least so well: first, second, correlation. Flat frames are like no other.

    Args:
        thumbnails: of `thumbnail_of`, N of them; N * N / 2 are compared, in blocks.
        near: least correlation.
        report: gets how many frames are compared with all after them, and how many there are.
    """
    if not thumbnails:
        return
    unit_NP = _units(thumbnails)
    for start in range(0, len(unit_NP), _BLOCK):
        block_BP = unit_NP[start : start + _BLOCK]
        for other in range(start, len(unit_NP), _BLOCK):
            first_M, second_M = np.nonzero(block_BP @ unit_NP[other : other + _BLOCK].T >= near)
            for first, second in zip((first_M + start).tolist(), (second_M + other).tolist(), strict=True):
                if first < second:
                    yield first, second, float(unit_NP[first] @ unit_NP[second])
        report(min(start + _BLOCK, len(unit_NP)), len(unit_NP))


def _units(thumbnails: list[bytes]) -> NDArray[np.float32]:
    pixels_NP = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(len(thumbnails), -1).astype(np.float32)
    pixels_NP -= pixels_NP.mean(axis=1, keepdims=True)
    lengths_N1 = np.linalg.norm(pixels_NP, axis=1, keepdims=True)
    lengths_N1[lengths_N1 == 0] = 1
    return np.asarray(pixels_NP / lengths_N1, np.float32)


class Clusters:
    """Things that belong together, joined pair by pair."""

    def __init__(self, num: int) -> None:
        """Begin with `num` things, each by itself."""
        self._parent = list(range(num))

    def join(self, one: int, other: int) -> None:
        """Put the clusters of two things together."""
        first, last = sorted((self.of(one), self.of(other)))
        self._parent[last] = first

    def of(self, thing: int) -> int:
        """The first thing of this one's cluster."""
        while self._parent[thing] != thing:
            self._parent[thing] = self._parent[self._parent[thing]]
            thing = self._parent[thing]
        return thing
