"""The first half of Faster R-CNN: three anchors a cell of each level, moved and scored once.

Source: Ren et al., "Faster R-CNN", 2015, arXiv:1506.01497, on a pyramid as Lin et al. 2017, arXiv:1612.03144, section 4.1. Loss:
cross-entropy of the score and L1 of the boxes, over 256 anchors an image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.detection.anchors import Spread, boxes_from, deltas_to, grid_anchors, sides_of
from models.detection.assignment import by_overlap, drawn
from models.detection.base import BoxTruth
from models.detection.proposals import ProposalNetwork, strongest_of_each

RATIOS = (0.5, 1.0, 2.0)
"""Height over width."""
ANCHOR_STRIDES = 8
_SPREAD: Spread = (1.0, 1.0, 1.0, 1.0)
_SAMPLES, _TARGET_SHARE = 256, 0.5
_MIN_IOU, _BACKGROUND_IOU, _LEAST_IOU = 0.7, 0.3, 0.3
_MAX_IOU = 0.7


class AnchorRpn(ProposalNetwork):
    """Proposals from any number of levels; one head for all of them."""

    num_raw = 2

    def __init__(self, channels: int, strides: Sequence[int]) -> None:
        """Build; `strides` are pixels of the backbone's input a cell of each level."""
        super().__init__()
        self.strides = tuple(strides)
        self.hidden = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, len(RATIOS), 1)
        self.boxes = nn.Conv2d(channels, 4 * len(RATIOS), 1)
        for layer in (self.hidden, self.objectness, self.boxes):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps `(B, C, H, W)` to logits `(B, 3, H, W)` and differences `(B, 12, H, W)`, level by level."""
        raw: list[Tensor] = []
        for map_BCHW in maps:
            hidden_BCHW = functional.relu(self.hidden(map_BCHW))
            raw += [self.objectness(hidden_BCHW).float(), self.boxes(hidden_BCHW).float()]
        return tuple(raw)

    def proposals(self, raw: Sequence[Tensor], size_px: tuple[int, int], num: int, candidates: int) -> Tensor:
        """See `ProposalNetwork`."""
        logit_BN, delta_BN4, anchors = self._flat([each.detach() for each in raw])
        boxes_BN4 = boxes_from(delta_BN4, torch.cat(anchors), _SPREAD)
        return strongest_of_each(boxes_BN4, logit_BN.sigmoid(), [len(each) for each in anchors], size_px, num, candidates, _MAX_IOU)

    def loss(self, raw: Sequence[Tensor], truths: Sequence[BoxTruth]) -> Tensor:
        """See the module."""
        logit_BN, delta_BN4, anchors = self._flat(raw)
        anchors_N4, total, num_drawn = torch.cat(anchors), logit_BN.sum() * 0, 0
        for item, truth in enumerate(truths):
            assigned = by_overlap(anchors_N4, truth.boxes_M4, truth.ignored_K4, _MIN_IOU, _LEAST_IOU, _BACKGROUND_IOU)
            positive, negative = drawn(assigned, _SAMPLES, _TARGET_SHARE)
            chosen = torch.cat([positive, negative])
            wanted_n = (assigned.box_N[chosen] >= 0).float()
            total = total + functional.binary_cross_entropy_with_logits(logit_BN[item, chosen], wanted_n, reduction="sum")
            boxes_p4 = truth.boxes_M4[assigned.box_N[positive]]
            wanted_p4 = deltas_to(boxes_p4, anchors_N4[positive], _SPREAD)
            total = total + (delta_BN4[item, positive] - wanted_p4).abs().sum()
            num_drawn += len(chosen)
        return total / max(num_drawn, 1)

    def _flat(self, raw: Sequence[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Logits `(B, N)`, differences `(B, N, 4)` and the anchors of each level."""
        anchors = [
            grid_anchors(each.shape[2], each.shape[3], stride, sides_of(ANCHOR_STRIDES * stride, RATIOS), each.device)
            for each, stride in zip(raw[0::2], self.strides, strict=True)
        ]
        logit_BN = torch.cat([each.permute(0, 2, 3, 1).flatten(1) for each in raw[0::2]], 1)
        delta_BN4 = torch.cat([each.permute(0, 2, 3, 1).reshape(len(each), -1, 4) for each in raw[1::2]], 1)
        return logit_BN, delta_BN4, anchors
