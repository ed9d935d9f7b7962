"""Cascade RPN: anchors that are moved once before anything is said of them, and a convolution that looks where they then lie.

Source: Vu, Jang, Pham, Yoo, "Cascade RPN", NeurIPS 2019, arXiv:1909.06720, for two levels as AuxDet has it: one square anchor a cell,
eight strides wide. Stage 1 (dilated convolution) learns from the cells in the middle of a box; stage 2 (deformable convolution on the
moved anchors) from overlap, and scores. Loss: linear IoU of both stages and cross-entropy of the score, weights 7, 7 and 0.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.detection.anchors import Spread, boxes_from, grid_anchors, tap_offsets
from models.detection.assignment import by_overlap, by_region, drawn
from models.detection.base import BoxTruth
from models.detection.proposals import ProposalNetwork, strongest_of_each
from models.layers.region_ops import DeformableConv
from models.losses import linear_iou_loss

ANCHOR_STRIDES = 8
"""Side of an anchor, in strides of its level."""
_FIRST: Spread = (0.1, 0.1, 0.5, 0.5)
_SECOND: Spread = (0.05, 0.05, 0.1, 0.1)
_BOX_WEIGHT, _SCORE_WEIGHT = 7.0, 0.7
_EXPECTED_SHARE = 1 / 200  # of all anchors: what the loss of stage 1 is divided by
_SAMPLES, _TARGET_SHARE = 256, 0.5
_MIN_IOU, _LEAST_IOU = 0.7, 0.3
NUM_RAW = 3
"""Tensors a level in `forward`'s answer."""


@dataclass(frozen=True, slots=True, eq=False)
class _Anchors:
    """Of all levels: `start_N4` the grid, `moved_BN4` after stage 1, `final_BN4` after stage 2, and `logit_BN`."""

    start_N4: Tensor
    moved_BN4: Tensor
    final_BN4: Tensor
    logit_BN: Tensor
    sizes: list[tuple[int, int]]


class CascadeRpn(ProposalNetwork):
    """Proposals from two levels or more; one head for all of them."""

    num_raw = NUM_RAW

    def __init__(self, channels: int, strides: Sequence[int]) -> None:
        """Build; `strides` are pixels of the backbone's input a cell of each level."""
        super().__init__()
        self.strides = tuple(strides)
        self.first = nn.Conv2d(channels, channels, 3, padding=3, dilation=3)
        self.first_boxes = nn.Conv2d(channels, 4, 1)
        self.second = DeformableConv(channels, channels)
        self.second_boxes = nn.Conv2d(channels, 4, 1)
        self.objectness = nn.Conv2d(channels, 1, 1)
        for layer in (self.first, self.first_boxes, self.second_boxes, self.objectness):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps `(B, C, H, W)` to differences of stage 1 and stage 2 `(B, 4, H, W)`, and a logit `(B, 1, H, W)`, level by level."""
        raw: list[Tensor] = []
        for map_BCHW, stride in zip(maps, self.strides, strict=True):
            height, width = map_BCHW.shape[-2:]
            bridged_BCHW = functional.relu(self.first(map_BCHW))
            first_B4HW = self.first_boxes(bridged_BCHW).float()
            start_N4 = _grid(height, width, stride, map_BCHW.device)
            # What stage 2 looks at is no parameter of its loss.
            moved_BN4 = boxes_from(_rows(first_B4HW.detach()), start_N4, _FIRST)
            seen_BCHW = functional.relu(self.second(bridged_BCHW, tap_offsets(moved_BN4, height, width, stride)))
            raw += [first_B4HW, self.second_boxes(seen_BCHW).float(), self.objectness(seen_BCHW).float()]
        return tuple(raw)

    def proposals(self, raw: Sequence[Tensor], size_px: tuple[int, int], num: int, candidates: int) -> Tensor:
        """See `ProposalNetwork`."""
        found = self._anchors([each.detach() for each in raw])
        counts = [height * width for height, width in found.sizes]
        return strongest_of_each(found.final_BN4, found.logit_BN.sigmoid(), counts, size_px, num, candidates)

    def loss(self, raw: Sequence[Tensor], truths: Sequence[BoxTruth]) -> Tensor:
        """See the module."""
        found = self._anchors(raw)
        first_BN4 = boxes_from(_flat(raw[0::NUM_RAW]), found.start_N4, _FIRST)
        one, boxes, score, num_drawn = [], [], [], 0
        for item, truth in enumerate(truths):
            near_N = by_region(truth.boxes_M4, found.sizes, self.strides, ANCHOR_STRIDES * self.strides[0])
            own_n = torch.nonzero(near_N >= 0)[:, 0]
            one.append(linear_iou_loss(first_BN4[item, own_n], truth.boxes_M4[near_N[own_n]]).sum())
            assigned = by_overlap(found.moved_BN4[item], truth.boxes_M4, truth.ignored_K4, _MIN_IOU, _LEAST_IOU)
            positive, negative = drawn(assigned, _SAMPLES, _TARGET_SHARE)
            boxes.append(linear_iou_loss(found.final_BN4[item, positive], truth.boxes_M4[assigned.box_N[positive]]).sum())
            chosen = torch.cat([positive, negative])
            wanted = (assigned.box_N[chosen] >= 0).float()
            score.append(functional.binary_cross_entropy_with_logits(found.logit_BN[item, chosen], wanted, reduction="sum"))
            num_drawn += len(chosen)
        expected = max(len(truths) * len(found.start_N4) * _EXPECTED_SHARE, 1.0)
        second = _BOX_WEIGHT * torch.stack(boxes).sum() + _SCORE_WEIGHT * torch.stack(score).sum()
        return _BOX_WEIGHT * torch.stack(one).sum() / expected + second / max(num_drawn, 1)

    def _anchors(self, raw: Sequence[Tensor]) -> _Anchors:
        sizes = [(int(each.shape[2]), int(each.shape[3])) for each in raw[0::NUM_RAW]]
        device = raw[0].device
        start = [_grid(*size, stride, device) for size, stride in zip(sizes, self.strides, strict=True)]
        start_N4 = torch.cat(start)
        moved_BN4 = boxes_from(_flat(raw[0::NUM_RAW]).detach(), start_N4, _FIRST)
        return _Anchors(
            start_N4=start_N4,
            moved_BN4=moved_BN4,
            final_BN4=boxes_from(_flat(raw[1::NUM_RAW]), moved_BN4, _SECOND),
            logit_BN=_flat(raw[2::NUM_RAW])[..., 0],
            sizes=sizes,
        )


def _grid(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    side_px = float(ANCHOR_STRIDES * stride)
    return grid_anchors(height, width, stride, [(side_px, side_px)], device)


def _rows(map_BCHW: Tensor) -> Tensor:
    return map_BCHW.flatten(2).transpose(1, 2)


def _flat(maps: Sequence[Tensor]) -> Tensor:
    return torch.cat([_rows(each) for each in maps], 1)
