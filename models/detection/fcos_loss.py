"""Loss of a light FCOS: the locations that are responsible for each box, and the loss of all locations.

Source: Tian, Shen, Chen, He, "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019, arXiv:1904.01355; what differs
is said in `models.detection.fcos`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.detection.base import BoxTruth
from models.detection.fcos_boxes import STRIDES, decode_boxes, locations_of
from models.losses import focal_loss, giou_loss

# A box belongs to the first level whose limit its longer side does not exceed.
LEVEL_LIMITS_PX = (16.0, 48.0, float("inf"))
CENTRE_RADIUS_STRIDES = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class BoxTargets:
    """Targets of the head at all N locations of all levels of one image.

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


def assign(boxes_M4: Tensor, ignored_K4: Tensor, sizes: Sequence[tuple[int, int]]) -> BoxTargets:
    """Give every box the locations near its centre on the level of its size; the smaller box wins a shared location.

    Args:
        boxes_M4: target boxes in pixels.
        ignored_K4: regions nobody labelled.
        sizes: height and width of the raw map of each level.
    """
    device = boxes_M4.device
    locations = [locations_of(height, width, stride, device) for (height, width), stride in zip(sizes, STRIDES, strict=True)]
    locations_N2 = torch.cat(locations)
    level_N = torch.cat([torch.full((len(part),), level, device=device) for level, part in enumerate(locations)])
    stride_N = torch.tensor(STRIDES, dtype=torch.float32, device=device)[level_N]
    weight_N = 1 - inside(locations_N2, ignored_K4).any(1).float()
    if len(boxes_M4) == 0:
        nothing = torch.zeros(len(locations_N2), device=device)
        return BoxTargets(nothing, weight_N, torch.zeros(len(locations_N2), 4, device=device), nothing)
    sides_M2 = boxes_M4[:, 2:] - boxes_M4[:, :2]
    level_M = torch.bucketize(sides_M2.amax(1), torch.tensor(LEVEL_LIMITS_PX, device=device))
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
    """True where a location lies in a box, `(N, K)` bool."""
    return ((locations_N2[:, None] >= boxes_K4[:, :2]) & (locations_N2[:, None] < boxes_K4[:, 2:])).all(2)


def centreness_of(locations_N2: Tensor, boxes_N4: Tensor, stride_N: Tensor) -> Tensor:
    """Centre-ness (FCOS eq. 3) of locations in boxes grown to at least four strides; 0 outside them."""
    centres_N2 = (boxes_N4[:, :2] + boxes_N4[:, 2:]) / 2
    halves_N2 = torch.maximum((boxes_N4[:, 2:] - boxes_N4[:, :2]) / 2, 2 * stride_N[:, None])
    offset_N2 = (locations_N2 - centres_N2).abs()
    return ((halves_N2 - offset_N2).clamp(min=0) / (halves_N2 + offset_N2)).prod(1).sqrt()


def fcos_loss(raw: Sequence[Tensor], truths: Sequence[BoxTruth]) -> Tensor:
    """Focal loss of the class, GIoU of the box weighted by centre-ness, cross-entropy of the centre-ness.

    Args:
        raw: one `(B, 6, H, W)` map a level, as `LightFcos.forward` returns, float32.
        truths: one for each of the B crops, on the same device.

    Returns:
        Scalar, averaged over the positive locations of the batch.
    """
    sizes = [(int(level.shape[2]), int(level.shape[3])) for level in raw]
    targets = [assign(truth.boxes_M4, truth.ignored_K4, sizes) for truth in truths]
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
        decode_boxes(part[..., 2:], locations_of(*size, STRIDES[level], part.device), level)
        for level, (part, size) in enumerate(zip(flat, sizes, strict=True))
    ]
    wanted_BN4 = torch.stack([target.box_N4 for target in targets])
    weights = centreness_BN[positive_BN]
    overlap = giou_loss(torch.cat(predicted, 1)[positive_BN], wanted_BN4[positive_BN])
    centred = functional.binary_cross_entropy_with_logits(flat_BN6[..., 1][positive_BN], weights, reduction="sum")
    return loss + (overlap * weights).sum() / weights.sum() + centred / num
