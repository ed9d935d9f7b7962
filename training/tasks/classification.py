"""Training of classifiers of target crops: batches, loss, validation and figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from contracts.errors import SettingsError
from contracts.frame import Platform
from contracts.result import CLUTTER
from evaluation.drawing import Picture
from models.card import Measurement
from models.classification.base import ClassificationModel
from models.interface import MetadataBatch
from models.losses.distillation import class_distillation_loss
from models.zoo import AnyModel
from training.augmentation.geometry import apply_symmetry, rotated, symmetry
from training.augmentation.radiometry import add_noise, jitter_counts
from training.data.batches import Batch, SeededBatches, known_of, padded_pixels
from training.data.catalogue import CLASS_SETS, SEGMENTATION_SETS, SYNTHETIC
from training.data.samples import Role, Sample, read_samples
from training.tasks.answers import Answerer, Outcomes, class_outcomes, classification_figures, classifier_answers, classifier_figures
from training.tasks.base import Recipe, TrainingTask, Validator, taught_by, wrong_base
from training.tasks.measuring import (
    DATASET,
    Report,
    choose_temperature,
    classification_quality,
    measure_classification,
    no_report,
    targets_of,
)
from training.tasks.pictures import classification_picture
from training.tasks.prototypes import imprint
from training.tasks.teachers import Teacher, Teachers, blended

Floats = NDArray[np.float32]
UNNAMED = -1
"""Label of a crop that has no class."""
_APART_PX = 6
# Boxes of drone-ir are two to three times wider than what is seen; detectors draw tight ones.
_LOOSE_SETS = frozenset({"drone-ir", "drone-ir-clips"})
_TIGHTER = (0.35, 1.1)
_FROM_ABOVE = (Platform.AIR, Platform.SPACE)
_TRIES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationRecipe(Recipe):
    """Recipe of crops for a classifier.

    A few bright pixels have no class that anybody could tell. Such crops are taught the uniform distribution (outlier exposure,
    Hendrycks et al. 2019, arXiv:1812.04606), so that the best score of an unclear target stays below what the stream asks of a name.

    Attributes:
        named_sets: data sets whose targets have classes.
        unnamed_sets: data sets whose targets have none.
        unnamed_share: share of crops without a class.
        background_share: of those, share that shows no target at all: what a false alarm hands over. A network with a class `clutter` is
            taught that class there.
        nameless_side_px: a synthetic target whose longer side is smaller has no class.
        unclear_side_px: a target of the unnamed sets whose longer side is not smaller might well show its class: it is left out.
        synthetic_share: share of synthetic targets in the classes that they show.
        balance: a class is drawn in proportion to its number of targets to this power: 1 as they come, 0 all alike. Alike makes
            the network say rare classes far too often (measured on `select` images).
        shift: largest error of the box's centre, as a share of its side (or of 8 px, whichever is more).
        scale: largest relative error of the box's side; both imitate what a detector hands over.
        label_smoothing: of the cross-entropy.
        rotation_deg: largest rotation to either side.
        noise: deviation of Gaussian noise, in deviations of the frame.
        cameras: gain, offset and noise of other cameras.
        shots: images of each class whose mean features become the network's last layer (`training.tasks.prototypes`); 0: it is trained.
        turns: all symmetries where there is no up; False: mirrored left to right only.
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
    rotation_deg: float = 0.0
    noise: float = 0.0
    cameras: bool = True
    turns: bool = True
    shots: int = 0

    @property
    def trains(self) -> bool:
        """False where a few images of each class are all."""
        return not self.shots

    def with_prototypes(self, shots: int) -> Self:
        """The same with prototypes of so many images a class."""
        return replace(self, shots=shots)

    @property
    def sets(self) -> tuple[str, ...]:
        """Data sets that are learnt from."""
        return self.named_sets + self.unnamed_sets

    def with_teachers(self, teachers: Sequence[Teacher], share: float | None = None) -> Self:
        """The same with other classifiers to learn from."""
        return taught_by(self, teachers, share)

    def with_sets(self, sets: Sequence[str]) -> Self:
        """The same on other data sets; targets of the known sets for segmenters have no class."""
        unnamed = tuple(name for name in sets if name in SEGMENTATION_SETS)
        return replace(self, named_sets=tuple(name for name in sets if name not in unnamed), unnamed_sets=unnamed)


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    sample: Sample
    box_xyxy_px: Floats
    label: int

    @property
    def side_px(self) -> float:
        return float((self.box_xyxy_px[2:] - self.box_xyxy_px[:2]).max())


