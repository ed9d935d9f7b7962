"""The task of each network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.tasks.classification import ClassificationRecipe, ClassificationTask
from training.tasks.detection import DetectionRecipe, DetectionTask
from training.tasks.segmentation import SegmentationRecipe, SegmentationTask

if TYPE_CHECKING:
    from models.zoo import AnyModel
    from training.tasks.base import Recipe, TrainingTask


def task_of(model: AnyModel, recipe: Recipe) -> TrainingTask:
    """The task of a network with a recipe of that task.

    Raises:
        SettingsError: the network has not the base of the recipe's task (`models/<task>/base.py`).
        TypeError: no task has such a recipe.
    """
    if isinstance(recipe, SegmentationRecipe):
        return SegmentationTask(model, recipe)
    if isinstance(recipe, DetectionRecipe):
        return DetectionTask(model, recipe)
    if isinstance(recipe, ClassificationRecipe):
        return ClassificationTask(model, recipe)
    raise TypeError(f"expected a recipe of a known task, got {type(recipe).__name__}")
