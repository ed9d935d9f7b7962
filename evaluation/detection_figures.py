"""Figures of a detector of small targets beside AP50: by overlap and by centre, by size of the target, and what recall costs.

A target of 3 px that is found one pixel off overlaps by 0.29, so AP50 says more about a pixel than about finding: average precision by
centre counts a detection as right where `evaluation.found` does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from contracts.outputs import Detections
from evaluation.detection import DetectionMetrics, average_precision, targets_hit
from evaluation.found import FoundMetrics, targets_found
from models.boxes import Boxes, areas

SIZES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"micro": (0, 4), "nano": (0, 8), "small": (0, 32), "medium": (32, 96), "large": (96, math.inf)}
)
"""Sides in pixels, of a square of the target's area, from the first and below the second. `small` to `large` are COCO's; `small` has
`nano` in it, and that `micro`."""
RECALLS = (0.5, 0.8, 0.9)
"""Shares of found targets whose price in false alarms is asked for."""
_IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
_MIN_IOU = 0.5


class DetectionFigures:
    """Collects them image by image."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._by_iou = {iou: DetectionMetrics(iou) for iou in _IOUS}
        self._legacy = DetectionMetrics(_MIN_IOU, legacy=True)
        self._found = FoundMetrics()
        self._areas: list[NDArray[np.float64]] = []
        self._hit: dict[str, list[NDArray[np.bool_]]] = {"recall": [], "recall_centre": []}

    def update(self, found: Detections, targets_N4: Boxes, ignored_K4: Boxes | None = None, placed_L4: Boxes | None = None) -> None:
        """Count one image; see `DetectionMetrics.update`.

        Args:
            found: what the detector says.
            targets_N4: true boxes.
            ignored_K4: regions nobody labelled.
            placed_L4: targets whose place is known and whose size is not: they count by centre, and by overlap neither way.
        """
        nothing = np.zeros((0, 4), np.float32)
        ignored_K4, placed_L4 = (nothing if each is None else each for each in (ignored_K4, placed_L4))
        for metric in (*self._by_iou.values(), self._legacy):
            metric.update(found, targets_N4, np.concatenate([ignored_K4, placed_L4]))
        order = np.argsort(-found.scores, kind="stable")
        boxes_N4, scores_N = found.boxes_xyxy_px[order], found.scores[order]
        centres_N2 = (boxes_N4[:, :2] + boxes_N4[:, 2:]) / 2
        by_place_N4 = np.concatenate([targets_N4, placed_L4])
        self._found.update(centres_N2, scores_N, by_place_N4, ignored_K4)
        numbers = np.arange(len(targets_N4))
        self._areas.append(areas(targets_N4))
        self._hit["recall"].append(np.isin(numbers, targets_hit(boxes_N4, targets_N4, _MIN_IOU)))
        self._hit["recall_centre"].append(np.isin(numbers, targets_found(centres_N2, scores_N, by_place_N4)))

    def compute(self) -> dict[str, float]:
        """The figures so far, NaN where nothing was there to count.

        Returns:
            `ap50_95`: mean of the average precisions at overlaps of 0.5 to 0.95; `ap50_voc`: AP50 with VOC's longer sides
            (`DetectionMetrics`, `legacy`); `ap_centre`; `recall_SIZE` and `recall_centre_SIZE` of each of `SIZES`, all detections
            counted; `targets_SIZE`; `false_at_recall_50` and so on: false alarms a frame, by centre, infinite where that recall is not
            reached.
        """
        curve, hits_N = self._found.compute(), self._found.hits_N[np.argsort(-self._found.scores_N, kind="stable")]
        values = {
            "ap50_95": float(np.mean([metric.compute().ap for metric in self._by_iou.values()])),
            "ap50_voc": self._legacy.compute().ap,
            "ap_centre": average_precision(hits_N, curve.num_targets),
        }
        sides_M = np.sqrt(np.concatenate(self._areas)) if self._areas else np.zeros(0)
        for size, (low_px, high_px) in SIZES.items():
            of_size_M = (sides_M >= low_px) & (sides_M < high_px)
            for name, hit in self._hit.items():
                values[f"{name}_{size}"] = float(np.concatenate(hit)[of_size_M].mean()) if of_size_M.any() else math.nan
            values[f"targets_{size}"] = float(of_size_M.sum())
        return values | {f"false_at_recall_{round(100 * recall)}": curve.false_at(recall) for recall in RECALLS}
