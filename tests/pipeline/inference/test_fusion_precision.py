"""Rows lose nothing that one of the two finders knew: average precision of both together against each alone, on made findings."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.outputs import Detections, Segmentation
from evaluation.detection import DetectionMetrics
from tests.pipeline.inference.test_fusion import SIZE_PX, boxes, fuse, regions

FRAMES = 40


def scored(items: list[tuple[int, int, int, int]], scores: list[float]) -> tuple[Detections, Segmentation]:
    """The same findings, as a detector's and as a segmenter's."""
    found, segmented, values = boxes(*items), regions(*items), np.array(scores, np.float32)
    return Detections(found.boxes_xyxy_px, values), Segmentation(
        segmented.boxes_xyxy_px, values, segmented.centroids_xy_px, segmented.areas_px, segmented.mask_rles, segmented.scrs
    )


def findings(
    truth: list[tuple[int, int, int, int]], good: bool, around: bool, rng: np.random.Generator
) -> tuple[list[tuple[int, int, int, int]], list[float]]:
    """Findings whose scores say how often they are right; of a good finder more and surer ones.

    Args:
        truth: targets.
        good: finds nine of ten, else half; else with three times as many false alarms.
        around: with weak boxes around targets far smaller than they are, as weak boxes of detectors are.
        rng: source of chance.
    """
    items, scores = [], []
    for x0, y0, x1, y1 in truth:
        if rng.random() < (0.9 if good else 0.5):
            items.append((x0, y0, x1, y1))
            scores.append(float(rng.uniform(0.5, 1.0) if good else rng.uniform(0.2, 0.9)))
    for _ in range(int(rng.poisson(1.0 if good else 3.0))):
        x, y = int(rng.integers(0, SIZE_PX[1] - 6)), int(rng.integers(0, SIZE_PX[0] - 6))
        items.append((x, y, x + 6, y + 6))
        scores.append(float(rng.uniform(0.05, 0.4) ** 1.5))
    if around:
        items += [(max(0, x0 - 9), max(0, y0 - 9), min(SIZE_PX[1], x1 + 9), min(SIZE_PX[0], y1 + 9)) for x0, y0, x1, y1 in truth]
        scores += rng.uniform(0.05, 0.2, len(truth)).tolist()
    return items, scores


@pytest.mark.parametrize("detector_is_better", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_both_together_are_not_below_the_better_one(detector_is_better: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    detector, segmenter, together = DetectionMetrics(), DetectionMetrics(), DetectionMetrics()
    for _ in range(FRAMES):
        truth = [(int(x), int(y), int(x) + 5, int(y) + 5) for x, y in zip(rng.choice(9, 4) * 10, rng.choice(6, 4, False) * 10, strict=True)]
        found, _ = scored(*findings(truth, detector_is_better, True, rng))
        _, segmented = scored(*findings(truth, not detector_is_better, False, rng))
        targets_N4 = np.array(truth, np.float32)
        detector.update(found, targets_N4)
        segmenter.update(Detections(segmented.boxes_xyxy_px, segmented.scores), targets_N4)
        joined = fuse(found, segmented)
        together.update(Detections(joined.boxes_xyxy_px, joined.scores), targets_N4)
    alone = [detector.compute().ap, segmenter.compute().ap]
    assert (alone[0] > alone[1]) == detector_is_better
    assert together.compute().ap >= max(alone)
    assert together.compute().recall >= max(detector.compute().recall, segmenter.compute().recall)


def test_a_weak_large_box_neither_swallows_sure_targets_nor_gives_one_its_size() -> None:
    weak = boxes((10, 10, 50, 50), score=0.1)
    both = fuse(weak, regions((12, 12, 16, 16), (40, 40, 44, 44), score=0.8))
    assert both.boxes_xyxy_px.tolist() == [[12, 12, 16, 16], [40, 40, 44, 44], [10, 10, 50, 50]]
    assert both.found_by == (("segmenter",), ("segmenter",), ("detector",))
    near = fuse(boxes((10, 10, 16, 16), score=0.1), regions((11, 11, 15, 15), score=0.8))
    assert near.boxes_xyxy_px.tolist() == [[11, 11, 15, 15]]
    assert near.found_by == (("detector", "segmenter"),)
    assert near.scores[0] == pytest.approx(1 - 0.9 * 0.2)


@pytest.mark.parametrize(("car", "bonnet"), [(0.8, 0.4), (0.4, 0.8)])
def test_nested_boxes_are_one_detection_the_surer_one(car: float, bonnet: float) -> None:
    items = ((10, 10, 40, 30), (12, 11, 22, 20))
    found = Detections(boxes(*items).boxes_xyxy_px, np.array([car, bonnet], np.float32))
    target = fuse(found, regions((12, 12, 38, 28)))
    assert len(target) == 1
    assert target.boxes_xyxy_px.tolist() == [list(items[0 if car > bonnet else 1])]


def test_what_is_far_smaller_or_lies_half_outside_is_a_target_of_its_own() -> None:
    assert len(fuse(boxes((0, 0, 60, 60), (20, 20, 25, 25)), Segmentation.empty())) == 2
    assert len(fuse(boxes((10, 10, 40, 30), (35, 15, 45, 25)), Segmentation.empty())) == 2
