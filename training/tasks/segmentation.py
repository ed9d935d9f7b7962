"""Batches and loss for segmenters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.interface import MetadataBatch, Model
from models.losses import loss_named
from models.transforms import padded_size
from training.augmentation.paste import Paster, cut_targets
from training.augmentation.plan import Augmentation, make_crop
from training.data.mask_checks import refuse_empty_masks, refuse_without_masks
from training.data.samples import Sample
from training.data.sampling import SamplePool
from training.tasks.deep_supervision import deep_supervision


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationRecipe:
    """How crops are drawn and weighed.

    Sets without masks (HIT-UAV, drone-ir) teach what is no target, their boxes left out of the loss, and with pasted targets that
    there are some.

    Attributes:
        shares: how often each data set is drawn (relative).
        batch_size: crops a step.
        augmentation: what is done to each crop.
        loss: name of one of `models.losses.SEGMENTATION_LOSSES`.
        seed: of all chance in the data.
    """

    batch_size: int = 8
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: str = "soft_iou_bce"
    shares: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType(
            {"nudt-sirst": 0.27, "irstd-1k": 0.27, "sirst-v2": 0.16, "synthetic": 0.13, "hit-uav": 0.12, "drone-ir": 0.05}
        )
    )
    seed: int = 20


Batch: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""`(B, 1, crop, crop)` normalised pixels, masks (0 or 1), and weights (0 where nobody knows, else 1), float32."""


class DrawsBatches(Protocol):
    """Where a step gets its batch from."""

    def draw(self) -> Batch:
        """The next batch."""
        ...


class SegmentationBatches:
    """Draws batches for ever."""

    def __init__(self, samples: Sequence[Sample], recipe: SegmentationRecipe) -> None:
        """Decode all images and cut the targets for pasting.

        Raises:
            SettingsError: no image has a mask, or one with boxes has an empty mask.
        """
        refuse_without_masks(samples, "data to train a segmenter on")
        refuse_empty_masks(samples)
        self._samples, self._recipe = samples, recipe
        self._paster = Paster(cut_targets(samples), recipe.augmentation.paste)
        self._begin(recipe.seed)

    @property
    def seed(self) -> int:
        """Of all chance in the batches."""
        return self._recipe.seed

    def reseeded(self, seed: np.random.SeedSequence) -> SegmentationBatches:
        """The same images and targets in another order; nothing is decoded or cut again."""
        other = copy(self)
        other._begin(seed)  # noqa: SLF001 - a copy of ourselves
        return other

    def _begin(self, seed: int | np.random.SeedSequence) -> None:
        self._rng = np.random.default_rng(seed)
        self._pool = SamplePool(self._samples, self._recipe.shares, self._rng)

    def draw(self) -> Batch:
        """The next batch."""
        plan, rng = self._recipe.augmentation, self._rng
        crops = [make_crop(self._pool.draw(), plan, self._paster, rng) for _ in range(self._recipe.batch_size)]
        pixels, masks, unknown = (torch.from_numpy(np.stack(part)[:, None]) for part in zip(*crops, strict=True))
        return pixels, masks.float(), 1 - unknown.float()


def segmentation_step(batches: DrawsBatches, recipe: SegmentationRecipe, model: nn.Module) -> Tensor:
    """Loss of one fresh batch, on the model's device.

    Crops of any size: what a network wants to be larger is padded at the right and bottom with the mean (0), as frames are in the
    stream, and is unknown to the loss.
    """
    device = next(model.parameters()).device
    batch = [each.to(device, non_blocking=True) for each in batches.draw()]
    num, _, height_px, width_px = batch[0].shape
    assert isinstance(model, Model)
    padded_height_px, padded_width_px = padded_size(height_px, width_px, model.input_spec.size_multiple_px)
    pixels_B1HW, masks_B1HW, weights_B1HW = (
        functional.pad(each, (0, padded_width_px - width_px, 0, padded_height_px - height_px)) for each in batch
    )
    raw = model(pixels_B1HW.contiguous(memory_format=torch.channels_last), _unknown_metadata((height_px, width_px), num, device))
    return deep_supervision(raw, masks_B1HW, loss_named(recipe.loss), weights_B1HW)


@lru_cache(maxsize=8)
def _unknown_metadata(size_px: tuple[int, int], num: int, device: torch.device) -> MetadataBatch:
    """Kept: nothing may come from the processor's memory while a GPU's passes are recorded."""
    return MetadataBatch.unknown(size_px, num).to(device)
