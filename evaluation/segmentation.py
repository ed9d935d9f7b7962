"""Metrics of small-target segmentation: IoU, nIoU, F1 over pixels; Pd and Fa over targets.

How pixels and targets are counted is a `Protocol`; `evaluation.segmentation_protocols` says how ours and the published ones differ.

F1 over pixels is `2 IoU / (1 + IoU)` and carries nothing beyond IoU; it is there because papers print it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from evaluation.segmentation_protocols import PROTOCOLS, FalseAlarm, Matching, NormalisedIoU, Protocol

__all__ = [
    "PROTOCOLS",
    "FalseAlarm",
    "Matching",
    "NormalisedIoU",
    "Protocol",
    "Regions",
    "SegmentationMetrics",
    "SegmentationScores",
    "match",
]
Mask = NDArray[np.bool_]
_EIGHT_CONNECTED = np.ones((3, 3), np.int8)
# Centroids are fractions: a distance of exactly 3 comes out as 2.9999999999999996 or 3 by where the regions lie.
_ROUNDING_PX = 1e-9


@dataclass(frozen=True, slots=True)
class SegmentationScores:
    """The figures of one run over a data set; ratios are in [0, 1] and NaN where nothing was there to count.

    Attributes:
        iou: intersection over union of pixels, accumulated over all images.
        niou: mean IoU per image (or per target, by protocol).
        f1: F1 over pixels, `2 iou / (1 + iou)`.
        pd: detected targets over targets.
        fa: false-alarm pixels over all pixels; papers print it times 1e6 (`fa_ppm`).
        num_matched: targets with a prediction.
        false_alarm_px: numerator of `fa`.
        total_px: denominator of `fa`.
    """

    iou: float
    niou: float
    f1: float
    pd: float
    fa: float
    num_images: int
    num_targets: int
    num_matched: int
    num_predictions: int
    false_alarm_px: int
    total_px: int

    @property
    def fa_ppm(self) -> float:
        """False-alarm pixels per million."""
        return self.fa * 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """8-connected regions of one mask, in raster order of their first pixel.

    Attributes:
        labels_HW: 0 for background, `i + 1` for region i.
        areas_N: pixels.
        centroids_N2: row and column, pixel indices (the first pixel's middle is 0).
    """

    labels_HW: NDArray[np.int32]
    areas_N: NDArray[np.int64]
    centroids_N2: NDArray[np.float64]

    def __len__(self) -> int:
        """How many."""
        return len(self.areas_N)

    @classmethod
    def of(cls, mask_HW: Mask) -> Regions:
        """Label a mask."""
        labels_HW, num = ndimage.label(mask_HW, _EIGHT_CONNECTED)
        rows, columns = np.nonzero(mask_HW)
        labels = labels_HW[rows, columns] - 1
        areas_N = np.bincount(labels, minlength=num)
        sums = [np.bincount(labels, weights=index, minlength=num) for index in (rows, columns)]
        return cls(labels_HW, areas_N, np.stack(sums, axis=1) / areas_N[:, None])


class SegmentationMetrics:
    """Counts image by image and keeps sums only: memory does not grow with the data set."""

    def __init__(self, protocol: Protocol | str = "default") -> None:
        """Begin at zero.

        Args:
            protocol: how to count, or the name of one of `PROTOCOLS`.
        """
        self.protocol = PROTOCOLS[protocol] if isinstance(protocol, str) else protocol
        self._intersection_px = self._union_px = self._total_px = self._false_alarm_px = 0
        self._num_images = self._num_targets = self._num_matched = self._num_predictions = 0
        self._niou_sum = 0.0
        self._niou_num = 0

    def update(self, predicted_HW: Mask, target_HW: Mask) -> None:
        """Count one image, at the resolution in which its pixels and distances are to be counted.

        Args:
            predicted_HW: `(H, W)` bool, the thresholded answer.
            target_HW: `(H, W)` bool, the truth.

        Raises:
            ValueError: shapes differ, or a mask is not bool (grey masks have more than one reading).
        """
        if predicted_HW.ndim != 2 or predicted_HW.shape != target_HW.shape:
            raise ValueError(f"expected two masks of one shape (H, W), got {predicted_HW.shape} and {target_HW.shape}")
        if predicted_HW.dtype != np.bool_ or target_HW.dtype != np.bool_:
            raise ValueError(f"expected bool masks, got {predicted_HW.dtype} and {target_HW.dtype}")
        predictions, targets = Regions.of(predicted_HW), Regions.of(target_HW)
        pairs = match(predictions, targets, self.protocol)
        intersection_px = int(np.count_nonzero(predicted_HW & target_HW))
        union_px = int(np.count_nonzero(predicted_HW | target_HW))
        self._intersection_px += intersection_px
        self._union_px += union_px
        self._total_px += self.protocol.fa_image_px or predicted_HW.size
        self._false_alarm_px += self._false_alarms(predictions, pairs, int(predictions.areas_N.sum()) - intersection_px)
        self._num_images += 1
        self._num_targets += len(targets)
        self._num_matched += len({target for target, _ in pairs})
        self._num_predictions += len(predictions)
        self._count_niou(predictions, targets, pairs, intersection_px / union_px if union_px else None)

    def compute(self) -> SegmentationScores:
        """The figures so far."""
        iou = _ratio(self._intersection_px, self._union_px)
        return SegmentationScores(
            iou=iou,
            niou=iou if self.protocol.niou is NormalisedIoU.PIXELS else _ratio(self._niou_sum, self._niou_num),
            f1=2 * iou / (1 + iou),
            pd=_ratio(self._num_matched, self._num_targets),
            fa=_ratio(self._false_alarm_px, self._total_px),
            num_images=self._num_images,
            num_targets=self._num_targets,
            num_matched=self._num_matched,
            num_predictions=self._num_predictions,
            false_alarm_px=self._false_alarm_px,
            total_px=self._total_px,
        )

    def _false_alarms(self, predictions: Regions, pairs: list[tuple[int, int]], false_px: int) -> int:
        if self.protocol.false_alarm is FalseAlarm.FALSE_PIXELS:
            return false_px
        hits = [prediction for _, prediction in pairs]
        unmatched = np.ones(len(predictions), np.bool_)
        unmatched[hits] = False
        if self.protocol.false_alarm is FalseAlarm.AREA_VALUE:
            unmatched &= ~np.isin(predictions.areas_N, predictions.areas_N[hits])
        return int(predictions.areas_N[unmatched].sum())

    def _count_niou(self, predictions: Regions, targets: Regions, pairs: list[tuple[int, int]], iou: float | None) -> None:
        if self.protocol.niou is NormalisedIoU.TARGETS:
            self._niou_num += len(targets)
            self._niou_sum += sum(_pair_iou(predictions, targets, target, prediction) for target, prediction in pairs)
        elif iou is not None or self.protocol.niou is NormalisedIoU.ALL_IMAGES:
            self._niou_num += 1
            self._niou_sum += iou or 0.0


def match(predictions: Regions, targets: Regions, protocol: Protocol) -> list[tuple[int, int]]:
    """Pair targets with predictions whose centroids are in reach.

    Returns:
        Pairs (target, prediction); each prediction at most once, each target too unless the protocol shares them.
    """
    if not len(predictions) or not len(targets):
        return []
    reach_T = np.full(len(targets), protocol.max_distance)
    if protocol.in_diameters:
        reach_T *= np.sqrt(4 * targets.areas_N / math.pi)
    reach_T -= _ROUNDING_PX
    # Only predictions near a target make columns: an answer of pure noise has thousands that are near none.
    near = [
        np.flatnonzero(_distances(predictions, centroid) < reach) for centroid, reach in zip(targets.centroids_N2, reach_T, strict=True)
    ]
    candidates = np.unique(np.concatenate(near))
    if not len(candidates):
        return []
    distances_TC = np.stack([_distances(predictions, centroid)[candidates] for centroid in targets.centroids_N2])
    in_reach_TC = distances_TC < reach_T[:, None]
    chosen = {Matching.OPTIMAL: _optimal, Matching.GREEDY: _greedy, Matching.SHARED: _shared}[protocol.matching](distances_TC, in_reach_TC)
    return [(target, int(candidates[column])) for target, column in chosen]


def _distances(predictions: Regions, centroid_2: NDArray[np.float64]) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = np.linalg.norm(predictions.centroids_N2 - centroid_2, axis=1)
    return distances


def _optimal(distances_TC: NDArray[np.float64], in_reach_TC: Mask) -> list[tuple[int, int]]:
    # Dearer than all allowed pairs together, so that one pair more always wins over closer ones.
    forbidden = float(distances_TC[in_reach_TC].sum()) + 1.0
    rows, columns = optimize.linear_sum_assignment(np.where(in_reach_TC, distances_TC, forbidden))
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if in_reach_TC[row, column]]


def _greedy(distances_TC: NDArray[np.float64], in_reach_TC: Mask) -> list[tuple[int, int]]:
    free_C = np.ones(in_reach_TC.shape[1], np.bool_)
    pairs = []
    for target, in_reach_C in enumerate(in_reach_TC):
        columns = np.flatnonzero(in_reach_C & free_C)
        if len(columns):
            free_C[columns[0]] = False
            pairs.append((target, int(columns[0])))
    return pairs


def _shared(distances_TC: NDArray[np.float64], in_reach_TC: Mask) -> list[tuple[int, int]]:
    first_T = in_reach_TC.argmax(axis=0)
    return [(int(target), column) for column, target in enumerate(first_T) if in_reach_TC[target, column]]


def _pair_iou(predictions: Regions, targets: Regions, target: int, prediction: int) -> float:
    both = int(np.count_nonzero((predictions.labels_HW == prediction + 1) & (targets.labels_HW == target + 1)))
    return float(both / (predictions.areas_N[prediction] + targets.areas_N[target] - both))


def _ratio(numerator: float, denominator: int) -> float:
    return numerator / denominator if denominator else math.nan
