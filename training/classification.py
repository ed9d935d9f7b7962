"""Batches and loss for the classifier of target crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.classification.basic_cnn import CLASS_NAMES, CROP_SIDE_PX
from models.interface import MetadataBatch
from models.transforms import crop_square
from training.augment import apply_symmetry, jitter_counts, symmetry
from training.datasets import Sample

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationRecipe:
    """How crops are drawn.

    Attributes:
        batch_size: crops a step.
        balance: a class is drawn in proportion to its number of targets to this power: 1 as they come, 0 all alike. Alike makes
            the network say rare classes far too often (measured on `select` images).
        shift: largest error of the box's centre, as a share of its side (or of 8 px, whichever is more).
        scale: largest relative error of the box's side; both imitate what a detector hands over.
        label_smoothing: of the cross-entropy.
        seed: of all chance in the data.
    """

    batch_size: int = 48
    balance: float = 0.3
    shift: float = 0.12
    scale: float = 0.25
    label_smoothing: float = 0.05
    seed: int = 22


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    sample: Sample
    box_xyxy_px: Floats
    label: int


def targets_of(samples: Sequence[Sample]) -> list[tuple[Sample, Floats, int]]:
    """All labelled targets: image, box, class index; ignored regions are left out."""
    return [
        (sample, box, CLASS_NAMES.index(label))
        for sample in samples
        for box, label in zip(sample.boxes_xyxy_px, sample.labels, strict=True)
        if label != "ignore"
    ]


class ClassificationBatches:
    """Draws batches for ever, rare classes more often than they occur."""

    def __init__(self, samples: Sequence[Sample], recipe: ClassificationRecipe) -> None:
        """Group the targets by class."""
        self._recipe = recipe
        self._rng = np.random.default_rng(recipe.seed)
        targets = [_Target(*target) for target in targets_of(samples)]
        groups = [[target for target in targets if target.label == label] for label in range(len(CLASS_NAMES))]
        self._groups = [group for group in groups if group]
        shares = np.array([len(group) for group in self._groups]) ** recipe.balance
        self._shares = shares / shares.sum()

    def draw(self) -> tuple[Tensor, Tensor]:
        """`(B, 1, side, side)` normalised crops and `(B,)` class indexes."""
        chosen = self._rng.choice(len(self._groups), self._recipe.batch_size, p=self._shares)
        targets = [self._groups[index][self._rng.integers(len(self._groups[index]))] for index in chosen]
        crops = np.stack([self._crop(target) for target in targets])[:, None]
        return torch.from_numpy(crops), torch.tensor([target.label for target in targets])

    def _crop(self, target: _Target) -> Floats:
        rng, normalisation = self._rng, target.sample.normalisation
        box = jitter_box(target.box_xyxy_px, self._recipe.shift, self._recipe.scale, rng)
        counts = crop_square(target.sample.pixels_HW, box, CROP_SIDE_PX)
        crop = (counts - np.float32(normalisation.mean)) / np.float32(normalisation.scale)
        rows, columns, transpose = symmetry(rng)
        # Seen from a drone there is no "up"; an airplane over the horizon has one.
        from_above = target.sample.dataset == "hit-uav"
        return jitter_counts(
            np.ascontiguousarray(apply_symmetry(crop, (rows and from_above, columns, transpose and from_above)), np.float32), rng
        )


def jitter_box(box_xyxy_px: Floats, shift: float, scale: float, rng: np.random.Generator) -> Floats:
    """Move and scale a box at random, as an imperfect detector would."""
    centre, sides = (box_xyxy_px[:2] + box_xyxy_px[2:]) / 2, box_xyxy_px[2:] - box_xyxy_px[:2]
    centre = centre + rng.uniform(-shift, shift, 2) * np.maximum(sides, 8.0)
    sides = sides * np.exp(rng.uniform(-scale, scale, 2))
    return np.concatenate([centre - sides / 2, centre + sides / 2]).astype(np.float32)


def classification_step(batches: ClassificationBatches, recipe: ClassificationRecipe, model: nn.Module) -> Tensor:
    """Loss of one fresh batch."""
    crops_B1SS, labels_B = batches.draw()
    metadata = MetadataBatch.unknown((CROP_SIDE_PX, CROP_SIDE_PX), len(crops_B1SS))
    logits_BK = model(crops_B1SS.contiguous(memory_format=torch.channels_last), metadata)
    return functional.cross_entropy(logits_BK, labels_B, label_smoothing=recipe.label_smoothing)
