"""Frames that show nearly the same: found by the correlation of small pictures of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.frame import Pixels

SIDE_PX = 32
NEAR = 0.98
"""Correlation of two thumbnails from which on frames count as nearly the same."""
_BLOCK = 1024
_FLAT = 1e-6


def thumbnail_of(pixels_HW: Pixels) -> bytes:
    """`SIDE_PX` x `SIDE_PX` bytes: the frame by areas, from its darkest to its brightest place; all 0 for a flat one."""
    finite_HW = np.nan_to_num(pixels_HW.astype(np.float32), posinf=0.0, neginf=0.0)
    small = np.asarray(cv2.resize(finite_HW, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.float64)
    low, high = float(small.min()), float(small.max())
    if high - low <= _FLAT * max(abs(low), abs(high)):  # means of equal counts differ by their rounding
        return bytes(SIDE_PX**2)
    return np.rint((small - low) * (255 / (high - low))).astype(np.uint8).tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class NearPairs:
    """Some pairs of frames that are nearly the same, at most a block of them at a time: of N alike frames there are N * N / 2.

    Attributes:
        first_M: index of the first frame of each pair, rising.
        second_M: index of the second one, above the first.
        alike_M: correlation of their thumbnails.
    """

    first_M: NDArray[np.int64]
    second_M: NDArray[np.int64]
    alike_M: NDArray[np.float32]

    def only(self, kept_M: NDArray[np.bool_]) -> NearPairs:
        """Those of the pairs for which it is true."""
        return NearPairs(self.first_M[kept_M], self.second_M[kept_M], self.alike_M[kept_M])


def near_pairs(
    thumbnails: Sequence[bytes], near: float = NEAR, report: Callable[[int, int], None] = lambda done, of: None
) -> Iterator[NearPairs]:
    """Pairs of frames whose thumbnails correlate at least so well, block by block. Flat frames are like no other.

    Args:
        thumbnails: of `thumbnail_of`, N of them; N * N / 2 are compared.
        near: least correlation.
        report: gets how many frames are compared with all after them, and how many there are.
    """
    if not thumbnails:
        return
    unit_NP = _units(thumbnails)
    for start in range(0, len(unit_NP), _BLOCK):
        block_BP = unit_NP[start : start + _BLOCK]
        for other in range(start, len(unit_NP), _BLOCK):
            alike_BB = block_BP @ unit_NP[other : other + _BLOCK].T
            near_BB = alike_BB >= near
            if other == start:
                near_BB = np.triu(near_BB, 1)
            first_M, second_M = np.nonzero(near_BB)
            if len(first_M):
                yield NearPairs(first_M + start, second_M + other, alike_BB[first_M, second_M])
        report(min(start + _BLOCK, len(unit_NP)), len(unit_NP))


def _units(thumbnails: Sequence[bytes]) -> NDArray[np.float32]:
    pixels_NP = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(len(thumbnails), -1).astype(np.float32)
    pixels_NP -= pixels_NP.mean(axis=1, keepdims=True)
    lengths_N1 = np.linalg.norm(pixels_NP, axis=1, keepdims=True)
    lengths_N1[lengths_N1 == 0] = 1
    return np.asarray(pixels_NP / lengths_N1, np.float32)


class Clusters:
    """Things that belong together, joined pair by pair; memory is that of one number a thing."""

    def __init__(self, num: int) -> None:
        """Begin with `num` things, each by itself."""
        self._of_N = np.arange(num)

    def join(self, one_M: NDArray[np.int64], other_M: NDArray[np.int64]) -> None:
        """Put the clusters of the things of each pair together."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        num, ends = len(self._of_N), (self._of_N[one_M], self._of_N[other_M])
        pairs = coo_array((np.ones(len(one_M), np.bool_), ends), shape=(num, num))
        _, joined_N = connected_components(pairs, directed=False)
        first_K = np.unique(joined_N, return_index=True)[1]
        self._of_N = first_K[joined_N][self._of_N]

    @property
    def of_N(self) -> NDArray[np.int64]:
        """The first thing of each one's cluster."""
        return self._of_N
