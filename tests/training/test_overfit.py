"""Each task's batches, loss and loop together learn a few made images by heart: nothing is wired wrongly."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from evaluation.segmentation import SegmentationMetrics
from models.boxes import iou_matrix
from models.classification.basic_cnn import CROP_SIDE_PX, BasicCnn
from models.classification.classes import CLASS_NAMES
from models.detection.base import DetectionModel
from models.detection.fcos import LightFcos
from models.detection.harrier import Harrier
from models.inference import prepare
from models.segmentation.acm import Acm
from models.zoo import AnyModel
from training.augmentation.plan import Augmentation
from training.data.batches import BatchSource
from training.data.samples import Role, Sample
from training.loop.loop import train
from training.loop.settings import LoopSettings
from training.tasks.base import Recipe
from training.tasks.classification import ClassificationBatches, ClassificationRecipe
from training.tasks.detection import DetectionBatches, DetectionRecipe
from training.tasks.known import task_of
from training.tasks.measuring import classify, detect, probability_maps
from training.tasks.segmentation import SegmentationBatches, SegmentationRecipe

pytestmark = pytest.mark.slow

FEW_STEPS = LoopSettings(budget_s=1e9, max_lr=4e-3, max_steps=90, average_decay=0.9)


def made_images(num: int, dataset: str = "nudt-sirst") -> list[Sample]:
    """Smooth backgrounds with one bright blob each; in `hit-uav` small ones are persons, wide ones cars."""
    rng = np.random.default_rng(4)
    samples = []
    for number in range(num):
        wide = number % 2 == 1
        height, width = (10, 18) if wide else (8, 8)
        pixels = (90 + 20 * np.linspace(0, 1, 64)[:, None] + rng.normal(0, 2, (64, 64))).astype(np.uint8)
        top, left = (int(value) for value in rng.integers(6, 40, 2))
        pixels[top : top + height, left : left + width] += 90
        mask = np.zeros((64, 64), np.uint8)
        mask[top : top + height, left : left + width] = 1
        sample = Sample(
            dataset=dataset,
            image_id=str(number),
            role=Role.TRAIN,
            read_pixels=partial(np.copy, pixels),
            mask_path=None,
            boxes_xyxy_px=np.array([[left, top, left + width, top + height]], np.float32),
            labels=("car" if wide else "person",),
            read_mask=partial(np.copy, mask),
        )
        samples.append(sample)
    return samples


@pytest.fixture(autouse=True)
def _fixed_chance() -> None:
    torch.manual_seed(0)
    # One thread: threads that wait for each other on a busy machine cost more than they bring on images this small.
    torch.set_num_threads(1)


def learnt(model: AnyModel, source: BatchSource, recipe: Recipe, settings: LoopSettings) -> nn.Module:
    task, drawn = task_of(model, recipe), source.batches()
    return train(model, lambda network: task.loss(network, next(drawn)), settings)[0]


def test_segmenter() -> None:
    samples = made_images(4)
    recipe = SegmentationRecipe(batch_size=4, augmentation=Augmentation(crop_px=64))
    average = learnt(Acm(), SegmentationBatches(samples, recipe), recipe, FEW_STEPS)
    metrics = SegmentationMetrics()
    assert isinstance(average, Acm)
    for sample, map_HW in probability_maps(prepare(average, dtype=torch.float32), samples):
        metrics.update(map_HW > 0.5, sample.mask_HW > 0)
    scores = metrics.compute()
    assert scores.pd == 1
    assert scores.iou > 0.6


@pytest.mark.parametrize("kind", [LightFcos, Harrier])
def test_detector(kind: type[DetectionModel]) -> None:
    samples = made_images(4)
    recipe = DetectionRecipe(crop_px=64, batch_size=4, shares={"nudt-sirst": 1.0})
    average = learnt(kind(), DetectionBatches(samples, recipe), recipe, replace(FEW_STEPS, max_steps=140))
    assert isinstance(average, DetectionModel)
    for sample, found in detect(average, samples):
        best = int(np.argmax(found.scores))
        assert found.scores[best] > 0.6
        assert iou_matrix(found.boxes_xyxy_px[best : best + 1], sample.boxes_xyxy_px).item() > 0.45


def test_classifier() -> None:
    samples = made_images(8, "hit-uav")
    recipe = ClassificationRecipe(batch_size=8, unnamed_share=0.0)
    settings = LoopSettings(budget_s=1e9, max_lr=2e-3, max_steps=30, average_decay=0.8)
    average = learnt(BasicCnn(), ClassificationBatches(samples, recipe, CLASS_NAMES, CROP_SIDE_PX), recipe, settings)
    assert isinstance(average, BasicCnn)
    true, answered = classify(average, samples)
    assert (true == answered).all()
