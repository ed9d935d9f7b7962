"""Confidence intervals of a figure and of a difference of two: bootstrap over images.

Images are drawn with replacement, the same ones for both networks (paired), and every figure is computed from the sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from evaluation.segmentation import Counts

FIGURES = ("iou", "niou", "pd", "fa")
_COLUMNS = {each.name: index for index, each in enumerate(fields(Counts))}
_DRAWS_AT_ONCE = 256
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and where it lies with the stated confidence.

    Attributes:
        value: over all images.
        low, high: percentiles of the bootstrap.
    """

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """For a difference: whether it is one."""
        return self.low > 0 or self.high < 0


def intervals(counts: Sequence[Counts], *, num: int = 2000, confidence: float = 0.95, seed: int = 0) -> dict[str, Interval]:
    """IoU, nIoU, Pd and Fa with their intervals.

    Args:
        counts: one for each image.
        num: bootstrap samples.
        confidence: in (0, 1).
        seed: of the draws.

    Raises:
        ValueError: no image.
    """
    table = _table(counts)
    drawn = {name: np.concatenate(parts) for name, parts in _collect(_draws(len(table), num, seed), [table])[0].items()}
    return _as_intervals(_figures(table.sum(0, keepdims=True)), drawn, confidence)


def paired_differences(
    first: Sequence[Counts],
    second: Sequence[Counts],
    *,
    num: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    same_frames: bool = True,
) -> dict[str, Interval]:
    """Figures of the second network less those of the first, on the same images.

    Args:
        first: one for each image.
        second: the same images in the same order.
        num: bootstrap samples.
        confidence: in (0, 1).
        seed: of the draws.
        same_frames: False where the second were changed, such as cropped: their numbers of targets and pixels may differ.

    Raises:
        ValueError: no image, or not the same images (their numbers of targets and pixels differ).
    """
    tables = [_table(first), _table(second)]
    same = [_COLUMNS[name] for name in ("total_px", "targets")] if same_frames else []
    if len(tables[0]) != len(tables[1]) or not np.array_equal(tables[0][:, same], tables[1][:, same]):
        raise ValueError("expected counts of the same images in the same order")
    one, other = _collect(_draws(len(tables[0]), num, seed), tables)
    drawn = {name: np.concatenate(other[name]) - np.concatenate(one[name]) for name in FIGURES}
    whole = [_figures(table.sum(0, keepdims=True)) for table in tables]
    return _as_intervals({name: whole[1][name] - whole[0][name] for name in FIGURES}, drawn, confidence)


def _table(counts: Sequence[Counts]) -> Floats:
    if not counts:
        raise ValueError("expected counts of at least one image")
    return np.array([astuple(each) for each in counts], np.float64)


def _draws(num_images: int, num: int, seed: int) -> list[Floats]:
    """Counts of each image in each sample, `(samples, images)`, in parts."""
    rng = np.random.default_rng(seed)
    shares = np.full(num_images, 1 / num_images)
    sizes = [min(_DRAWS_AT_ONCE, num - start) for start in range(0, num, _DRAWS_AT_ONCE)]
    return [rng.multinomial(num_images, shares, size=size).astype(np.float64) for size in sizes]


def _collect(draws: list[Floats], tables: Sequence[Floats]) -> list[dict[str, list[Floats]]]:
    found: list[dict[str, list[Floats]]] = [{name: [] for name in FIGURES} for _ in tables]
    for draw in draws:
        for table, parts in zip(tables, found, strict=True):
            for name, values in _figures(draw @ table).items():
                parts[name].append(values)
    return found


def _figures(sums_RK: Floats) -> dict[str, Floats]:
    def ratio(above: str, below: str) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            quotient: Floats = sums_RK[:, _COLUMNS[above]] / sums_RK[:, _COLUMNS[below]]
        return quotient

    return {
        "iou": ratio("intersection_px", "union_px"),
        "niou": ratio("iou_sum", "iou_num"),
        "pd": ratio("matched", "targets"),
        "fa": ratio("false_alarm_px", "total_px"),
    }


def _as_intervals(values: dict[str, Floats], drawn: dict[str, Floats], confidence: float) -> dict[str, Interval]:
    tail = 50 * (1 - confidence)
    found = {}
    for name in FIGURES:
        known = drawn[name][~np.isnan(drawn[name])]
        low, high = np.percentile(known, [tail, 100 - tail]).tolist() if len(known) else (math.nan, math.nan)
        found[name] = Interval(float(values[name][0]), low, high)
    return found
