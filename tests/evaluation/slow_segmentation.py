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


@dataclass
class SlowMetrics:
    """Sums of the default protocol (`matching="optimal"`) or of DNANet's and MTU-Net's."""

    matching: str = "optimal"
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
        union = {p for blob in predictions + targets for p in blob}
        both = {p for blob in predictions for p in blob} & {p for blob in targets for p in blob}
        self.intersection += len(both)
        self.union += len(union)
        if self.matching == "optimal":
            pairs = best_matching(targets, predictions, 3.0)
            false_blobs = [blob for column, blob in enumerate(predictions) if column not in [taken for _, taken in pairs]]
            self.ious += [len(both) / len(union)] if union else []
        else:
            pairs = greedy_matching(targets, predictions, 3.0) if self.matching == "dnanet" else shared_matching(targets, predictions, 0.5)
            hit_sizes = [len(predictions[column]) for _, column in pairs]
            false_blobs = [blob for blob in predictions if len(blob) not in hit_sizes]
            if self.matching == "dnanet":
                self.ious.append(len(both) / len(union) if union else 0.0)
            else:
                pair_ious = {column: (target, set(targets[target]), set(predictions[column])) for target, column in pairs}
                self.ious += [len(truth & answer) / len(truth | answer) for _, truth, answer in pair_ious.values()]
        self.targets += len(targets)
        self.matched += len({target for target, _ in pairs})
        self.false_px += sum(len(blob) for blob in false_blobs)
        self.pixels += predicted_HW.size
        self.answer_px += sum(len(blob) for blob in predictions)
        self.truth_px += sum(len(blob) for blob in targets)

    def compute(self) -> dict[str, float]:
        num_ious = self.targets if self.matching == "mtunet" else len(self.ious)
        return {
            "iou": self.intersection / self.union if self.union else nan,
            "niou": sum(self.ious) / num_ious if num_ious else nan,
            "pd": self.matched / self.targets if self.targets else nan,
            "fa": self.false_px / self.pixels,
            "precision": self.intersection / self.answer_px if self.answer_px else nan,
            "recall": self.intersection / self.truth_px if self.truth_px else nan,
        }
