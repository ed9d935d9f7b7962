"""Every single target and what became of it: the rows that tables by size and by contrast are made of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from evaluation.segmentation import Mask, Protocol, Regions, match, pair_iou
from models.photometry import signal_to_clutter

# Upper ends in pixels: up to 3 x 3, 5 x 5, 9 x 9 (the largest "small" target of SPIE), 16 x 16, larger.
SIZE_EDGES_PX = (0, 9, 25, 81, 256, math.inf)
CONTRAST_EDGES = (-math.inf, 1.5, 3.0, 6.0, 12.0, math.inf)


@dataclass(frozen=True, slots=True)
class TargetRecord:
    """One target of the truth.

    Attributes:
        area_px: its pixels.
        scr: signal-to-clutter ratio, see `models.photometry`; NaN where there is no background to compare with.
        row_px, column_px: centroid, pixel indices.
        found: whether a prediction was matched to it.
        distance_px: between the centroids; NaN where missed.
        iou: of the matched pair; 0 where missed.
    """

    area_px: int
    scr: float
    row_px: float
    column_px: float
    found: bool
    distance_px: float
    iou: float


@dataclass(frozen=True, slots=True)
class Stratum:
    """Targets of one range.

    Attributes:
        low, high: of the range; low excluded, high included.
        targets: how many.
        pd: found targets over targets; NaN without any.
        iou: mean over the targets, missed ones as 0; NaN without any.
    """

    low: float
    high: float
    targets: int
    pd: float
    iou: float


def targets_of(
    image_HW: NDArray[np.generic], predicted_HW: Mask, target_HW: Mask, protocol: Protocol, void_HW: Mask | None = None
) -> list[TargetRecord]:
    """All targets of an image, in raster order; void pixels are no part of their contrast."""
    predictions, targets = Regions.of(predicted_HW), Regions.of(target_HW)
    hits = dict(match(predictions, targets, protocol))
    records = []
    for index in range(len(targets)):
        row, column = targets.centroids_N2[index].tolist()
        hit = hits.get(index)
        records.append(
            TargetRecord(
                area_px=int(targets.areas_N[index]),
                scr=signal_to_clutter(image_HW, targets.labels_HW == index + 1, target_HW, void_HW),
                row_px=row,
                column_px=column,
                found=hit is not None,
                distance_px=math.nan if hit is None else float(math.dist((row, column), predictions.centroids_N2[hit])),
                iou=0.0 if hit is None else pair_iou(predictions, targets, index, hit),
            )
        )
    return records


def by_size(records: Iterable[TargetRecord]) -> list[Stratum]:
    """Pd and IoU for each range of areas."""
    return _strata([(record.area_px, record) for record in records], SIZE_EDGES_PX)


def by_contrast(records: Iterable[TargetRecord]) -> list[Stratum]:
    """Pd and IoU for each range of signal-to-clutter ratios; targets without one are left out."""
    return _strata([(record.scr, record) for record in records if not math.isnan(record.scr)], CONTRAST_EDGES)


def _strata(valued: Sequence[tuple[float, TargetRecord]], edges: Sequence[float]) -> list[Stratum]:
    strata = []
    for low, high in pairwise(edges):
        inside = [record for value, record in valued if low < value <= high]
        num = len(inside)
        found, iou = sum(record.found for record in inside), sum(record.iou for record in inside)
        strata.append(Stratum(low, high, num, found / num if num else math.nan, iou / num if num else math.nan))
    return strata
