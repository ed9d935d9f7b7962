"""Training of segmenters: batches, loss, validation, thresholds and figures."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from contracts.errors import SettingsError
from evaluation.drawing import Picture
from models.card import Measurement
from models.interface import MetadataBatch
from models.losses import loss_named
from models.losses.distillation import mask_distillation_loss
from models.losses.hard_negatives import hardest_negatives_loss
from models.segmentation.base import SegmentationModel
from models.zoo import AnyModel
from training.augmentation.paste import Paster, cut_targets
from training.augmentation.plan import Augmentation, make_crop
from training.data.batches import Batch, SeededBatches, known_of, padded_pixels
from training.data.mask_checks import refuse_empty_masks, refuse_without_masks
from training.data.samples import Role, Sample, read_samples
from training.data.sampling import SamplePool, by_images
from training.tasks.answers import Answerer, Outcomes, found_outcomes, segmentation_figures, segmentation_metrics_of, segmenter_answers
from training.tasks.base import Recipe, TrainingTask, Validator, taught_by, wrong_base
from training.tasks.deep_supervision import deep_supervision
from training.tasks.measuring import (
    CANDIDATE_THRESHOLDS,
    DATASET,
    Report,
    choose_segmentation_threshold,
    measure_segmentation,
    no_report,
    overlap,
    segmentation_quality,
)
from training.tasks.phases import Phases
from training.tasks.pictures import segmentation_picture
from training.tasks.score_choice import choose_score_map
from training.tasks.teachers import Teacher, Teachers, blended

_OUTLINE_PX = 2
_PLAIN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationRecipe(Recipe):
    """Recipe of crops for a segmenter, and their weights.

    Sets without masks (HIT-UAV, drone-ir) teach what is no target, their boxes left out of the loss, and with pasted targets that
    there are some.

    Attributes:
        shares: how often each data set is drawn (relative).
        augmentation: what is done to each crop.
        natural: data sets that divide what they have together by the numbers of their images.
        phases: what changes during the training.
        loss: name of one of `models.losses.SEGMENTATION_LOSSES`.
        threshold: fixed, and nothing is held out: all training and validation images teach. None: held-out images choose it.
    """

    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: str = "soft_iou_bce"
    shares: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType(
            {"nudt-sirst": 0.27, "irstd-1k": 0.27, "sirst-v2": 0.16, "synthetic": 0.13, "hit-uav": 0.12, "drone-ir": 0.05}
        )
    )
    natural: tuple[str, ...] = ()
    phases: Phases = field(default_factory=Phases)
    threshold: float | None = None

    @property
    def sets(self) -> tuple[str, ...]:
        """Data sets that are learnt from."""
        return tuple(self.shares)

    @property
    def roles(self) -> tuple[Role, ...]:
        """With a fixed threshold nothing is held out."""
        return (Role.TRAIN,) if self.threshold is None else (Role.TRAIN, Role.SELECT)

    def with_sets(self, sets: Sequence[str]) -> Self:
        """The same on other data sets, in equal shares."""
        return replace(self, shares=MappingProxyType(dict.fromkeys(sets, 1.0)), natural=())

    def with_loss(self, name: str) -> Self:
        """The same with another loss, see `models.losses.SEGMENTATION_LOSSES`."""
        loss_named(name)
        return replace(self, loss=name)

    def with_teachers(self, teachers: Sequence[Teacher], share: float | None = None) -> Self:
        """The same with other segmenters to learn from."""
        return taught_by(self, teachers, share)

    def with_crop(self, crop_px: int) -> Self:
        """The same with crops of another side."""
        return replace(self, augmentation=replace(self.augmentation, crop_px=crop_px))


Pick = tuple[list[Sample], float]
"""Images of a batch, and the progress of the training at it."""


class SegmentationBatches(SeededBatches):
    """Crops with their masks (0 or 1) and weights (0 where nobody knows, else 1), each `(B, 1, crop, crop)` float32.

    Where a recipe comes to the hardest negatives, also the weight of these, `(B, 1, 1, 1)`.
    """

    def __init__(self, samples: Sequence[Sample], recipe: SegmentationRecipe, steps: int | None = None) -> None:
        """Decode all images and cut the targets for pasting.

        Args:
            samples: images.
            recipe: how.
            steps: of the whole training; None: not counted.

        Raises:
            SettingsError: no image has a mask, one with boxes has an empty mask, or the recipe has phases and steps are not counted.
        """
        if steps is None and not recipe.phases.is_level:
            raise SettingsError(
                expected="a length in epochs: crops of this recipe change with the share of the training that is done",
                got="a limit of time",
                where="`minutes of training`",
                action="Name epochs in place of minutes, or another recipe.",
            )
        refuse_without_masks(samples, "data to train a segmenter on")
        refuse_empty_masks(samples)
        self.samples, self._recipe, self.seed, self._steps = samples, recipe, recipe.seed, steps
        self._paster = Paster(cut_targets(samples), recipe.augmentation.paste)

    def decode(self) -> None:
        """Masks as well."""
        super().decode()
        for sample in self.samples:
            _ = sample.unknown_HW, sample.marked_HW if self._recipe.augmentation.keep_offsets else sample.mask_HW

    def picks(self) -> Iterator[Pick]:
        """The images of each batch."""
        shares = by_images(self._recipe.shares, self.samples, self._recipe.natural)
        pool = SamplePool(self.samples, shares, np.random.default_rng(self.seed))
        for number in count():
            yield pool.draw_many(self._recipe.batch_size), 0.0 if self._steps is None else min(1.0, number / self._steps)

    def calibration_picks(self) -> Iterator[Pick]:
        """As at the end of the training."""
        return ((samples, 1.0) for samples, _ in self.picks())

    def make(self, pick: Pick, rng: np.random.Generator) -> Batch:
        """One crop of each image."""
        (samples, progress), phases = pick, self._recipe.phases
        plan = phases.augmentation(self._recipe.augmentation, progress)
        crops = [make_crop(sample, plan, self._paster, rng) for sample in samples]
        pixels, masks, unknown = (torch.from_numpy(np.stack(part)[:, None]) for part in zip(*crops, strict=True))
        known = [known_of(sample, self._recipe.unknown_share, rng) for sample in samples]
        hard = () if math.isinf(phases.hard_from) else (torch.full((len(samples), 1, 1, 1), phases.weight_of_hard(progress)),)
        return Batch(pixels, (masks.float(), 1 - unknown.float(), *hard), MetadataBatch.of_each(known))


def segmentation_loss_of(model: AnyModel, batch: Batch, loss: str, teachers: Teachers | None = None, share: float = 0.0) -> Tensor:
    """Loss of a batch, a scalar.

    Crops of any size: what `padded_pixels` adds is unknown to the loss.

    Args:
        model: a segmenter.
        batch: on its device; targets are masks, weights and, where they count, the weight of the hardest negatives.
        loss: name of one of `models.losses.SEGMENTATION_LOSSES`.
        teachers: networks whose answers have a `share` in the loss; also where nobody knows the truth.
        share: see there; 0 without teachers.
    """
    height_px, width_px = batch.pixels_B1HW.shape[2:]
    pixels_B1HW = padded_pixels(model, batch)
    added = (0, pixels_B1HW.shape[3] - width_px, 0, pixels_B1HW.shape[2] - height_px)
    masks_B1HW, weights_B1HW = (functional.pad(each, added) for each in batch.targets[:2])
    raw = model(pixels_B1HW, batch.metadata)
    whole = deep_supervision(raw, masks_B1HW, loss_named(loss), weights_B1HW)
    full_B1HW = raw if isinstance(raw, Tensor) else raw[0]
    if teachers is not None:
        taught = mask_distillation_loss(full_B1HW.float()[..., :height_px, :width_px], teachers.logits(batch))
        whole = blended(whole, taught, share)
    if len(batch.targets) == 2:
        return whole
    # The pixels beside a target are a matter of its outline, which the overlap judges.
    near_B1HW = functional.max_pool2d(masks_B1HW, 2 * _OUTLINE_PX + 1, 1, _OUTLINE_PX)
    negatives = batch.targets[2].mean() * hardest_negatives_loss(full_B1HW.float(), near_B1HW, weights_B1HW)
    return whole + (1 - share) * negatives


class SegmentationTask(TrainingTask):
    """See `TrainingTask`."""

    recipe: SegmentationRecipe

    def __init__(self, model: AnyModel, recipe: SegmentationRecipe) -> None:
        """Nothing is read yet.

        Raises:
            SettingsError: the network is no segmenter.
        """
        if not isinstance(model, SegmentationModel):
            raise wrong_base(model, SegmentationModel)
        self.recipe, self._teachers = recipe, Teachers.of(recipe.teachers, model)

    @property
    def records_passes(self) -> bool:
        """Crops of all sizes cannot be recorded."""
        return not self.recipe.phases.sides

    def source(self, steps: int | None = None) -> SegmentationBatches:
        """Augmented crops."""
        return SegmentationBatches(self.samples, self.recipe, steps)

    @property
    def counts_batches(self) -> bool:
        """Phases do."""
        return not self.recipe.phases.is_level

    @property
    def headline(self) -> str:
        """Overlap of pixels."""
        return "iou"

    def source_of(self, samples: Sequence[Sample], seed: int, steps: int | None = None) -> SegmentationBatches:
        """Augmented crops."""
        return SegmentationBatches(samples, replace(self.recipe, seed=seed), steps)

    def can_teach(self, samples: Sequence[Sample]) -> bool:
        """Some mask is drawn."""
        return any(sample.has_mask and sample.labels for sample in samples)

    def quality(self, model: nn.Module, samples: Iterable[Sample]) -> float:
        """See `validator`."""
        assert isinstance(model, SegmentationModel)
        return overlap(segmentation_metrics_of(model, samples, (_PLAIN,), next(model.parameters()).device)[_PLAIN])

    def chosen_on(self, model: AnyModel, samples: Iterable[Sample], *, device: str = "cpu") -> dict[str, float]:
        """The threshold of the recipe, or the best one; scores keep their map."""
        assert isinstance(model, SegmentationModel)
        if self.recipe.threshold is not None:
            return model.settings.model_dump() | {"threshold": self.recipe.threshold}
        metrics = segmentation_metrics_of(model, samples, CANDIDATE_THRESHOLDS, device)
        quality = {threshold: overlap(metrics[threshold]) for threshold in CANDIDATE_THRESHOLDS}
        known = {threshold: value for threshold, value in quality.items() if not math.isnan(value)}
        return model.settings.model_dump() | ({"threshold": max(known, key=known.__getitem__)} if known else {})

    def answers(self, model: AnyModel, *, device: str = "cpu") -> Answerer:
        """See `segmenter_answers`."""
        assert isinstance(model, SegmentationModel)
        return segmenter_answers(model, device)

    def image_score(self, figures: Mapping[str, float]) -> float:
        """Overlap with the truth; 1 where there is neither target nor answer."""
        if "union_px" not in figures:
            return math.nan
        return figures["intersection_px"] / figures["union_px"] if figures["union_px"] else 1.0

    def outcomes(self, model: AnyModel, rows: Sequence[Mapping[str, Any]]) -> Outcomes:
        """See `found_outcomes`; of images with masks."""
        return found_outcomes(row for row in rows if "images" in dict(row["figures"]))

    def figures(self, model: AnyModel, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """See `segmentation_figures`."""
        return segmentation_figures(rows)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss of the recipe."""
        assert isinstance(model, SegmentationModel)
        if self._teachers is None:
            return segmentation_loss_of(model, batch, self.recipe.loss)
        return segmentation_loss_of(model, batch, self.recipe.loss, self._teachers, self.recipe.teacher_share)

    def look_at(self, sample: Sample) -> None:
        """Image and mask."""
        _ = sample.pixels_HW, sample.mask_HW
        refuse_empty_masks([sample])

    def validator(self) -> Validator:
        """Mean over the data sets that have masks of IoU and nIoU at the threshold 0.5, as the threshold is chosen."""
        return segmentation_validator(read_samples(self.recipe.sets, Role.SELECT))

    def choose(self, model: AnyModel, *, device: str = "cpu", report: Report = no_report) -> dict[str, float]:
        """The threshold of the recipe, or the best one on held-out images, and the map of scores that fits these."""
        assert isinstance(model, SegmentationModel)
        if self.recipe.threshold is not None:
            return model.settings.model_dump() | {"threshold": self.recipe.threshold}
        model.configure(choose_segmentation_threshold(model, self.recipe.sets, device=device, report=report))
        scores = choose_score_map(model, self.recipe.sets, device=device, report=report)
        return model.settings.model_dump() | {"score_slope": round(scores.slope, 4), "score_offset": round(scores.offset, 4)}

    def measure(
        self, model: AnyModel, role: Role = Role.TEST, weights: Path | None = None, *, device: str = "cpu", report: Report = no_report
    ) -> list[Measurement]:
        """Overlap, detection and error rates of each data set of the recipe that has masks."""
        assert isinstance(model, SegmentationModel)
        command = self.measured_by(model.name, weights, DATASET)
        return measure_segmentation(model, role, command, self.recipe.sets, device=device, report=report)

    def measured_by(self, name: str, weights: Path | None, dataset: str) -> str:
        """The evaluation of segmenters, on this one data set."""
        return f"irstream evaluate {name if weights is None else shlex.quote(str(weights))} {shlex.quote(dataset)}"

    def picture(self, model: AnyModel) -> Picture:
        """See `training.tasks.pictures.segmentation_picture`."""
        assert isinstance(model, SegmentationModel)
        return segmentation_picture(model)


def segmentation_validator(samples: Sequence[Sample]) -> Validator:
    """Score of a segmenter on images, those of data sets without any mask left out.

    Raises:
        SettingsError: there is no target in them.
    """
    masked = {sample.dataset for sample in samples if sample.has_mask}
    kept = [sample for sample in samples if sample.dataset in masked]
    if not any(sample.mask_HW.any() for sample in kept):
        raise SettingsError(
            expected="held-out images (split val) with targets",
            got=f"{len(kept)} images without any" if kept else "no image with a mask",
            where="`validation` of a segmenter",
            action="Give some labelled images the split `val`, or train without validation.",
        )

    def validate(model: nn.Module) -> float:
        assert isinstance(model, SegmentationModel)
        return segmentation_quality(model, kept, next(model.parameters()).device)

    return validate
