"""Metrics of small-target segmentation: IoU, nIoU, F1 over pixels; Pd and Fa over targets.

How pixels and targets are counted is a `Protocol`; `evaluation.segmentation_protocols` says how ours and the published ones differ.

F1 over pixels is `2 IoU / (1 + IoU)` and carries nothing beyond IoU; it is there because papers print it.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from evaluation.segmentation_protocols import PROTOCOLS, FalseAlarm, Matching, NormalisedIoU, Protocol

__all__ = [
    "PROTOCOLS",
    "Counts",
    "FalseAlarm",
    "Matching",
    "NormalisedIoU",
    "Protocol",
    "Regions",
    "SegmentationMetrics",
    "SegmentationScores",
    "count_image",
    "match",
    "pair_iou",
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
        precision: pixels of both answer and truth over those of the answer.
        recall: the same over those of the truth.
        pd: detected targets over targets.
        fa: false-alarm pixels over all pixels; papers print it times 1e6 (`fa_ppm`).
        num_matched: targets with a prediction.
        false_alarm_px: numerator of `fa`.
        total_px: denominator of `fa`.
    """

    iou: float
    niou: float
    f1: float
    precision: float
    recall: float
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


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of one image, or the sums over several: every figure is computed from them.

    Attributes:
        intersection_px: pixels of both answer and truth.
        union_px: pixels of either.
        target_px: pixels of the truth.
        total_px: denominator of Fa.
        false_alarm_px: numerator of Fa.
        images: how many.
        targets: regions of the truth.
        matched: of these, with a prediction.
        predictions: regions of the answer.
        iou_sum: sum of the IoUs that nIoU averages.
        iou_num: how many these are.
    """

    intersection_px: int = 0
    union_px: int = 0
    target_px: int = 0
    total_px: int = 0
    false_alarm_px: int = 0
    images: int = 0
    targets: int = 0
    matched: int = 0
    predictions: int = 0
    iou_sum: float = 0.0
    iou_num: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def scores(self) -> SegmentationScores:
        """The figures."""
        iou = _ratio(self.intersection_px, self.union_px)
        return SegmentationScores(
            iou=iou,
            niou=_ratio(self.iou_sum, self.iou_num),
            f1=2 * iou / (1 + iou),
            precision=_ratio(self.intersection_px, self.union_px - self.target_px + self.intersection_px),
            recall=_ratio(self.intersection_px, self.target_px),
            pd=_ratio(self.matched, self.targets),
            fa=_ratio(self.false_alarm_px, self.total_px),
            num_images=self.images,
            num_targets=self.targets,
            num_matched=self.matched,
            num_predictions=self.predictions,
            false_alarm_px=self.false_alarm_px,
            total_px=self.total_px,
        )


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
        """Number of images."""
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
        self._sum = Counts()

    def update(self, predicted_HW: Mask, target_HW: Mask) -> Counts:
        """Count one image, at the resolution in which its pixels and distances are to be counted.

        Args:
            predicted_HW: `(H, W)` bool, the thresholded answer.
            target_HW: `(H, W)` bool, the truth.

        Returns:
            What this image added.

        Raises:
            ValueError: shapes differ, or a mask is not bool (grey masks have more than one reading).
        """
        counts = count_image(predicted_HW, target_HW, self.protocol)
        self._sum += counts
        return counts

    def compute(self) -> SegmentationScores:
        """The figures so far."""
        return self._sum.scores()


def count_image(predicted_HW: Mask, target_HW: Mask, protocol: Protocol) -> Counts:
    """Count one image; see `SegmentationMetrics.update`."""
    if predicted_HW.ndim != 2 or predicted_HW.shape != target_HW.shape:
        raise ValueError(f"expected two masks of one shape (H, W), got {predicted_HW.shape} and {target_HW.shape}")
    if predicted_HW.dtype != np.bool_ or target_HW.dtype != np.bool_:
        raise ValueError(f"expected bool masks, got {predicted_HW.dtype} and {target_HW.dtype}")
    predictions, targets = Regions.of(predicted_HW), Regions.of(target_HW)
    pairs = match(predictions, targets, protocol)
    intersection_px = int(np.count_nonzero(predicted_HW & target_HW))
    union_px = int(np.count_nonzero(predicted_HW | target_HW))
    false_px = int(predictions.areas_N.sum()) - intersection_px
    iou_sum, iou_num = _ious(predictions, targets, pairs, intersection_px, union_px, protocol)
    return Counts(
        intersection_px=intersection_px,
        union_px=union_px,
        target_px=int(targets.areas_N.sum()),
        total_px=protocol.fa_image_px or predicted_HW.size,
        false_alarm_px=_false_alarms(predictions, pairs, false_px, protocol),
        images=1,
        targets=len(targets),
        matched=len({target for target, _ in pairs}),
        predictions=len(predictions),
        iou_sum=iou_sum,
        iou_num=iou_num,
    )


def _false_alarms(predictions: Regions, pairs: list[tuple[int, int]], false_px: int, protocol: Protocol) -> int:
    if protocol.false_alarm is FalseAlarm.FALSE_PIXELS:
        return false_px
    hits = [prediction for _, prediction in pairs]
    unmatched = np.ones(len(predictions), np.bool_)
    unmatched[hits] = False
    if protocol.false_alarm is FalseAlarm.AREA_VALUE:
        unmatched &= ~np.isin(predictions.areas_N, predictions.areas_N[hits])
    return int(predictions.areas_N[unmatched].sum())


def _ious(
    predictions: Regions, targets: Regions, pairs: list[tuple[int, int]], intersection_px: int, union_px: int, protocol: Protocol
) -> tuple[float, int]:
    """Sum and number of the IoUs that nIoU averages; of pixels, where that is what a protocol calls nIoU."""
    if protocol.niou is NormalisedIoU.PIXELS:
        return float(intersection_px), union_px
    if protocol.niou is NormalisedIoU.TARGETS:
        return sum((pair_iou(predictions, targets, target, prediction) for target, prediction in pairs), 0.0), len(targets)
    if union_px or protocol.niou is NormalisedIoU.ALL_IMAGES:
        return intersection_px / max(union_px, 1), 1
    return 0.0, 0


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


def pair_iou(predictions: Regions, targets: Regions, target: int, prediction: int) -> float:
    """IoU of one region of each."""
    both = int(np.count_nonzero((predictions.labels_HW == prediction + 1) & (targets.labels_HW == target + 1)))
    return float(both / (predictions.areas_N[prediction] + targets.areas_N[target] - both))


def _ratio(numerator: float, denominator: int) -> float:
    return numerator / denominator if denominator else math.nan
