"""Training of segmenters: batches, loss, validation, thresholds and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from contracts.errors import SettingsError
from models.card import Measurement
from models.interface import MetadataBatch
from models.losses import loss_named
from models.segmentation.base import SegmentationModel
from models.zoo import AnyModel
from training.augmentation.paste import Paster, cut_targets
from training.augmentation.plan import Augmentation, make_crop
from training.data.batches import Batch, SeededBatches, known_of, padded_pixels
from training.data.mask_checks import refuse_empty_masks, refuse_without_masks
from training.data.samples import Role, Sample, read_samples
from training.data.sampling import SamplePool
from training.tasks.base import Recipe, TrainingTask, Validator, wrong_base
from training.tasks.deep_supervision import deep_supervision
from training.tasks.measuring import (
    DATASET,
    Report,
    choose_segmentation_threshold,
    measure_segmentation,
    no_report,
    segmentation_quality,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationRecipe(Recipe):
    """Recipe of crops for a segmenter, and their weights.

    Sets without masks (HIT-UAV, drone-ir) teach what is no target, their boxes left out of the loss, and with pasted targets that
    there are some.

    Attributes:
        shares: how often each data set is drawn (relative).
        augmentation: what is done to each crop.
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
        return replace(self, shares=MappingProxyType(dict.fromkeys(sets, 1.0)))

    def with_loss(self, name: str) -> Self:
        """The same with another loss, see `models.losses.SEGMENTATION_LOSSES`."""
        loss_named(name)
        return replace(self, loss=name)

    def with_crop(self, crop_px: int) -> Self:
        """The same with crops of another side."""
        return replace(self, augmentation=replace(self.augmentation, crop_px=crop_px))


class SegmentationBatches(SeededBatches):
    """Crops with their masks (0 or 1) and weights (0 where nobody knows, else 1), each `(B, 1, crop, crop)` float32."""

    def __init__(self, samples: Sequence[Sample], recipe: SegmentationRecipe) -> None:
        """Decode all images and cut the targets for pasting.

        Raises:
            SettingsError: no image has a mask, or one with boxes has an empty mask.
        """
        refuse_without_masks(samples, "data to train a segmenter on")
        refuse_empty_masks(samples)
        self.samples, self._recipe, self.seed = samples, recipe, recipe.seed
        self._paster = Paster(cut_targets(samples), recipe.augmentation.paste)

    def decode(self) -> None:
        """Masks as well."""
        super().decode()
        for sample in self.samples:
            _ = sample.unknown_HW, sample.mask_HW

    def picks(self) -> Iterator[list[Sample]]:
        """The images of each batch."""
        pool = SamplePool(self.samples, self._recipe.shares, np.random.default_rng(self.seed))
        while True:
            yield pool.draw_many(self._recipe.batch_size)

    def make(self, pick: list[Sample], rng: np.random.Generator) -> Batch:
        """One crop of each image."""
        plan = self._recipe.augmentation
        crops = [make_crop(sample, plan, self._paster, rng) for sample in pick]
        pixels, masks, unknown = (torch.from_numpy(np.stack(part)[:, None]) for part in zip(*crops, strict=True))
        known = [known_of(sample, self._recipe.unknown_share, rng) for sample in pick]
        return Batch(pixels, (masks.float(), 1 - unknown.float()), MetadataBatch.of_each(known))


def segmentation_loss_of(model: AnyModel, batch: Batch, loss: str) -> Tensor:
    """Loss of a batch, a scalar.

    Crops of any size: what `padded_pixels` adds is unknown to the loss.

    Args:
        model: a segmenter.
        batch: on its device; targets are masks and weights.
        loss: name of one of `models.losses.SEGMENTATION_LOSSES`.
    """
    height_px, width_px = batch.pixels_B1HW.shape[2:]
    pixels_B1HW = padded_pixels(model, batch)
    added = (0, pixels_B1HW.shape[3] - width_px, 0, pixels_B1HW.shape[2] - height_px)
    masks_B1HW, weights_B1HW = (functional.pad(each, added) for each in batch.targets)
    raw = model(pixels_B1HW, batch.metadata)
    return deep_supervision(raw, masks_B1HW, loss_named(loss), weights_B1HW)


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
        self.recipe = recipe

    def source(self) -> SegmentationBatches:
        """Augmented crops."""
        return SegmentationBatches(self.samples, self.recipe)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss of the recipe."""
        assert isinstance(model, SegmentationModel)
        return segmentation_loss_of(model, batch, self.recipe.loss)

    def look_at(self, sample: Sample) -> None:
        """Image and mask."""
        _ = sample.pixels_HW, sample.mask_HW
        refuse_empty_masks([sample])

    def validator(self) -> Validator:
        """Mean over the data sets that have masks of IoU and nIoU at the threshold 0.5, as the threshold is chosen."""
        return segmentation_validator(read_samples(self.recipe.sets, Role.SELECT))

    def choose(self, model: AnyModel, *, device: str = "cpu", report: Report = no_report) -> dict[str, float]:
        """The threshold of the recipe, or the best one on held-out images."""
        assert isinstance(model, SegmentationModel)
        if self.recipe.threshold is not None:
            return model.settings.model_dump() | {"threshold": self.recipe.threshold}
        return choose_segmentation_threshold(model, self.recipe.sets, device=device, report=report)

    def measure(
        self, model: AnyModel, role: Role = Role.TEST, weights: Path | None = None, *, device: str = "cpu", report: Report = no_report
    ) -> list[Measurement]:
        """Overlap, detection and error rates of each data set of the recipe that has masks."""
        assert isinstance(model, SegmentationModel)
        command = f"irstream evaluate {model.name if weights is None else weights} {DATASET}"
        return measure_segmentation(model, role, command, self.recipe.sets, device=device, report=report)


def segmentation_validator(samples: Sequence[Sample]) -> Validator:
    """Score of a segmenter on images, those of data sets without any mask left out.

    Raises:
        SettingsError: there is no target in them.
    """
    masked = {sample.dataset for sample in samples if sample.mask_path is not None}
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
