"""Batches and loss for segmenters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.interface import MetadataBatch
from models.losses import segmentation_loss
from training.augment import (
    TargetPatch,
    apply_symmetry,
    crop_origin,
    cut_crop,
    cut_pixels,
    cut_targets,
    jitter_counts,
    paste_target,
    symmetry,
)
from training.datasets import Sample
from training.sampling import SamplePool


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationRecipe:
    """How crops are drawn and weighed.

    Sets without masks (HIT-UAV, drone-ir) teach what is no target: their boxes are left out of the loss.

    Attributes:
        shares: how often each data set is drawn (relative).
        crop_px: side of the training crops.
        batch_size: crops a step.
        target_probability: share of crops that are made to hold a target pixel.
        paste_probability: share of crops that get pasted targets (one to three).
        bce_weight: see `models.losses.segmentation_loss`.
        seed: of all chance in the data.
    """

    crop_px: int = 160
    batch_size: int = 8
    target_probability: float = 0.6
    paste_probability: float = 0.5
    bce_weight: float = 20.0
    shares: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType(
            {"nudt-sirst": 0.3, "irstd-1k": 0.29, "sirst-v2": 0.15, "synthetic": 0.14, "hit-uav": 0.08, "drone-ir": 0.04}
        )
    )
    seed: int = 20


class SegmentationBatches:
    """Draws batches for ever."""

    def __init__(self, samples: Sequence[Sample], recipe: SegmentationRecipe) -> None:
        """Decode all images and cut the targets for pasting."""
        self._recipe = recipe
        self._rng = np.random.default_rng(recipe.seed)
        self._pool = SamplePool(samples, recipe.shares, self._rng)
        self._patches: list[TargetPatch] = cut_targets(samples)

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """`(B, 1, crop, crop)` normalised pixels, masks (0 or 1), and weights (0 where nobody knows, else 1), float32."""
        crops = [self._crop() for _ in range(self._recipe.batch_size)]
        pixels, masks, unknown = (torch.from_numpy(np.stack(part)[:, None]) for part in zip(*crops, strict=True))
        return pixels, masks.float(), 1 - unknown.float()

    def _crop(self) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
        rng, recipe = self._rng, self._recipe
        sample = self._pool.draw()
        focus = None
        if len(sample.boxes_xyxy_px) and rng.random() < recipe.target_probability:
            x_min, y_min, x_max, y_max = sample.boxes_xyxy_px[rng.integers(len(sample.boxes_xyxy_px))]
            focus = (float(x_min + x_max) / 2, float(y_min + y_max) / 2)
        top, left = crop_origin(sample.pixels_HW.shape, recipe.crop_px, focus, rng)
        pixels = cut_pixels(sample, top, left, recipe.crop_px)
        mask = np.asarray(cut_crop(sample.mask_HW, top, left, recipe.crop_px), np.uint8)
        unknown = np.asarray(cut_crop(sample.unknown_HW, top, left, recipe.crop_px), np.uint8)
        if self._patches and rng.random() < recipe.paste_probability:
            for _ in range(int(rng.integers(1, 4))):
                paste_target(pixels, mask, self._patches[rng.integers(len(self._patches))], rng)
        chosen = symmetry(rng)
        turned = np.ascontiguousarray(apply_symmetry(pixels, chosen), np.float32)
        # A target pasted over an unknown place is known.
        unknown &= 1 - mask
        mask, unknown = (np.ascontiguousarray(apply_symmetry(each, chosen), np.uint8) for each in (mask, unknown))
        return jitter_counts(turned, rng), mask, unknown


def segmentation_step(batches: SegmentationBatches, recipe: SegmentationRecipe, model: nn.Module) -> Tensor:
    """Loss of one fresh batch."""
    pixels_B1HW, masks_B1HW, weights_B1HW = batches.draw()
    metadata = MetadataBatch.unknown((recipe.crop_px, recipe.crop_px), len(pixels_B1HW))
    logits_B1HW = model(pixels_B1HW.contiguous(memory_format=torch.channels_last), metadata)
    return segmentation_loss(logits_B1HW, masks_B1HW, recipe.bce_weight, weights_B1HW)
