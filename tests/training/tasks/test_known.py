"""Networks and their tasks: what a network must have, what a classifier can be taught with, and commands that measure again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import SettingsError
from models.interface import Model
from models.zoo import create_model
from tests.training.test_overfit import made_images
from training.data.catalogue import UNSEEN_SETS
from training.data.samples import Sample
from training.recipes import default_task
from training.tasks.base import Recipe, measure_command
from training.tasks.classification import ClassificationBatches, ClassificationRecipe
from training.tasks.detection import DetectionRecipe
from training.tasks.known import task_of
from training.tasks.segmentation import SegmentationRecipe


@pytest.mark.parametrize(
    ("name", "recipe", "base"),
    [
        ("acm", DetectionRecipe(), "DetectionModel (models.detection.base)"),
        ("acm", ClassificationRecipe(), "ClassificationModel (models.classification.base)"),
        ("basic_cnn", SegmentationRecipe(), "SegmentationModel (models.segmentation.base)"),
    ],
)
def test_a_network_without_the_base_of_its_task_is_told_which(name: str, recipe: Recipe, base: str) -> None:
    network = create_model(name)
    assert isinstance(network, Model)
    with pytest.raises(SettingsError) as told:
        task_of(network, recipe)
    assert told.value.expected == f"a {base}"
    assert told.value.got == type(network).__name__


def test_commands_name_the_data_sets_that_they_would_not_take_by_themselves() -> None:
    assert DetectionRecipe(seed=7).chosen_sets == ()
    sets = DetectionRecipe().with_sets(("hit-uav", "my images")).chosen_sets
    assert measure_command("a", None, sets) == "irstream models measure a --data hit-uav --data 'my images'"
    assert measure_command("a", Path("b.safetensors"), ()) == "irstream models measure a --weights b.safetensors"


def named_images() -> list[Sample]:
    return [replace(sample, labels=("car",) * len(sample.boxes_xyxy_px)) for sample in made_images(3, "hit-uav")]


def batches_of(samples: list[Sample], **changed: float) -> ClassificationBatches:
    recipe = ClassificationRecipe(batch_size=4, named_sets=("hit-uav",), unnamed_sets=())
    return ClassificationBatches(samples, replace(recipe, **changed), ("car",), 16)  # type: ignore[arg-type]


def test_crops_without_a_class_must_come_from_somewhere() -> None:
    with pytest.raises(SettingsError, match=r"expected targets without a class, .*got none in data sets with classes"):
        batches_of(named_images(), background_share=0.0)
    assert len(next(batches_of(named_images(), background_share=0.0, unnamed_share=0.0).batches())) == 4


def test_images_without_any_background_are_told_before_the_first_batch() -> None:
    everywhere = np.array([[-99, -99, 999, 999]], np.float32)
    covered = [replace(sample, boxes_xyxy_px=everywhere) for sample in named_images()]
    with pytest.raises(SettingsError, match=r"expected images with some place that no target touches.* Add images of background\.$"):
        batches_of(covered)


@pytest.mark.parametrize("dataset", UNSEEN_SETS)
@pytest.mark.parametrize("network", ["acm", "fcos_light", "basic_cnn"])
def test_a_set_that_no_training_may_see_is_refused_before_it_is_read(dataset: str, network: str) -> None:
    task = default_task(create_model(network), ("hit-uav", dataset))
    with pytest.raises(SettingsError, match=rf"data sets to learn from.*got {dataset}: no training may see it.*Leave it out"):
        _ = task.samples