class ClassificationBatches(SeededBatches):
    """Crops with their class indexes `(B,)` int64, `UNNAMED` where there is no class; rare classes come more often than they occur."""

    def __init__(self, samples: Sequence[Sample], recipe: ClassificationRecipe, class_names: Sequence[str], crop_side_px: int) -> None:
        """Group the targets by class, real and synthetic ones apart.

        Args:
            samples: images of the named and the unnamed sets.
            recipe: how to draw.
            class_names: what the network can say; targets of other classes are left out.
            crop_side_px: side of the crops.

        Raises:
            SettingsError: no target is of a class that the network can say; or there is nothing to draw crops without a class from.
        """
        self._recipe, self._side_px, self.seed = recipe, crop_side_px, recipe.seed
        self._of_background = class_names.index(CLUTTER) if CLUTTER in class_names else UNNAMED
        targets = [_Target(*target) for target in targets_of(samples, class_names) if target[0].dataset in recipe.named_sets]
        small = [target for target in targets if target.sample.dataset == SYNTHETIC and target.side_px < recipe.nameless_side_px]
        unclear = [
            _Target(sample, box, UNNAMED) for sample in samples if sample.dataset in recipe.unnamed_sets for box in sample.boxes_xyxy_px
        ]
        self._unnamed = small + [target for target in unclear if target.side_px < recipe.unclear_side_px]
        self.samples = samples
        large = set(targets) - set(small)
        self._groups: list[tuple[list[_Target], list[_Target]]] = []
        for label in range(len(class_names)):
            group = [target for target in targets if target in large and target.label == label]
            real = [target for target in group if target.sample.dataset != SYNTHETIC]
            made = [target for target in group if target.sample.dataset == SYNTHETIC]
            if group:
                self._groups.append((real, made))
        if not self._groups:
            raise SettingsError(
                expected=f"targets of at least one class of the network ({', '.join(class_names)})",
                got=f"none in {', '.join(recipe.named_sets) or 'data sets without classes'}",
                where="data to train a classifier on",
                action="Give the boxes of the index labels of these names, or add a data set that has them.",
            )
        shares = np.array([len(real) or len(made) for real, made in self._groups]) ** recipe.balance
        self._shares = shares / shares.sum()
        self._require_crops_without_class()

    def _require_crops_without_class(self) -> None:
        recipe = self._recipe
        if not recipe.unnamed_share:
            return
        if not self._unnamed and not recipe.background_share:
            raise SettingsError(
                expected="targets without a class, where crops of background have no share in those without a class",
                got=f"none in {', '.join(recipe.unnamed_sets) or 'data sets with classes'}",
                where="data to train a classifier on",
                action="Add a data set whose targets have no class, or give `background_share` a value above 0.",
            )
        if recipe.background_share:
            self._background(np.random.default_rng(self.seed))

    @property
    def num_targets(self) -> int:
        """Targets that have a class."""
        return sum(len(real) + len(made) for real, made in self._groups)

    def picks(self) -> Iterator[None]:
        """Nothing is chosen before: every target comes out of the chance of its batch."""
        while True:
            yield None

    def make(self, pick: None, rng: np.random.Generator) -> Batch:
        """Crops of targets and of background."""
        targets = [self._target(rng) for _ in range(self._recipe.batch_size)]
        crops = np.stack([self._crop(target, rng) for target in targets])[:, None]
        known = [known_of(target.sample, self._recipe.unknown_share, rng) for target in targets]
        labels_B = torch.tensor([target.label for target in targets])
        return Batch(torch.from_numpy(crops), (labels_B,), MetadataBatch.of_each(known))

    def _target(self, rng: np.random.Generator) -> _Target:
        recipe = self._recipe
        if rng.random() < recipe.unnamed_share:
            if not self._unnamed or rng.random() < recipe.background_share:
                return self._background(rng)
            chosen = self._unnamed[rng.integers(len(self._unnamed))]
            return _Target(chosen.sample, chosen.box_xyxy_px, UNNAMED)
        real, made = self._groups[rng.choice(len(self._groups), p=self._shares)]
        group = made if made and (not real or rng.random() < recipe.synthetic_share) else real
        return group[rng.integers(len(group))]

    def _background(self, rng: np.random.Generator) -> _Target:
        """A place that touches no target."""
        for _ in range(_TRIES):
            sample = self.samples[int(rng.integers(len(self.samples)))]
            height_px, width_px = sample.pixels_HW.shape
            centre, side = rng.uniform((0, 0), (width_px, height_px)), float(np.exp(rng.uniform(np.log(2), np.log(30))))
            box = np.concatenate([centre - side / 2, centre + side / 2]).astype(np.float32)
            apart = (box[:2] > sample.boxes_xyxy_px[:, 2:] + _APART_PX) | (box[2:] < sample.boxes_xyxy_px[:, :2] - _APART_PX)
            if apart.any(1).all():
                return _Target(sample, box, self._of_background)
        raise SettingsError(
            expected="images with some place that no target touches",
            got=f"none in {_TRIES} tries",
            where="data to train a classifier on",
            action="Add images of background.",
        )

    def _crop(self, target: _Target, rng: np.random.Generator) -> Floats:
        tight = float(rng.uniform(*_TIGHTER)) if target.sample.dataset in _LOOSE_SETS else 1.0
        box = jitter_box(target.box_xyxy_px, self._recipe.shift, self._recipe.scale, rng, tight)
        crop = target.sample.crop_of(box, self._side_px)
        return self._changed(crop, target.sample.dataset == "hit-uav" or target.sample.platform in _FROM_ABOVE, rng)

    def _changed(self, crop_HW: Floats, from_above: bool, rng: np.random.Generator) -> Floats:
        recipe = self._recipe
        if recipe.rotation_deg:
            crop_HW = rotated(crop_HW, float(rng.uniform(-recipe.rotation_deg, recipe.rotation_deg)))
        rows, columns, transpose = symmetry(rng)
        # Seen from a drone there is no "up"; an airplane over the horizon has one.
        turned = from_above and recipe.turns
        crop = np.ascontiguousarray(apply_symmetry(crop_HW, (rows and turned, columns, transpose and turned)), np.float32)
        crop = add_noise(crop, recipe.noise, rng) if recipe.noise else crop
        return jitter_counts(crop, rng) if recipe.cameras else crop


