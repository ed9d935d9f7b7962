"""The metrics of `evaluation.segmentation` once more, written for reading: flood fill, loops and trying every matching."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations
from math import dist, nan, pi, sqrt

import numpy as np
from numpy.typing import NDArray

Blob = list[tuple[int, int]]
ROUNDING_PX = 1e-9


def blobs(mask_HW: NDArray[np.bool_]) -> list[Blob]:
    """Pixels of each 8-connected region, regions in raster order of their first pixel."""
    left = {(int(row), int(column)) for row, column in zip(*np.nonzero(mask_HW), strict=True)}
    found = []
    for first in sorted(left):
        if first not in left:
            continue
        left.remove(first)
        blob, edge = [first], [first]
        while edge:
            row, column = edge.pop()
            for near in [(row + dy, column + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    blob.append(near)
                    edge.append(near)
        found.append(blob)
    return found


def centre(blob: Blob) -> tuple[float, float]:
    return sum(row for row, _ in blob) / len(blob), sum(column for _, column in blob) / len(blob)


def best_matching(targets: list[Blob], predictions: list[Blob], reach_px: float) -> list[tuple[int, int]]:
    """Try every assignment: most pairs first, then the smallest sum of distances."""
    slots: list[int | None] = [*range(len(predictions)), *([None] * len(targets))]
    best: tuple[int, float, list[tuple[int, int]]] = (0, 0.0, [])
    for chosen in set(permutations(slots, len(targets))):
        pairs = [(target, column) for target, column in enumerate(chosen) if column is not None]
        distances = [dist(centre(targets[target]), centre(predictions[column])) for target, column in pairs]
        if all(distance < reach_px - ROUNDING_PX for distance in distances) and (-len(pairs), sum(distances)) < (-best[0], best[1]):
            best = (len(pairs), sum(distances), pairs)
    return best[2]


def greedy_matching(targets: list[Blob], predictions: list[Blob], reach_px: float) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for target, blob in enumerate(targets):
        for column, prediction in enumerate(predictions):
            if column not in [taken for _, taken in pairs] and dist(centre(blob), centre(prediction)) < reach_px - ROUNDING_PX:
                pairs.append((target, column))
                break
    return pairs


def shared_matching(targets: list[Blob], predictions: list[Blob], diameters: float) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for column, prediction in enumerate(predictions):
        for target, blob in enumerate(targets):
            if dist(centre(blob), centre(prediction)) < diameters * sqrt(4 * len(blob) / pi) - ROUNDING_PX:
                pairs.append((target, column))
                break
    return pairs


AREA_FILTERED = ("dnanet", "sctransnet", "mshnet", "panpeiwen", "egpnet", "mrf3net", "mtunet")


def pairs_of(protocol: str, targets: list[Blob], predictions: list[Blob]) -> list[tuple[int, int]]:
    if protocol == "default":
        return best_matching(targets, predictions, 3.0)
    if protocol == "mtunet":
        return shared_matching(targets, predictions, 0.5)
    return greedy_matching(targets, predictions, 1.0 if protocol == "mrf3net" else 3.0)


@dataclass
class SlowMetrics:
    """Sums by one of the named protocols."""

    protocol: str = "default"
    intersection: int = 0
    union: int = 0
    ious: list[float] = field(default_factory=list)
    targets: int = 0
    matched: int = 0
    false_px: int = 0
    pixels: int = 0
    answer_px: int = 0
    truth_px: int = 0

    def update(self, predicted_HW: NDArray[np.bool_], target_HW: NDArray[np.bool_]) -> None:
        predictions, targets = blobs(predicted_HW), blobs(target_HW)
        answer, truth = ({p for blob in some for p in blob} for some in (predictions, targets))
        self.intersection += len(answer & truth)
        self.union += len(answer | truth)
        pairs = pairs_of(self.protocol, targets, predictions)
        self.targets += len(targets)
        self.matched += len({target for target, _ in pairs})
        self.false_px += self.false_alarms(predictions, [column for _, column in pairs], len(answer - truth))
        self.pixels += 512 * 512 if self.protocol == "egpnet" else predicted_HW.size
        self.answer_px += len(answer)
        self.truth_px += len(truth)
        if self.protocol == "mtunet":
            last = {column: (set(targets[target]), set(predictions[column])) for target, column in pairs}
            self.ious += [len(one & other) / len(one | other) for one, other in last.values()]
        elif answer | truth:
            self.ious.append(len(answer & truth) / len(answer | truth))
        elif self.protocol != "default":
            self.ious.append(0.0)

    def false_alarms(self, predictions: list[Blob], hits: list[int], outside: int) -> int:
        if self.protocol == "survey_eq6":
            return outside
        if self.protocol in AREA_FILTERED:
            sizes = [len(predictions[column]) for column in hits]
            return sum(len(blob) for blob in predictions if len(blob) not in sizes)
        return sum(len(blob) for column, blob in enumerate(predictions) if column not in hits)

    def compute(self) -> dict[str, float]:
        iou = self.intersection / self.union if self.union else nan
        num_ious = self.targets if self.protocol == "mtunet" else len(self.ious)
        niou = sum(self.ious) / num_ious if num_ious else nan
        either_px = self.answer_px + self.truth_px
        return {
            "iou": iou,
            "niou": iou if self.protocol == "egpnet" else niou,
            "f1": 2 * self.intersection / either_px if either_px else nan,
            "pd": self.matched / self.targets if self.targets else nan,
            "fa": self.false_px / self.pixels,
            "precision": self.intersection / self.answer_px if self.answer_px else nan,
            "recall": self.intersection / self.truth_px if self.truth_px else nan,
        }
