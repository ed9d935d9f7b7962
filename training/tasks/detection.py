"""Batches and loss for detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.boxes import areas, cut_boxes
from models.detection.base import BoxTruth, DetectionModel
from models.interface import MetadataBatch
from training.augmentation.crops import crop_origin, cut_pixels
from training.augmentation.geometry import apply_symmetry, apply_symmetry_to_boxes, symmetry
from training.augmentation.radiometry import jitter_counts
from training.data.samples import Sample
from training.data.sampling import SamplePool

Floats = NDArray[np.float32]
_MIN_VISIBLE = 0.4
# Small targets are the point: shrinking them would erase them, so only sets of larger objects are rescaled.
_RESCALED_SETS = frozenset({"hit-uav", "drone-ir", "drone-ir-clips"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionRecipe:
    """How crops are drawn.

    Attributes:
        crop_px: side of the training crops, a multiple of 16.
        batch_size: crops a step.
        target_probability: share of crops that are made to hold the centre of a target.
        shares: how often each data set is drawn (relative).
        seed: of all chance in the data.
    """

    crop_px: int = 256
    batch_size: int = 8
    target_probability: float = 0.7
    shares: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType(
            {
                "nudt-sirst": 0.16,
                "irstd-1k": 0.16,
                "sirst-v2": 0.1,
                "hit-uav": 0.32,
                "drone-ir": 0.06,
                "drone-ir-clips": 0.06,
                "synthetic": 0.14,
            }
        )
    )
    seed: int = 21


class DetectionBatches:
    """Draws batches for ever."""

    def __init__(self, samples: Sequence[Sample], recipe: DetectionRecipe) -> None:
        """Group the images by data set."""
        self._recipe = recipe
        self._rng = np.random.default_rng(recipe.seed)
        self._pool = SamplePool(samples, recipe.shares, self._rng)

    def draw(self) -> tuple[Tensor, list[tuple[Floats, Floats]]]:
        """`(B, 1, crop, crop)` normalised pixels, and B pairs of target boxes and ignored boxes."""
        crops = [self._crop() for _ in range(self._recipe.batch_size)]
        return torch.from_numpy(np.stack([pixels for pixels, _, _ in crops])[:, None]), [(boxes, ignored) for _, boxes, ignored in crops]

    def _crop(self) -> tuple[Floats, Floats, Floats]:
        rng, crop_px = self._rng, self._recipe.crop_px
        sample = self._pool.draw()
        scale = float(rng.uniform(0.7, 1.3)) if sample.dataset in _RESCALED_SETS else 1.0
        source_px = round(crop_px / scale)
        focus = None
        if len(sample.boxes_xyxy_px) and rng.random() < self._recipe.target_probability:
            x_min, y_min, x_max, y_max = sample.boxes_xyxy_px[rng.integers(len(sample.boxes_xyxy_px))]
            focus = (float(x_min + x_max) / 2, float(y_min + y_max) / 2)
        top, left = crop_origin(sample.pixels_HW.shape, source_px, focus, rng)
        pixels = cut_pixels(sample, top, left, source_px)
        if source_px != crop_px:
            interpolation = cv2.INTER_AREA if source_px > crop_px else cv2.INTER_LINEAR
            pixels = np.asarray(cv2.resize(pixels, (crop_px, crop_px), interpolation=interpolation), np.float32)
        moved = (sample.boxes_xyxy_px - np.array([left, top, left, top], np.float32)) * np.float32(crop_px / source_px)
        boxes, ignored = clip_boxes(moved, sample.ignored_N, crop_px)
        chosen = symmetry(rng)
        turned = np.ascontiguousarray(apply_symmetry(pixels, chosen), np.float32)
        return (
            jitter_counts(turned, rng),
            apply_symmetry_to_boxes(boxes, crop_px, chosen),
            apply_symmetry_to_boxes(ignored, crop_px, chosen),
        )


def clip_boxes(boxes_N4: Floats, ignore_N: NDArray[np.bool_], crop_px: int) -> tuple[Floats, Floats]:
    """Cut boxes at the border of a crop; those mostly outside it are neither target nor background.

    Returns:
        Target boxes and ignored boxes, both inside the crop.
    """
    clipped = cut_boxes(boxes_N4, (0, 0, crop_px, crop_px))
    visible = areas(clipped)
    unknown = (visible < _MIN_VISIBLE * areas(boxes_N4)) | ignore_N
    return clipped[(visible > 0) & ~unknown], clipped[(visible > 0) & unknown]


def detection_step(batches: DetectionBatches, recipe: DetectionRecipe, model: nn.Module) -> Tensor:
    """Loss of one fresh batch, on the model's device."""
    assert isinstance(model, DetectionModel)
    device = next(model.parameters()).device
    pixels_B1HW, boxes = batches.draw()
    metadata = MetadataBatch.unknown((recipe.crop_px, recipe.crop_px), len(pixels_B1HW)).to(device)
    raw = model(pixels_B1HW.to(device).contiguous(memory_format=torch.channels_last), metadata)
    return model.training_loss(raw, [BoxTruth(*(torch.from_numpy(each).to(device) for each in pair)) for pair in boxes])
