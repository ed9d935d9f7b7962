"""Loss of Harrier: scores that learn the overlap of their box, boxes of tiny targets by distance, classes where they are known.

Which locations are responsible for a box is decided by what the network answers there (Ge et al., "YOLOX", 2021, arXiv:2107.08430, section
2.3, SimOTA): those near its centre with the best score and box, as many as their boxes overlap it. What differs: a location of a level
made for other sizes costs more, so that the first steps are no matter of chance, and boxes of a few pixels are compared by distance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.detection.base import BoxTruth
from models.detection.fcos_boxes import BASE_SIZE_PX, STRIDES, decode_boxes, locations_of
from models.losses.boxes import giou_loss, wasserstein_similarity
from models.losses.pixelwise import quality_focal_loss

TINY_PX = 16.0
"""Boxes with sides below it, as a square, are compared by distance as well."""
_RADIUS_STRIDES = 1.5
_MOST_LOCATIONS = 9
_LEVEL_COST, _BOX_COST = 1.5, 3.0
_LEAST_QUALITY = 0.2
"""Of a location that is responsible for a target: found with a poor box is more than not found."""
_BOX_WEIGHT, _CLASS_WEIGHT = 2.0, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Owned:
    """Boxes that the N locations of one image are responsible for.

    Attributes:
        box_N: index of the box, -1 where there is none.
        known_N: False where there is no box and nobody knows what is there.
    """

    box_N: Tensor
    known_N: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """The N locations of all levels.

    Attributes:
        xy_N2: their centres, pixels.
        stride_N: of their level.
        base_px_N: side of the boxes that their level is made for.
    """

    xy_N2: Tensor
    stride_N: Tensor
    base_px_N: Tensor


def places_of(sizes: Sequence[tuple[int, int]], device: torch.device) -> Places:
    """The locations of raw maps of some heights and widths, finest first."""
    xy = [locations_of(*size, stride, device) for size, stride in zip(sizes, STRIDES, strict=True)]
    counts = [len(part) for part in xy]
    stride, base = (
        torch.cat([torch.full((num,), float(value), device=device) for num, value in zip(counts, values, strict=True)])
        for values in (STRIDES, BASE_SIZE_PX)
    )
    return Places(torch.cat(xy), stride, base)


def similarity(boxes_N4: Tensor, targets_N4: Tensor) -> Tensor:
    """Overlap of pairs of boxes, of tiny ones the mean of it and of `wasserstein_similarity`, `(N,)` in [0, 1]."""
    low_N2, high_N2 = torch.maximum(boxes_N4[:, :2], targets_N4[:, :2]), torch.minimum(boxes_N4[:, 2:], targets_N4[:, 2:])
    shared_N = (high_N2 - low_N2).clamp(min=0).prod(1)
    areas_N = [(each[:, 2:] - each[:, :2]).prod(1) for each in (boxes_N4, targets_N4)]
    iou_N = shared_N / (areas_N[0] + areas_N[1] - shared_N).clamp(min=1e-9)
    return torch.where(areas_N[1] < TINY_PX**2, (iou_N + wasserstein_similarity(boxes_N4, targets_N4)) / 2, iou_N)


@torch.no_grad()
def assign(truth: BoxTruth, places: Places, scores_N: Tensor, boxes_N4: Tensor) -> Owned:
    """Give every box the locations that answer best for it; a location that several want has the box it fits best.

    Args:
        truth: of the image.
        places: locations.
        scores_N: logits of them.
        boxes_N4: their boxes.
    """
    centre = places.xy_N2[:, None]
    inside_NK = ((centre >= truth.ignored_K4[:, :2]) & (centre < truth.ignored_K4[:, 2:])).all(2)
    known_N, box_N = ~inside_NK.any(1), torch.full((len(scores_N),), -1, device=scores_N.device)
    targets_M4 = truth.boxes_M4
    if not len(targets_M4):
        return Owned(box_N, known_N)
    sides_M2 = targets_M4[:, 2:] - targets_M4[:, :2]
    away_NM = (centre - (targets_M4[:, :2] + targets_M4[:, 2:]) / 2).abs().amax(2)
    near_NM = away_NM < _RADIUS_STRIDES * places.stride_N[:, None]
    place_P, target_P = near_NM.nonzero(as_tuple=True)
    alike_P = similarity(boxes_N4[place_P], targets_M4[target_P])
    # Of a box that is drawn loosely the place alone says how good an answer is.
    alike_P = torch.where(truth.loose_M[target_P], 1 / (1 + (away_NM[place_P, target_P] / places.stride_N[place_P]) ** 2), alike_P)
    octaves_P = (sides_M2.prod(1).sqrt().clamp(min=1)[target_P] / places.base_px_N[place_P]).log2().abs()
    unsure_P = functional.binary_cross_entropy_with_logits(scores_N[place_P], torch.ones_like(alike_P), reduction="none")
    cost_P = unsure_P - _BOX_COST * alike_P.clamp(min=1e-4).log() + _LEVEL_COST * octaves_P**2
    shape = near_NM.shape
    cost_NM = torch.full(shape, math.inf, device=scores_N.device).index_put((place_P, target_P), cost_P)
    alike_NM = torch.zeros(shape, device=scores_N.device).index_put((place_P, target_P), alike_P)
    most = min(_MOST_LOCATIONS, len(scores_N))
    num_M = alike_NM.topk(most, dim=0).values.sum(0).round().clamp(1, most)
    rank_NM = cost_NM.topk(most, dim=0, largest=False)
    chosen_KM = (torch.arange(most, device=scores_N.device)[:, None] < num_M) & rank_NM.values.isfinite()
    wanted_NM = torch.zeros(shape, dtype=torch.bool, device=scores_N.device).scatter(0, rank_NM.indices, chosen_KM)
    least_N, first_N = torch.where(wanted_NM, cost_NM, math.inf).min(1)
    box_N = torch.where(least_N.isfinite(), first_N, box_N)
    return Owned(box_N, known_N | (box_N >= 0))


def harrier_loss(raw: Sequence[Tensor], truths: Sequence[BoxTruth]) -> Tensor:
    """Quality focal loss of the scores, GIoU and distance of the boxes, cross-entropy of the classes.

    Args:
        raw: one `(B, 5 + K, H, W)` map a level, K classes, float32.
        truths: one for each of the B crops, on the same device.

    Returns:
        Scalar: scores and boxes averaged over the qualities of the responsible locations of the batch, classes over those that are known.
    """
    sizes = [(int(level.shape[2]), int(level.shape[3])) for level in raw]
    places = places_of(sizes, raw[0].device)
    flat = [level.flatten(2).transpose(1, 2) for level in raw]
    flat_BNC = torch.cat(flat, 1)
    boxes_BN4 = torch.cat(
        [decode_boxes(part[..., 1:5], locations_of(*sizes[level], STRIDES[level], part.device), level) for level, part in enumerate(flat)],
        1,
    )
    owned = [assign(truth, places, flat_BNC[item, :, 0], boxes_BN4[item]) for item, truth in enumerate(truths)]
    quality_BN = torch.zeros_like(flat_BNC[..., 0])
    boxed, classed = [flat_BNC.new_zeros(())], [flat_BNC.new_zeros(())]
    num, num_classed = flat_BNC.new_zeros(()), 0
    for item, (truth, mine) in enumerate(zip(truths, owned, strict=True)):
        place_n = (mine.box_N >= 0).nonzero()[:, 0]
        if not len(place_n):
            continue
        target_n = mine.box_N[place_n]
        found_n4, wanted_n4, loose_n = boxes_BN4[item, place_n], truth.boxes_M4[target_n], truth.loose_M[target_n]
        quality_n = torch.where(loose_n, _centred(found_n4, wanted_n4), similarity(found_n4, wanted_n4)).detach()
        quality_BN[item, place_n] = quality_n.clamp(min=_LEAST_QUALITY)
        weight_n = quality_BN[item, place_n]
        boxed.append((weight_n * torch.where(loose_n, _beside(found_n4, wanted_n4), _box_loss(found_n4, wanted_n4))).sum())
        classes_n = truth.class_M[target_n]
        classed.append(functional.cross_entropy(flat_BNC[item, place_n, 5:], classes_n, ignore_index=-1, reduction="sum"))
        num_classed += int((classes_n >= 0).sum())
        num = num + weight_n.sum()
    known_BN = torch.stack([each.known_N for each in owned]).float()
    num = num.clamp(min=1)
    scored = quality_focal_loss(flat_BNC[..., 0], quality_BN, known_BN)
    loss: Tensor = (scored + _BOX_WEIGHT * torch.stack(boxed).sum()) / num
    return loss + _CLASS_WEIGHT * torch.stack(classed).sum() / max(1, num_classed)


def _box_loss(boxes_N4: Tensor, targets_N4: Tensor) -> Tensor:
    """One minus GIoU; of tiny targets the mean of it and of one minus `wasserstein_similarity`."""
    overlap_N = giou_loss(boxes_N4, targets_N4)
    tiny_N = (targets_N4[:, 2:] - targets_N4[:, :2]).prod(1) < TINY_PX**2
    return torch.where(tiny_N, (overlap_N + 1 - wasserstein_similarity(boxes_N4, targets_N4)) / 2, overlap_N)


def _offsets(boxes_N4: Tensor, targets_N4: Tensor) -> Tensor:
    """Distance of the centres, in halves of the target's longer side, `(N,)`."""
    away_N2 = (boxes_N4[:, :2] + boxes_N4[:, 2:] - targets_N4[:, :2] - targets_N4[:, 2:]) / 2
    return (away_N2.square().sum(1) + 1e-6).sqrt() / ((targets_N4[:, 2:] - targets_N4[:, :2]).amax(1) / 2).clamp(min=1)


def _centred(boxes_N4: Tensor, targets_N4: Tensor) -> Tensor:
    """Nearness of a box to the middle of a loose target, `(N,)` in [0, 1]."""
    return (1 - _offsets(boxes_N4, targets_N4)).clamp(min=0)


def _beside(boxes_N4: Tensor, targets_N4: Tensor) -> Tensor:
    """Loss of the place alone: the size of a loose target is not known."""
    return _offsets(boxes_N4, targets_N4).clamp(max=2)