def jitter_box(box_xyxy_px: Floats, shift: float, scale: float, rng: np.random.Generator, tight: float = 1.0) -> Floats:
    """Move and scale a box at random, as an imperfect detector would; `tight` shrinks its sides first."""
    centre, sides = (box_xyxy_px[:2] + box_xyxy_px[2:]) / 2, (box_xyxy_px[2:] - box_xyxy_px[:2]) * np.float32(tight)
    centre = centre + rng.uniform(-shift, shift, 2) * np.maximum(sides, 8.0)
    sides = sides * np.exp(rng.uniform(-scale, scale, 2))
    return np.concatenate([centre - sides / 2, centre + sides / 2]).astype(np.float32)


def classification_loss(logits_BK: Tensor, labels_B: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy with the class, or with the uniform distribution where the label is `UNNAMED`; mean over all crops.

    In float32, and without choosing rows: a GPU is asked nothing.
    """
    with torch.autocast(logits_BK.device.type, enabled=False):
        exact_BK = logits_BK.float()
        named_B = functional.cross_entropy(exact_BK, labels_B, label_smoothing=label_smoothing, ignore_index=UNNAMED, reduction="none")
        uniform_B = -exact_BK.log_softmax(1).mean(1)
        return torch.where(labels_B == UNNAMED, uniform_B, named_B).mean()


class ClassificationTask(TrainingTask):
    """See `TrainingTask`."""

    recipe: ClassificationRecipe

    def __init__(self, model: AnyModel, recipe: ClassificationRecipe) -> None:
        """Nothing is read yet.

        Raises:
            SettingsError: the network is no classifier.
        """
        if not isinstance(model, ClassificationModel):
            raise wrong_base(model, ClassificationModel)
        self.recipe, self._class_names, self._side_px = recipe, model.class_names, model.crop_side_px
        self._teachers = Teachers.of(recipe.teachers, model)

    @cached_property
    def _batches(self) -> ClassificationBatches:
        return ClassificationBatches(self.samples, self.recipe, self._class_names, self._side_px)

    @property
    def epoch_size(self) -> int:
        """As many crops as there are targets that have a class."""
        return self._batches.num_targets

    def prepare(self, model: nn.Module, *, from_random: bool) -> None:
        """As `TrainingTask.prepare`; prototypes are all that a recipe with `shots` does."""
        super().prepare(model, from_random=from_random)
        if self.recipe.shots:
            assert isinstance(model, ClassificationModel)
            imprint(model, self._shots())

    def _shots(self) -> dict[int, Tensor]:
        """By class, a few crops around true boxes, as they are and mirrored."""
        rng, found = np.random.default_rng(self.recipe.seed), dict[int, Tensor]()
        targets = [target for target in targets_of(self.samples, self._class_names) if target[0].dataset in self.recipe.named_sets]
        for index in sorted({label for _, _, label in targets}):
            of_class = [target for target in targets if target[2] == index]
            chosen = rng.permutation(len(of_class))[: self.recipe.shots]
            crops = np.stack([of_class[at][0].crop_of(of_class[at][1], self._side_px) for at in chosen])[:, None]
            found[index] = torch.from_numpy(np.concatenate([crops, crops[..., ::-1]]).astype(np.float32))
        return found

    def source(self, steps: int | None = None) -> ClassificationBatches:
        """Crops of targets and background."""
        return self._batches

    def bytes_of(self, width_px: int, height_px: int, bit_depth: int) -> int:
        """Its counts: there are no masks, and crops are cut from these."""
        return width_px * height_px * -(-bit_depth // 8)

    @property
    def headline(self) -> str:
        """Mean F1 of the classes."""
        return "macro_f1"

    def source_of(self, samples: Sequence[Sample], seed: int, steps: int | None = None) -> ClassificationBatches:
        """Crops of targets and background."""
        return ClassificationBatches(samples, replace(self.recipe, seed=seed), self._class_names, self._side_px)

    def can_teach(self, samples: Sequence[Sample]) -> bool:
        """Some target is of a class of the network."""
        return any(self.crops_in(sample.labels) and sample.dataset in self.recipe.named_sets for sample in samples)

    def crops_in(self, labels: Sequence[str]) -> int:
        """As many as there are targets that have a class."""
        return sum(label in self._class_names for label in labels)

    def quality(self, model: nn.Module, samples: Iterable[Sample]) -> float:
        """See `validator`."""
        assert isinstance(model, ClassificationModel)
        answer = classifier_answers(model, next(model.parameters()).device)
        rows = [{"labels": sample.labels, "found_labels": answer(sample).labels} for sample in samples]
        return classification_figures(rows, model.class_names)[0]["macro_f1"]

    def chosen_on(self, model: AnyModel, samples: Iterable[Sample], *, device: str = "cpu") -> dict[str, float]:
        """The temperature that fits their targets; with too few of them, the one it has."""
        assert isinstance(model, ClassificationModel)
        return choose_temperature(model, samples, device=device)

    def answers(self, model: AnyModel, *, device: str = "cpu") -> Answerer:
        """See `classifier_answers`."""
        assert isinstance(model, ClassificationModel)
        return classifier_answers(model, device)

    def image_score(self, figures: Mapping[str, float]) -> float:
        """Share of the targets with the right name."""
        return figures["accuracy"]

    def outcomes(self, model: AnyModel, rows: Sequence[Mapping[str, Any]]) -> Outcomes:
        """See `class_outcomes`."""
        assert isinstance(model, ClassificationModel)
        return class_outcomes(rows, model.class_names)

    def figures(self, model: AnyModel, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """See `classifier_figures`."""
        assert isinstance(model, ClassificationModel)
        return classifier_figures(rows, model.class_names)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Cross-entropy, see `classification_loss`."""
        assert isinstance(model, ClassificationModel)
        (labels_B,) = batch.targets
        raw = model(padded_pixels(model, batch), batch.metadata)
        logits_BK = raw if isinstance(raw, Tensor) else raw[0]
        own = classification_loss(logits_BK, labels_B, self.recipe.label_smoothing)
        if self._teachers is None:
            return own
        return blended(own, class_distillation_loss(logits_BK.float(), self._teachers.logits(batch)), self.recipe.teacher_share)

    def validator(self) -> Validator:
        """Macro-F1 over the targets of all named sets."""
        samples = read_samples(self.recipe.named_sets, Role.SELECT)
        if not targets_of(samples, self._class_names):
            raise SettingsError(
                expected="held-out images (split val) with targets of the classes of the network",
                got=f"{len(samples)} images without any" if samples else "no image",
                where="`validation` of a classifier",
                action="Give some labelled images the split `val`, or train without validation.",
            )

        def validate(model: nn.Module) -> float:
            assert isinstance(model, ClassificationModel)
            return classification_quality(model, samples, next(model.parameters()).device)

        return validate

    def choose(self, model: AnyModel, *, device: str = "cpu", report: Report = no_report) -> dict[str, float]:
        """The temperature that fits the targets of the named sets that are held out; with too few of them, the one it has."""
        assert isinstance(model, ClassificationModel)
        return choose_temperature(model, read_samples(self.recipe.named_sets, Role.SELECT), device=device, report=report)

    def measure(
        self, model: AnyModel, role: Role = Role.TEST, weights: Path | None = None, *, device: str = "cpu", report: Report = no_report
    ) -> list[Measurement]:
        """Accuracy, macro-F1 and confusion of each named data set, and what gets no name in the others."""
        assert isinstance(model, ClassificationModel)
        recipe, command = self.recipe, self.measured_by(model.name, weights, DATASET)
        return measure_classification(model, role, command, recipe.named_sets, recipe.unnamed_sets, device=device, report=report)

    def picture(self, model: AnyModel) -> Picture:
        """See `training.tasks.pictures.classification_picture`."""
        assert isinstance(model, ClassificationModel)
        return classification_picture(model)
