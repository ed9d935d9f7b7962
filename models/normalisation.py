"""Mean and scale of a frame from the pixels that show the scene, blind to the few that do not.

A hot pixel, a row of telemetry or a border of -3.4e38 says nothing about the scene, but moves a plain mean and standard deviation so far
that targets vanish. What is done about it is the same for a message, an image to learn from and one to measure on:

- *Void* pixels do not count, and get the frame's mean, so that what they held never reaches a network: those without a finite value,
  those of the nodata values that the message or the index names, and those of `models.void`: sentinels and rows of telemetry.
- Hot and dead pixels are void too; they get the level of the pixels around them.
- Of the others the extremes are left out of mean and scale: 0.05 % at each end. They stay as they are; nothing is clipped.
- The scale is no smaller than one count (a flat frame must not have its rounding blown up), for floats a millionth of their level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.frame import Normalisation, Pixels
from models.void import EDGE_ROWS, Levels, lone_pixels, not_objects, num_trimmed, sentinels, telemetry_rows

_SAMPLE_PX = 32_768
# A sample's ends at eight times the trimmed share lie inside the frame's ends.
_INSIDE = 8

Mask = NDArray[np.bool_]
Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """A frame as everything behind sees it.

    Attributes:
        pixels_HW: the counts; void ones are filled. The very array that was given where nothing is void.
        normalisation: its linear map.
        void_HW: True where a pixel does not count; None where all count.
        num_lone: hot and dead pixels.
        telemetry_rows: numbers of the rows that hold no light.
    """

    pixels_HW: Pixels
    normalisation: Normalisation
    void_HW: Mask | None
    num_lone: int = 0
    telemetry_rows: tuple[int, ...] = ()


def measure(pixels_HW: Pixels, bit_depth: int, nodata: Sequence[float] = ()) -> Normalisation:
    """Find the linear map of a frame: as `fill`, without the pixels.

    Args:
        pixels_HW: counts, uint8, uint16 or float32.
        bit_depth: significant bits (32 for float32).
        nodata: values that are no measurement.

    Raises:
        ValueError: not a two-dimensional, non-empty image.
    """
    return _measure(pixels_HW, bit_depth, nodata)[0]


def fill(pixels_HW: Pixels, bit_depth: int, nodata: Sequence[float] = ()) -> Filled:
    """Measure a frame, and fill what does not count: with its mean, hot and dead pixels with what is around (integers are rounded).

    A frame of which nothing counts is flat.

    Args:
        pixels_HW: counts, uint8, uint16 or float32; not written to.
        bit_depth: significant bits (32 for float32).
        nodata: values that are no measurement.

    Raises:
        ValueError: not a two-dimensional, non-empty image.
    """
    normalisation, void_HW, rows = _measure(pixels_HW, bit_depth, nodata)
    flat = normalisation.scale <= scale_floor(normalisation.mean, bit_depth)  # there is no scene to be far from
    lone = [] if flat else lone_pixels(pixels_HW, normalisation, void_HW)
    if void_HW is None and not lone:
        return Filled(pixels_HW, normalisation, None, telemetry_rows=rows)
    counts_HW: Any = pixels_HW.copy()
    count = float if counts_HW.dtype == np.float32 else round
    if void_HW is None:
        void_HW = np.zeros(pixels_HW.shape, bool)
    counts_HW[void_HW] = count(normalisation.mean)
    for pixel in lone:
        counts_HW[pixel.row, pixel.column] = count(pixel.around)
        void_HW[pixel.row, pixel.column] = True
    return Filled(counts_HW, normalisation, void_HW, len(lone), rows)


def _measure(pixels_HW: Pixels, bit_depth: int, nodata: Sequence[float]) -> tuple[Normalisation, Mask | None, tuple[int, ...]]:
    if pixels_HW.ndim != 2 or pixels_HW.size == 0:
        raise ValueError(f"expected a non-empty (height, width) image, got shape {pixels_HW.shape}")
    ways = _reals if np.issubdtype(pixels_HW.dtype, np.floating) else _integers
    mean, deviation, void_HW, rows = ways(pixels_HW, nodata)
    return Normalisation(mean=mean, scale=max(deviation, scale_floor(mean, bit_depth))), void_HW, tuple(rows)


def scale_floor(mean: float, bit_depth: int) -> float:
    """Smallest scale that means something: one count, of floats a millionth of their level."""
    return 1.0 if bit_depth <= 16 else max(abs(mean) * 1e-6, 1e-12)


def _integers(pixels_HW: Array, nodata: Sequence[float]) -> tuple[float, float, Mask | None, list[int]]:
    """Mean, deviation, void pixels and rows of telemetry from the histogram of all pixels."""
    low, high = (int(value) for value in cv2.minMaxLoc(pixels_HW)[:2])
    # OpenCV counts 512x512 bytes in 0.1 ms, numpy's bincount in 0.9.
    num_N = cv2.calcHist([pixels_HW], [0], None, [high - low + 1], [low, high + 1]).reshape(-1)
    used = np.flatnonzero(num_N)
    num_L = num_N[used].astype(np.float64)

    def counted(but: Array) -> Levels:
        if not but.size:
            return Levels(used + low, num_L).without(nodata)
        num_kept_L = num_L - np.bincount((but - low).reshape(-1), minlength=len(num_N))[used]
        return Levels((used + low)[num_kept_L > 0], num_kept_L[num_kept_L > 0]).without(nodata)

    edges = (pixels_HW[:EDGE_ROWS], pixels_HW[EDGE_ROWS:][-EDGE_ROWS:])
    inner = counted(np.concatenate(edges))
    known = not_objects(pixels_HW, sentinels(inner))
    inner = inner.without(known)
    rows = telemetry_rows(pixels_HW, inner.middle(), [*nodata, *known.tolist()]) if len(inner.values_L) else []
    levels = counted(pixels_HW[rows])
    found = not_objects(pixels_HW, sentinels(levels))
    levels = levels.without(found)
    void_HW = _void(pixels_HW, rows, [*nodata, *found.tolist()])
    if not len(levels.values_L):
        return float(low), 0.0, void_HW, rows
    mean, variance = _mean_and_variance(levels.values_L, levels.kept_L())
    return mean, math.sqrt(variance), void_HW, rows


def _reals(pixels_HW: Array, nodata: Sequence[float]) -> tuple[float, float, Mask | None, list[int]]:
    """Mean, deviation, void pixels and rows of telemetry; a sample on a regular grid says where to look for the ends, which are exact."""
    with np.errstate(over="ignore", invalid="ignore"):
        named = np.array(nodata, pixels_HW.dtype).tolist()
        not_finite_HW = None if math.isfinite(cv2.sumElems(pixels_HW)[0]) else ~np.isfinite(pixels_HW)
    void_HW = _joined(not_finite_HW, _void(pixels_HW, [], named))
    inside = slice(EDGE_ROWS, -EDGE_ROWS) if len(pixels_HW) > 2 * EDGE_ROWS else slice(None)
    inner = _counted(pixels_HW[inside], None if void_HW is None else void_HW[inside])
    if not inner.size:
        inner = _counted(pixels_HW, void_HW)
    if not inner.size:
        return 0.0, 0.0, void_HW, []
    found = not_objects(pixels_HW, _sentinels_of(inner))
    sample = _sample(inner).without(found)
    rows = telemetry_rows(pixels_HW, sample.middle(), [*named, *found.tolist()]) if len(sample.values_L) else []
    void_HW = _joined(void_HW, _void(pixels_HW, rows, found.tolist()))
    counted = _counted(pixels_HW, void_HW)
    if cv2.minMaxLoc(counted)[:2] != cv2.minMaxLoc(inner)[:2]:
        # There may be some in the first and last rows only.
        void_HW = _joined(void_HW, _void(pixels_HW, [], not_objects(pixels_HW, _sentinels_of(counted)).tolist()))
        counted = _counted(pixels_HW, void_HW)
    return *_moments(counted, sample), void_HW, rows


def _sample(counted: Array) -> Levels:
    """Of an image, or of the pixels of one that count, those on a regular grid."""
    step = math.ceil((counted.size / _SAMPLE_PX) ** (1 / counted.ndim))
    return Levels(*np.unique(counted[(slice(step // 2, None, step),) * counted.ndim], return_counts=True))


def _counted(pixels_HW: Array, void_HW: Mask | None) -> Array:
    return pixels_HW if void_HW is None else pixels_HW[~void_HW]


def _sentinels_of(counted: Array) -> Array:
    """As `sentinels`; all values are sorted only where many pixels share the smallest or the largest."""
    if not counted.size:
        return counted.reshape(-1)
    enough = num_trimmed(counted.size)
    if not any(cv2.countNonZero(cv2.inRange(counted, end, end)) > enough for end in cv2.minMaxLoc(counted)[:2]):
        return counted.reshape(-1)[:0]
    return sentinels(Levels(*np.unique(counted, return_counts=True)), least_gap=0.0)


def _moments(counted: Array, sample: Levels) -> tuple[float, float]:
    """Mean and standard deviation of the middle 99.9 %: the ends value by value, what is well between them as one."""
    num_below_L = np.cumsum(sample.num_L)
    inside = min(_INSIDE * num_trimmed(float(num_below_L[-1])), num_below_L[-1] / 4)
    low, high = (float(sample.values_L[np.searchsorted(num_below_L, place)]) for place in (inside, num_below_L[-1] - inside))
    below = Levels(*np.unique(counted[counted <= low], return_counts=True))
    above = Levels(*np.unique(counted[counted >= high if low < high else counted > high], return_counts=True))
    mean_11, deviation_11 = cv2.meanStdDev(np.clip(counted, low, high))
    # What was clipped is taken out again: cheaper than a mask, and exact.
    ends, num_ends = np.array([low, high]), np.array([below.num_L.sum(), above.num_L.sum()])
    num = counted.size - num_ends.sum()
    centre = (counted.size * mean_11[0, 0] - num_ends @ ends) / max(num, 1)
    squares = counted.size * (deviation_11[0, 0] ** 2) - num_ends @ (ends - mean_11[0, 0]) ** 2 - num * (centre - mean_11[0, 0]) ** 2
    together = Levels(
        np.concatenate([below.values_L, [centre], above.values_L]).astype(np.float64),
        np.concatenate([below.num_L, [num], above.num_L]),
    )
    kept_L = together.kept_L()
    mean, variance = _mean_and_variance(together.values_L, kept_L)
    return mean, math.sqrt(variance + max(squares, 0.0) / max(num, 1) * kept_L[len(below.num_L)] / kept_L.sum())


def _mean_and_variance(values_L: Array, weights_L: Array) -> tuple[float, float]:
    shares_L = weights_L / weights_L.sum()
    mean = float(values_L @ shares_L)
    return mean, float(np.square(values_L - mean) @ shares_L)


def _void(pixels_HW: Array, rows: Sequence[int], values: Sequence[float]) -> Mask | None:
    """Pixels of some rows, and of some values; None where there are none."""
    if not rows and not values:
        return None
    void_HW = np.zeros(pixels_HW.shape, bool)
    void_HW[rows] = True
    for value in values:
        void_HW |= pixels_HW == value
    return void_HW if void_HW.any() else None


def _joined(first_HW: Mask | None, second_HW: Mask | None) -> Mask | None:
    return first_HW if second_HW is None else second_HW if first_HW is None else first_HW | second_HW
