"""Pixels that show no scene though nobody said so: sentinel values, rows of telemetry, hot and dead pixels.

All rules rather miss one than take a real object for it: light never stops at once, so an object has pixels of every level between its own
and its surroundings' along its edge. What they do on 4,000 real images: benchmarks/2026-11-normalisation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.frame import Normalisation

TRIMMED = 0.0005
"""Share of the pixels left out of mean and scale at each end."""
# 0.05 % of a small frame are fewer than the bad pixels it may have.
_TRIMMED_PX, _MOST_TRIMMED = 16, 0.002
_MAX_SENTINELS = 3
_LEAST_GAP = 16
EDGE_ROWS = 4
"""Rows at the top, and as many at the bottom, that may be telemetry."""
_EDGE_SHARE = 0.1
_MOST_OBJECTS, _LEAST_OBJECT_PX, _SOLID = 16, 9, 0.4
_LEAST_ROWS = 32
_LEAST_PX = 1024
# Of a step between two pixels, what the next one still shows: a twentieth even with optics that blur by half a pixel only.
_SKIRT = 0.05


def num_trimmed(num: float) -> float:
    """Pixels left out at each end of `num`: 0.05 %, of small frames 16 pixels, but no more than 0.2 %."""
    return min(max(TRIMMED * num, _TRIMMED_PX), _MOST_TRIMMED * num)


# Far from the mean, in scales; so many of them are a structure of the scene, or noise that nobody can mend.
_LONE_SCALES, _LONE_PX, _MOST_LONE = 16.0, 2, 1000


@dataclass(frozen=True, slots=True)
class LonePixel:
    """A hot or dead pixel.

    Attributes:
        row, column: where it is.
        around: median of the pixels around.
    """

    row: int
    column: int
    around: float


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """A distribution of counts.

    Attributes:
        values_L: in ascending order, each once.
        num_L: pixels that have each, more than 0.
    """

    values_L: NDArray[Any]
    num_L: NDArray[Any]

    def between(self, low: int, high: int) -> Levels:
        """Without the `low` smallest and `high` largest values."""
        end = len(self.values_L) - high
        return Levels(self.values_L[low:end], self.num_L[low:end])

    def without(self, values: Sequence[float] | NDArray[Any]) -> Levels:
        """Without some values."""
        if not len(values):
            return self
        kept_L = ~np.isin(self.values_L, values)
        return Levels(self.values_L[kept_L], self.num_L[kept_L])

    def kept_L(self) -> NDArray[np.float64]:
        """Pixels of each value that are left when `num_trimmed` are taken away at each end."""
        below_L = np.cumsum(self.num_L, dtype=np.float64)
        trimmed = num_trimmed(float(below_L[-1]))
        kept_L: NDArray[np.float64] = np.minimum(np.maximum(below_L, trimmed), below_L[-1] - trimmed)
        kept_L[1:] -= kept_L[:-1].copy()
        kept_L[0] -= trimmed
        return kept_L

    def middle(self) -> tuple[float, float]:
        """Smallest and largest value of what `kept_L` leaves."""
        below_L = np.cumsum(self.num_L, dtype=np.float64)
        trimmed = num_trimmed(float(below_L[-1]))
        first, last = np.searchsorted(below_L, trimmed, "right"), np.searchsorted(below_L, below_L[-1] - trimmed, "left")
        return float(self.values_L[first]), float(self.values_L[last])


def sentinels(levels: Levels, least_gap: float = _LEAST_GAP) -> NDArray[Any]:
    """Values that stand for "no measurement": -9999, -3.4e38, 0, the largest count.

    Up to three values at an end, each held by more pixels than are trimmed there, and no other value for farther than all the rest
    reaches (its middle 99.9 %): not one pixel between. `not_objects` looks at where they lie.

    Args:
        levels: of the frame.
        least_gap: smallest distance to the next value.
    """
    values_L, num_L = levels.values_L, levels.num_L
    if len(values_L) < 3:
        return values_L[:0]
    num = float(num_L.sum(dtype=np.float64))
    enough = num_trimmed(num)
    if num < _LEAST_PX or (num_L[0] <= enough and num_L[-1] <= enough):
        return values_L[:0]
    most = [_leading(num_L[:_MAX_SENTINELS] > enough), _leading(num_L[: -_MAX_SENTINELS - 1 : -1] > enough)]
    pairs = [(low, high) for low in range(most[0] + 1) for high in range(most[1] + 1) if low + high and low + high + 2 <= len(values_L)]
    for low, high in sorted(pairs, key=sum, reverse=True):
        rest = levels.between(low, high)
        first, last = rest.middle()
        gap = max(last - first, least_gap)
        below = low == 0 or float(values_L[low]) - float(values_L[low - 1]) > gap
        above = high == 0 or float(values_L[-high]) - float(values_L[-high - 1]) > gap
        if first < last and below and above:
            return np.concatenate([values_L[:low], values_L[len(values_L) - high :]])
    return values_L[:0]


def not_objects(pixels_HW: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Of values that may be sentinels, those whose pixels are not all of a few solid patches inside the frame, as flares would be."""
    kept = [value for value in values if not _solid(np.asarray(pixels_HW == value))]
    return np.array(kept, values.dtype)


