"""Detection metrics against hand-made cases and against pycocotools."""

from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from contracts.outputs import Detections
from evaluation.detection import DetectionMetrics, average_precision, match_boxes
from models.boxes import iou_matrix


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def found(rows: np.ndarray, *scores: float) -> Detections:
    return Detections(rows, np.array(scores, np.float32))


def test_iou_counts_pixel_edges_without_the_legacy_one() -> None:
    np.testing.assert_allclose(iou_matrix(boxes((0, 0, 2, 2)), boxes((1, 0, 3, 2), (0, 0, 2, 2), (5, 5, 6, 6))), [[1 / 3, 1, 0]], rtol=1e-6)


def test_a_truth_is_hit_once_and_by_the_best_score() -> None:
    assert match_boxes(boxes((0, 0, 4, 4), (0, 0, 4, 4)), boxes((0, 0, 4, 4)), 0.5).tolist() == [True, False]


def test_each_takes_the_free_truth_it_overlaps_most() -> None:
    truths = boxes((0, 0, 4, 4), (1, 0, 5, 4))
    assert match_boxes(boxes((1, 0, 5, 4), (0, 0, 4, 4)), truths, 0.5).tolist() == [True, True]


def test_average_precision_by_hand() -> None:
    # hit, miss, hit of two truths: 1 * 1/2 + 2/3 * 1/2.
    assert average_precision(np.array([True, False, True]), 2) == pytest.approx(0.5 + 1 / 3)
    # A later, better precision lifts the earlier one: miss, hit, hit of two: envelope 2/3.
    assert average_precision(np.array([False, True, True]), 2) == pytest.approx(2 / 3)
    assert average_precision(np.zeros(0, bool), 2) == 0
    assert math.isnan(average_precision(np.zeros(3, bool), 0))


def test_figures_at_a_threshold() -> None:
    metrics = DetectionMetrics()
    metrics.update(found(boxes((0, 0, 4, 4), (20, 20, 24, 24)), 0.9, 0.6), boxes((0, 0, 4, 4), (10, 10, 12, 12)))
    metrics.update(found(boxes((10, 10, 12, 12)), 0.3), boxes((10, 10, 12, 12)))
    strict, loose = metrics.compute(0.5), metrics.compute(0.1)
    assert [strict.precision_at, strict.recall_at, strict.false_per_image] == pytest.approx([0.5, 1 / 3, 0.5])
    assert [loose.precision_at, loose.recall_at] == pytest.approx([2 / 3, 2 / 3])
    assert loose.f1_at == pytest.approx(2 / 3)
    assert strict.recall == pytest.approx(2 / 3)
    assert metrics.best_threshold() == pytest.approx(0.3)


def test_ignored_regions_swallow_only_what_hits_nothing() -> None:
    metrics = DetectionMetrics()
    metrics.update(found(boxes((0, 0, 4, 4), (1, 1, 3, 3), (6, 6, 9, 9)), 0.9, 0.8, 0.7), boxes((0, 0, 4, 4)), boxes((0, 0, 5, 5)))
    scores = metrics.compute(0.5)
    assert scores.num_detections == 2
    assert scores.precision_at == 0.5


def test_nothing_found_and_nothing_there() -> None:
    metrics = DetectionMetrics()
    metrics.update(Detections.empty(), boxes())
    scores = metrics.compute()
    assert math.isnan(scores.ap)
    assert scores.false_per_image == 0
    assert metrics.best_threshold() == 0.5


def test_agrees_with_pycocotools() -> None:
    rng = np.random.default_rng(5)
    metrics = DetectionMetrics()
    truth: dict[str, list[dict[str, object]]] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "target"}]}
    answers = []
    for image in range(40):
        corners = rng.uniform(0, 80, (rng.integers(1, 6), 2))
        true = np.concatenate([corners, corners + rng.uniform(4, 20, corners.shape)], 1).astype(np.float32)
        guess = np.concatenate([true + rng.normal(0, 1.5, true.shape), true[:1] + 200]).astype(np.float32)
        scores = rng.random(len(guess)).astype(np.float32)
        metrics.update(Detections(guess, scores), true)
        truth["images"].append({"id": image, "width": 400, "height": 400})
        for box in true.tolist():
            xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            number = len(truth["annotations"]) + 1
            truth["annotations"].append(
                {"id": number, "image_id": image, "category_id": 1, "bbox": xywh, "area": xywh[2] * xywh[3], "iscrowd": 0}
            )
        for box, score in zip(guess.tolist(), scores.tolist(), strict=True):
            answers.append(
                {"image_id": image, "category_id": 1, "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]], "score": score}
            )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(answers), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.evaluate()
        evaluation.accumulate()
    theirs = float(np.mean(evaluation.eval["precision"][0, :, 0, 0, 2]))
    # They sample the curve at 101 points, we integrate it.
    assert metrics.compute().ap == pytest.approx(theirs, abs=0.01)


def test_without_a_single_image_there_is_no_figure() -> None:
    scores = DetectionMetrics().compute()
    assert (scores.num_images, scores.num_targets, scores.num_detections) == (0, 0, 0)
    assert all(math.isnan(value) for value in (scores.ap, scores.recall, scores.precision_at, scores.false_per_image))
