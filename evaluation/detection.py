"""Metrics of detection: average precision, precision and recall, for one class of boxes.

Average precision is the area under the interpolated precision-recall curve (all points, as VOC since 2010), boxes in
pixel-edge coordinates without the legacy +1. Detections are matched per image by falling score, each to the free truth
it overlaps most. Regions nobody labelled swallow detections without counting them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.outputs import Detections
from models.boxes import Boxes, iou_matrix, shares_inside


@dataclass(frozen=True, slots=True)
class DetectionScores:
    """The figures of one run; ratios are in [0, 1] and NaN where nothing was there to count.

    Attributes:
        ap: average precision over all detections.
        recall: found truths over truths, all detections.
        precision_at: precision of the detections at or above the score threshold.
        recall_at: recall of those.
        f1_at: harmonic mean of the two.
        false_per_image: false detections at or above the threshold, per image.
    """

    ap: float
    recall: float
    precision_at: float
    recall_at: float
    f1_at: float
    false_per_image: float
    num_images: int
    num_targets: int
    num_detections: int


class DetectionMetrics:
    """Collects scores and hits image by image."""

    def __init__(self, min_iou: float = 0.5, *, legacy: bool = False) -> None:
        """Begin at zero.

        Args:
            min_iou: a detection hits a truth from this overlap on.
            legacy: boxes end with their last pixel, so that all sides are one pixel longer: as VOC's code and the mmdetection of
                AuxDet's paper compute overlaps, for figures to compare with theirs. Small boxes then overlap more.
        """
        self._min_iou, self._legacy = min_iou, legacy
        self._scores: list[NDArray[np.float32]] = []
        self._hits: list[NDArray[np.bool_]] = []
        self._num_images = self._num_targets = 0

    def update(self, found: Detections, targets_N4: Boxes, ignored_K4: Boxes | None = None) -> None:
        """Count one image.

        Args:
            found: what the detector says.
            targets_N4: true boxes, pixel edges.
            ignored_K4: regions nobody labelled; a detection that misses all truths and lies at least half in one is dropped.
        """
        order = np.argsort(-found.scores, kind="stable")
        boxes, scores = found.boxes_xyxy_px[order], found.scores[order]
        longer_4 = np.array([0, 0, self._legacy, self._legacy], np.float32)
        hits = match_boxes(boxes + longer_4, targets_N4 + longer_4, self._min_iou)
        counted = np.ones(len(boxes), bool)
        if ignored_K4 is not None and len(ignored_K4):
            counted = hits | (shares_inside(boxes, ignored_K4).max(axis=1, initial=0) < 0.5)
        self._scores.append(scores[counted])
        self._hits.append(hits[counted])
        self._num_images += 1
        self._num_targets += len(targets_N4)

    def compute(self, score_threshold: float = 0.5) -> DetectionScores:
        """The figures so far; those called `_at` count detections from this score on."""
        scores, hits = self._ranked()
        above = scores >= score_threshold
        num_true, num_above = int(hits[above].sum()), int(above.sum())
        precision, recall = _ratio(num_true, num_above), _ratio(num_true, self._num_targets)
        return DetectionScores(
            ap=average_precision(hits, self._num_targets),
            recall=_ratio(int(hits.sum()), self._num_targets),
            precision_at=precision,
            recall_at=recall,
            f1_at=_ratio(2 * num_true, num_above + self._num_targets),
            false_per_image=_ratio(num_above - num_true, self._num_images),
            num_images=self._num_images,
            num_targets=self._num_targets,
            num_detections=len(scores),
        )

    def best_threshold(self) -> float:
        """The score threshold with the highest F1 so far (for validation images, never for test images)."""
        scores, hits = self._ranked()
        if len(scores) == 0:
            return 0.5
        f1 = 2 * np.cumsum(hits) / (np.arange(1, len(scores) + 1) + self._num_targets)
        return float(scores[int(np.argmax(f1))])

    def _ranked(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        if not self._scores:
            return np.zeros(0, np.float32), np.zeros(0, bool)
        scores, hits = np.concatenate(self._scores), np.concatenate(self._hits)
        order = np.argsort(-scores, kind="stable")
        return scores[order], hits[order]


def match_boxes(boxes_N4: Boxes, targets_M4: Boxes, min_iou: float) -> NDArray[np.bool_]:
    """True for the boxes that hit, by falling score: each takes the free truth it overlaps most, if it overlaps enough."""
    return np.asarray(targets_hit(boxes_N4, targets_M4, min_iou) >= 0, np.bool_)


def targets_hit(boxes_N4: Boxes, targets_M4: Boxes, min_iou: float) -> NDArray[np.intp]:
    """Index of the truth that each box hits, -1 where it hits none, `(N,)`; see `match_boxes`."""
    hit_N = np.full(len(boxes_N4), -1, np.intp)
    if len(targets_M4) == 0:
        return hit_N
    overlap_NM = iou_matrix(boxes_N4, targets_M4)
    for index in range(len(boxes_N4)):
        best = int(np.argmax(overlap_NM[index]))
        if overlap_NM[index, best] >= min_iou:
            hit_N[index] = best
            overlap_NM[:, best] = -1.0
    return hit_N


def average_precision(hits_N: NDArray[np.bool_], num_targets: int) -> float:
    """Area under the precision-recall curve after making precision fall monotonically; NaN without targets."""
    if num_targets == 0:
        return float("nan")
    true = np.cumsum(hits_N)
    precision = true / np.arange(1, len(hits_N) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[hits_N].sum() / num_targets)


def _ratio(numerator: float, denominator: int) -> float:
    return numerator / denominator if denominator else float("nan")
