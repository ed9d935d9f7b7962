"""Batches and loss for the classifier of target crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from contracts.frame import Platform
from models.classification.basic_cnn import CLASS_NAMES, CROP_SIDE_PX
from models.interface import MetadataBatch
from training.augmentation.geometry import apply_symmetry, symmetry
from training.augmentation.radiometry import jitter_counts
from training.data.catalogue import CLASS_SETS, SEGMENTATION_SETS, SYNTHETIC
from training.data.samples import Sample

Floats = NDArray[np.float32]
UNNAMED = -1
"""Label of a crop that has no class."""
_APART_PX = 6
# Boxes of drone-ir are two to three times wider than what is seen; detectors draw tight ones.
_LOOSE_SETS = frozenset({"drone-ir", "drone-ir-clips"})
_TIGHTER = (0.35, 1.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationRecipe:
    """How crops are drawn.

    A few bright pixels have no class that anybody could tell. Such crops are taught the uniform distribution (outlier exposure,
    Hendrycks et al. 2019, arXiv:1812.04606), so that the best score of an unclear target stays below what the stream asks of a name.

    Attributes:
        batch_size: crops a step.
        named_sets: data sets whose targets have classes.
        unnamed_sets: data sets whose targets have none.
        unnamed_share: share of crops without a class.
        background_share: of those, share that shows no target at all: what a false alarm hands over.
        nameless_side_px: a synthetic target whose longer side is smaller has no class.
        unclear_side_px: a target of the unnamed sets whose longer side is not smaller might well show its class: it is left out.
        synthetic_share: share of synthetic targets in the classes that they show.
        balance: a class is drawn in proportion to its number of targets to this power: 1 as they come, 0 all alike. Alike makes
            the network say rare classes far too often (measured on `select` images).
        shift: largest error of the box's centre, as a share of its side (or of 8 px, whichever is more).
        scale: largest relative error of the box's side; both imitate what a detector hands over.
        label_smoothing: of the cross-entropy.
        seed: of all chance in the data.
    """

    batch_size: int = 48
    named_sets: tuple[str, ...] = (*CLASS_SETS, SYNTHETIC)
    unnamed_sets: tuple[str, ...] = SEGMENTATION_SETS
    unnamed_share: float = 0.2
    background_share: float = 0.4
    nameless_side_px: float = 6.0
    unclear_side_px: float = 14.0
    synthetic_share: float = 0.3
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

    @property
    def side_px(self) -> float:
        return float((self.box_xyxy_px[2:] - self.box_xyxy_px[:2]).max())


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

    def __init__(self, named: Sequence[Sample], unnamed: Sequence[Sample], recipe: ClassificationRecipe) -> None:
        """Group the targets by class, real and synthetic ones apart.

        Args:
            named: images whose targets have classes.
            unnamed: images whose targets have none.
            recipe: how to draw.
        """
        self._recipe = recipe
        self._rng = np.random.default_rng(recipe.seed)
        targets = [_Target(*target) for target in targets_of(named)]
        small = [target for target in targets if target.sample.dataset == SYNTHETIC and target.side_px < recipe.nameless_side_px]
        unclear = [_Target(sample, box, UNNAMED) for sample in unnamed for box in sample.boxes_xyxy_px]
        self._unnamed = small + [target for target in unclear if target.side_px < recipe.unclear_side_px]
        self._backgrounds = [*named, *unnamed]
        large = set(targets) - set(small)
        self._groups: list[tuple[list[_Target], list[_Target]]] = []
        for label in range(len(CLASS_NAMES)):
            group = [target for target in targets if target in large and target.label == label]
            real = [target for target in group if target.sample.dataset != SYNTHETIC]
            made = [target for target in group if target.sample.dataset == SYNTHETIC]
            if group:
                self._groups.append((real, made))
        shares = np.array([len(real) or len(made) for real, made in self._groups]) ** recipe.balance
        self._shares = shares / shares.sum()

    def draw(self) -> tuple[Tensor, Tensor]:
        """`(B, 1, side, side)` normalised crops and `(B,)` class indexes, `UNNAMED` where there is no class."""
        targets = [self._target() for _ in range(self._recipe.batch_size)]
        crops = np.stack([self._crop(target) for target in targets])[:, None]
        return torch.from_numpy(crops), torch.tensor([target.label for target in targets])

    def _target(self) -> _Target:
        rng, recipe = self._rng, self._recipe
        if rng.random() < recipe.unnamed_share:
            if not self._unnamed or rng.random() < recipe.background_share:
                return self._background()
            chosen = self._unnamed[rng.integers(len(self._unnamed))]
            return _Target(chosen.sample, chosen.box_xyxy_px, UNNAMED)
        real, made = self._groups[rng.choice(len(self._groups), p=self._shares)]
        group = made if made and (not real or rng.random() < recipe.synthetic_share) else real
        return group[rng.integers(len(group))]

    def _background(self) -> _Target:
        """A place that touches no target."""
        rng = self._rng
        while True:
            sample = self._backgrounds[rng.integers(len(self._backgrounds))]
            height_px, width_px = sample.pixels_HW.shape
            centre, side = rng.uniform((0, 0), (width_px, height_px)), float(np.exp(rng.uniform(np.log(2), np.log(30))))
            box = np.concatenate([centre - side / 2, centre + side / 2]).astype(np.float32)
            apart = (box[:2] > sample.boxes_xyxy_px[:, 2:] + _APART_PX) | (box[2:] < sample.boxes_xyxy_px[:, :2] - _APART_PX)
            if apart.any(1).all():
                return _Target(sample, box, UNNAMED)

    def _crop(self, target: _Target) -> Floats:
        rng = self._rng
        tight = float(rng.uniform(*_TIGHTER)) if target.sample.dataset in _LOOSE_SETS else 1.0
        box = jitter_box(target.box_xyxy_px, self._recipe.shift, self._recipe.scale, rng, tight)
        crop = target.sample.crop_of(box, CROP_SIDE_PX)
        rows, columns, transpose = symmetry(rng)
        # Seen from a drone there is no "up"; an airplane over the horizon has one.
        from_above = target.sample.dataset == "hit-uav" or target.sample.platform in (Platform.AIR, Platform.SPACE)
        return jitter_counts(
            np.ascontiguousarray(apply_symmetry(crop, (rows and from_above, columns, transpose and from_above)), np.float32), rng
        )


def jitter_box(box_xyxy_px: Floats, shift: float, scale: float, rng: np.random.Generator, tight: float = 1.0) -> Floats:
    """Move and scale a box at random, as an imperfect detector would; `tight` shrinks its sides first."""
    centre, sides = (box_xyxy_px[:2] + box_xyxy_px[2:]) / 2, (box_xyxy_px[2:] - box_xyxy_px[:2]) * np.float32(tight)
    centre = centre + rng.uniform(-shift, shift, 2) * np.maximum(sides, 8.0)
    sides = sides * np.exp(rng.uniform(-scale, scale, 2))
    return np.concatenate([centre - sides / 2, centre + sides / 2]).astype(np.float32)


def classification_loss(logits_BK: Tensor, labels_B: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy with the class, or with the uniform distribution where the label is `UNNAMED`; mean over all crops."""
    named_B = labels_B != UNNAMED
    named = functional.cross_entropy(logits_BK[named_B], labels_B[named_B], label_smoothing=label_smoothing, reduction="sum")
    unnamed = -logits_BK[~named_B].log_softmax(1).mean(1).sum()
    return (named + unnamed) / len(labels_B)


def classification_step(batches: ClassificationBatches, recipe: ClassificationRecipe, model: nn.Module) -> Tensor:
    """Loss of one fresh batch."""
    crops_B1SS, labels_B = batches.draw()
    metadata = MetadataBatch.unknown((CROP_SIDE_PX, CROP_SIDE_PX), len(crops_B1SS))
    logits_BK = model(crops_B1SS.contiguous(memory_format=torch.channels_last), metadata)
    return classification_loss(logits_BK, labels_B, recipe.label_smoothing)
