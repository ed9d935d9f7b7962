"""Batches, target assignment and loss for the detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.detection.fcos import STRIDES, decode_boxes, locations_of
from models.interface import MetadataBatch
from models.losses import focal_loss, giou_loss
from training.augmentation.crops import crop_origin, cut_pixels
from training.augmentation.geometry import apply_symmetry, apply_symmetry_to_boxes, symmetry
from training.augmentation.radiometry import jitter_counts
from training.data.samples import Sample
from training.data.sampling import SamplePool

Floats = NDArray[np.float32]
# A box belongs to the first level whose limit its longer side does not exceed.
LEVEL_LIMITS_PX = (16.0, 48.0, float("inf"))
CENTRE_RADIUS_STRIDES = 1.5
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


@dataclass(frozen=True, slots=True, eq=False)
class BoxTargets:
    """What the head should say at all N locations of all levels of one image.

    Attributes:
        is_target_N: 1 where a location is responsible for a box.
        weight_N: 0 where nobody knows (ignored regions), else 1.
        box_N4: the box a positive location is responsible for.
        centreness_N: see `centreness_of`.
    """

    is_target_N: Tensor
    weight_N: Tensor
    box_N4: Tensor
    centreness_N: Tensor


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
    clipped = np.clip(boxes_N4, 0, crop_px)
    areas = (boxes_N4[:, 2] - boxes_N4[:, 0]) * (boxes_N4[:, 3] - boxes_N4[:, 1])
    visible = (clipped[:, 2] - clipped[:, 0]) * (clipped[:, 3] - clipped[:, 1])
    unknown = (visible < _MIN_VISIBLE * areas) | ignore_N
    return clipped[(visible > 0) & ~unknown], clipped[(visible > 0) & unknown]


def assign(boxes_M4: Tensor, ignored_K4: Tensor, sizes: Sequence[tuple[int, int]]) -> BoxTargets:
    """Give every box the locations near its centre on the level of its size; the smaller box wins a shared location.

    Args:
        boxes_M4: target boxes in pixels.
        ignored_K4: regions nobody labelled.
        sizes: height and width of the raw map of each level.
    """
    locations = [locations_of(height, width, stride) for (height, width), stride in zip(sizes, STRIDES, strict=True)]
    locations_N2 = torch.cat(locations)
    level_N = torch.cat([torch.full((len(part),), level) for level, part in enumerate(locations)])
    stride_N = torch.tensor(STRIDES, dtype=torch.float32)[level_N]
    weight_N = 1 - inside(locations_N2, ignored_K4).any(1).float()
    if len(boxes_M4) == 0:
        nothing = torch.zeros(len(locations_N2))
        return BoxTargets(nothing, weight_N, torch.zeros(len(locations_N2), 4), nothing)
    sides_M2 = boxes_M4[:, 2:] - boxes_M4[:, :2]
    level_M = torch.bucketize(sides_M2.amax(1), torch.tensor(LEVEL_LIMITS_PX))
    distance_NM = (locations_N2[:, None] - (boxes_M4[:, :2] + boxes_M4[:, 2:]) / 2).abs().amax(2)
    near_NM = (distance_NM < CENTRE_RADIUS_STRIDES * stride_N[:, None]) & (level_N[:, None] == level_M)
    cost_NM = torch.where(near_NM, sides_M2.prod(1).expand_as(distance_NM), torch.inf)
    cost_N, index_N = cost_NM.min(1)
    is_target_N = torch.isfinite(cost_N).float()
    box_N4 = boxes_M4[index_N]
    return BoxTargets(
        is_target_N, torch.maximum(weight_N, is_target_N), box_N4, centreness_of(locations_N2, box_N4, stride_N) * is_target_N
    )


def inside(locations_N2: Tensor, boxes_K4: Tensor) -> Tensor:
    """Which locations lie in which boxes, `(N, K)` bool."""
    return ((locations_N2[:, None] >= boxes_K4[:, :2]) & (locations_N2[:, None] < boxes_K4[:, 2:])).all(2)


def centreness_of(locations_N2: Tensor, boxes_N4: Tensor, stride_N: Tensor) -> Tensor:
    """Centre-ness (FCOS eq. 3) of locations in boxes grown to at least four strides; 0 outside them."""
    centres_N2 = (boxes_N4[:, :2] + boxes_N4[:, 2:]) / 2
    halves_N2 = torch.maximum((boxes_N4[:, 2:] - boxes_N4[:, :2]) / 2, 2 * stride_N[:, None])
    offset_N2 = (locations_N2 - centres_N2).abs()
    return ((halves_N2 - offset_N2).clamp(min=0) / (halves_N2 + offset_N2)).prod(1).sqrt()


def detection_loss(raw: Sequence[Tensor], boxes: Sequence[tuple[Floats, Floats]]) -> Tensor:
    """Focal loss of the class, GIoU of the box weighted by centre-ness, cross-entropy of the centre-ness.

    Args:
        raw: one `(B, 6, H, W)` map a level, as `LightFcos.forward` returns.
        boxes: B pairs of target boxes and ignored boxes.

    Returns:
        Scalar, averaged over the positive locations of the batch.
    """
    sizes = [(int(level.shape[2]), int(level.shape[3])) for level in raw]
    targets = [assign(torch.from_numpy(found), torch.from_numpy(ignored), sizes) for found, ignored in boxes]
    is_target_BN = torch.stack([target.is_target_N for target in targets])
    centreness_BN = torch.stack([target.centreness_N for target in targets])
    flat = [level.flatten(2).transpose(1, 2) for level in raw]
    flat_BN6 = torch.cat(flat, 1)
    num = is_target_BN.sum().clamp(min=1)
    weight_BN = torch.stack([target.weight_N for target in targets])
    loss: Tensor = focal_loss(flat_BN6[..., 0], is_target_BN, weight_BN) / num
    positive_BN = is_target_BN > 0
    if not positive_BN.any():
        return loss
    predicted = [
        decode_boxes(part[..., 2:], locations_of(*size, STRIDES[level]), level)
        for level, (part, size) in enumerate(zip(flat, sizes, strict=True))
    ]
    wanted_BN4 = torch.stack([target.box_N4 for target in targets])
    weights = centreness_BN[positive_BN]
    overlap = giou_loss(torch.cat(predicted, 1)[positive_BN], wanted_BN4[positive_BN])
    centred = functional.binary_cross_entropy_with_logits(flat_BN6[..., 1][positive_BN], weights, reduction="sum")
    return loss + (overlap * weights).sum() / weights.sum() + centred / num


def detection_step(batches: DetectionBatches, recipe: DetectionRecipe, model: nn.Module) -> Tensor:
    """Loss of one fresh batch."""
    pixels_B1HW, boxes = batches.draw()
    metadata = MetadataBatch.unknown((recipe.crop_px, recipe.crop_px), len(pixels_B1HW))
    return detection_loss(model(pixels_B1HW.contiguous(memory_format=torch.channels_last), metadata), boxes)