def _solid(held_HW: NDArray[np.bool_]) -> bool:
    num, _, stats_NS, _ = cv2.connectedComponentsWithStats(held_HW.view(np.uint8), connectivity=8)
    if not 1 < num <= _MOST_OBJECTS + 1:
        return False
    left_N, top_N, width_N, height_N, area_N = stats_NS[1:].T
    inside_N = (left_N > 0) & (top_N > 0) & (left_N + width_N < held_HW.shape[1]) & (top_N + height_N < held_HW.shape[0])
    return bool((inside_N & (area_N >= _LEAST_OBJECT_PX) & (area_N > _SOLID * width_N * height_N)).all())


def lone_pixels(pixels_HW: NDArray[Any], normalisation: Normalisation, void_HW: NDArray[np.bool_] | None) -> list[LonePixel]:
    """Hot and dead pixels: alone or two together, far beyond the scene, and the pixels around show nothing of them.

    Light of that strength would: optics that blur by half a pixel only leave a tenth of it beside it. So a target of one pixel that optics
    drew stays, and so does whatever is not farther from the mean than 16 scales: no 8-bit frame of usual contrast has room for that.

    Args:
        pixels_HW: counts.
        normalisation: of the frame.
        void_HW: pixels known to show nothing; None: there are none.
    """
    reach = _LONE_SCALES * normalisation.scale
    low, high = normalisation.mean - reach, normalisation.mean + reach
    smallest, largest = cv2.minMaxLoc(pixels_HW)[:2]
    if low <= smallest and largest <= high:
        return []
    far_HW = (pixels_HW < low) | (pixels_HW > high)
    if void_HW is not None:
        far_HW &= ~void_HW
    num, labels_HW, stats_NS, _ = cv2.connectedComponentsWithStats(far_HW.view(np.uint8), connectivity=8)
    if num - 1 > _MOST_LONE:
        return []
    found = []
    for index in 1 + np.flatnonzero(stats_NS[1:, cv2.CC_STAT_AREA] <= _LONE_PX):
        left, top, width, height, _ = (int(value) for value in stats_NS[index])
        window = np.s_[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1]
        here = labels_HW[window] == index
        # Neighbours that are void, or far in their own right, say nothing of this one.
        beside = pixels_HW[window][~here & ~far_HW[window] & (True if void_HW is None else ~void_HW[window])].astype(np.float64)
        if not beside.size:
            continue
        around = float(np.median(beside))
        step = float(np.abs(pixels_HW[window][here].astype(np.float64) - around).min())
        if np.abs(beside - around).max() < _SKIRT * step:
            rows, columns = np.nonzero(here)
            found += [
                LonePixel(window[0].start + int(row), window[1].start + int(column), around)
                for row, column in zip(rows, columns, strict=True)
            ]
    return found


def _leading(flags: NDArray[np.bool_]) -> int:
    """Number of flags before the first that is false."""
    return int(np.argmin(flags)) if not flags.all() else len(flags)


def telemetry_rows(pixels_HW: NDArray[Any], middle: tuple[float, float], void: Sequence[float] = ()) -> list[int]:
    """Rows among the first and last four that hold numbers, not light.

    In such a row more than a tenth of the pixels lie outside the range of the frame by more than that range, at several values (one alone
    is a sentinel's business); and the next row towards the middle shows nothing of it, where an object that reaches into the frame would
    go on, or at least have the skirt of all optics.

    Args:
        pixels_HW: counts.
        middle: range of the rows between (their middle 99.9 %, sentinels left out).
        void: values that do not count; those that are not finite never do.
    """
    height_px, (low, high) = len(pixels_HW), middle
    if height_px < _LEAST_ROWS or low == high:
        return []
    span = high - low
    found = []
    for first, inwards in ((0, 1), (height_px - 1, -1)):
        edge_RW = pixels_HW[: EDGE_ROWS + 2] if inwards > 0 else pixels_HW[: -EDGE_ROWS - 3 : -1]
        if low - span <= edge_RW.min() and edge_RW.max() <= high + span:  # false of NaN
            continue
        edge_RW = edge_RW.astype(np.float64)
        far_RW = ((edge_RW < low - span) | (edge_RW > high + span)) & np.isfinite(edge_RW) & ~np.isin(edge_RW, void)
        flagged = np.flatnonzero(far_RW[:EDGE_ROWS].mean(axis=1) > _EDGE_SHARE)
        if not len(flagged) or np.ptp(edge_RW[flagged][far_RW[flagged]]) == 0:
            continue
        last, under, beyond = edge_RW[flagged[-1] : flagged[-1] + 3, far_RW[flagged[-1]]]
        step = last - under
        skirt = np.sign(step) * (under - beyond)
        if np.median(np.abs(step)) > max(span / 2, np.median(skirt) / _SKIRT):
            found += [first + inwards * int(row) for row in flagged]
    return found
