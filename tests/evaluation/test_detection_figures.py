"""Figures of detectors of small targets, by hand and against pycocotools."""

from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from contracts.outputs import Detections
from evaluation.detection import DetectionMetrics
from evaluation.detection_figures import SIZES, DetectionFigures


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def found(rows: np.ndarray, *scores: float) -> Detections:
    return Detections(rows, np.array(scores, np.float32))


def test_a_box_one_pixel_off_is_found_though_it_overlaps_little() -> None:
    figures = DetectionFigures()
    figures.update(
        found(boxes((11, 11, 14, 14), (40, 40, 60, 60), (80, 80, 90, 90)), 0.9, 0.8, 0.7), boxes((10, 10, 13, 13), (40, 40, 60, 60))
    )
    figures.update(found(boxes((5, 5, 9, 9)), 0.75), boxes())
    values = figures.compute()
    # By overlap miss, hit, miss, miss of two truths; by centre hit, hit, miss, miss.
    assert values["ap50_95"] == pytest.approx(0.25)
    assert values["ap_centre"] == 1
    assert (values["recall_micro"], values["recall_centre_micro"], values["targets_micro"]) == (0, 1, 1)
    assert (values["recall_small"], values["recall_centre_small"], values["targets_small"]) == (0.5, 1, 2)
    assert math.isnan(values["recall_large"])
    assert values["targets_large"] == 0


def test_the_price_of_recall_is_false_alarms_a_frame() -> None:
    figures = DetectionFigures()
    targets = boxes((0, 0, 6, 6), (20, 0, 26, 6), (40, 0, 46, 6), (60, 0, 66, 6))
    figures.update(found(np.concatenate([targets[:2], targets[3:] + 100]), 0.9, 0.5, 0.7), targets)
    figures.update(found(targets[:2] + 200, 0.6, 0.3), boxes())
    values = figures.compute()
    assert values["false_at_recall_50"] == 1, "two of them before the score 0.5, in two frames"
    assert values["false_at_recall_80"] == math.inf
    assert values["targets_nano"] == 4


def test_sides_of_a_size_are_from_the_first_and_below_the_second() -> None:
    sides = [3.9, 4, 7.9, 8, 31, 32, 95, 96, 200]
    figures = DetectionFigures()
    figures.update(Detections.empty(), boxes(*[(0, 0, side, side) for side in sides]))
    values = figures.compute()
    assert [values[f"targets_{size}"] for size in SIZES] == [1, 3, 5, 2, 2]
    assert values["recall_small"] == 0
    assert all(math.isnan(value) or value in (0, math.inf) for name, value in DetectionFigures().compute().items()), "nothing was counted"


def test_vocs_longer_sides_make_small_boxes_overlap_more() -> None:
    # 3 x 3 one pixel to the right: 6 of 12; with sides of 4: 12 of 20.
    plain, legacy = DetectionMetrics(0.55), DetectionMetrics(0.55, legacy=True)
    for metric in (plain, legacy):
        metric.update(found(boxes((11, 10, 14, 13)), 0.9), boxes((10, 10, 13, 13)))
    assert (plain.compute().ap, legacy.compute().ap) == (0, 1)


def test_mean_average_precision_and_recall_by_size_agree_with_pycocotools() -> None:
    rng = np.random.default_rng(5)
    figures = DetectionFigures()
    truth: dict[str, list[dict[str, object]]] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "target"}]}
    answers: list[dict[str, object]] = []
    for image in range(30):
        corners, sides = rng.uniform(0, 300, (4, 2)), np.exp(rng.uniform(1, 5, (4, 1))) * rng.uniform(0.8, 1.2, (4, 2))
        true = np.concatenate([corners, corners + sides], 1).astype(np.float32)
        guess = (true + rng.normal(0, 0.06, true.shape) * sides.mean(1, keepdims=True)).astype(np.float32)
        scores = rng.random(len(guess)).astype(np.float32)
        figures.update(Detections(guess, scores), true)
        truth["images"].append({"id": image, "width": 400, "height": 400})
        for box, rows in ((true, truth["annotations"]), (guess, answers)):
            for (x_min, y_min, x_max, y_max), score in zip(box.tolist(), scores.tolist(), strict=True):
                xywh = [x_min, y_min, x_max - x_min, y_max - y_min]
                row = {"image_id": image, "category_id": 1, "bbox": xywh, "area": xywh[2] * xywh[3], "iscrowd": 0}
                rows.append(row | {"id": len(rows) + 1} if rows is truth["annotations"] else row | {"score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(answers), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = figures.compute()
    # They sample the curve at 101 points, we integrate it.
    assert values["ap50_95"] == pytest.approx(evaluation.stats[0], abs=0.01)
    recall_TA = evaluation.eval["recall"][:, 0, :, 2]
    for column, size in enumerate(("small", "medium", "large"), start=1):
        assert values[f"recall_{size}"] == pytest.approx(recall_TA[0, column], abs=1e-9)
        assert values[f"targets_{size}"] > 5
