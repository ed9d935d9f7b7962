"""The second half of a two-stage detector: a class and a better box for each proposal.

Source: Lin et al., "Feature Pyramid Networks", CVPR 2017, arXiv:1612.03144, section 4.2 (two hidden layers of 1024 on 7 x 7 cells).
Loss: cross-entropy of target or none, and smooth L1 of the boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.detection.anchors import Spread, boxes_from, deltas_to
from models.detection.assignment import by_overlap, drawn
from models.detection.base import BoxTruth
from models.layers.region_ops import crops_of, require_operators

SIDE = 7
_HIDDEN = 1024
_FINEST_PX = 56.0
"""Boxes of less than twice this side are of the finest level, of less than four times it of the next one."""
_SAMPLES, _TARGET_SHARE = 256, 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class RoiRules:
    """Rules of learning.

    Attributes:
        min_iou: overlap from which a proposal has a box to learn.
        spread: usual differences between proposal and box.
        class_weight: of the cross-entropy; that of the boxes is 1.
    """

    min_iou: float = 0.5
    spread: Spread = (0.1, 0.1, 0.2, 0.2)
    class_weight: float = 1.0


class RoiHead(nn.Module):
    """One class of targets."""

    def __init__(self, channels: int, strides: Sequence[int], rules: RoiRules) -> None:
        """Build; `strides` are pixels of the backbone's input a cell of each map that is looked at, finest first."""
        super().__init__()
        require_operators()
        self.strides, self.rules = tuple(strides), rules
        self.shared = nn.Sequential(
            nn.Linear(channels * SIDE * SIDE, _HIDDEN), nn.ReLU(inplace=True), nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU(inplace=True)
        )
        self.classes = nn.Linear(_HIDDEN, 2)
        self.boxes = nn.Linear(_HIDDEN, 4)
        for layer, std in ((self.classes, 0.01), (self.boxes, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, maps: Sequence[Tensor], proposals_BK4: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `(B, K)` of a target against none, and boxes `(B, K, 4)` pixels, of proposals."""
        logits_BK2, deltas_BK4 = self._answers(maps, proposals_BK4)
        return logits_BK2[..., 0] - logits_BK2[..., 1], boxes_from(deltas_BK4, proposals_BK4, self.rules.spread)

    def _answers(self, maps: Sequence[Tensor], proposals_BK4: Tensor) -> tuple[Tensor, Tensor]:
        hidden_BKH = self.shared(self._seen(maps, proposals_BK4).flatten(2))
        return self.classes(hidden_BKH).float(), self.boxes(hidden_BKH).float()

    def _seen(self, maps: Sequence[Tensor], boxes_BK4: Tensor) -> Tensor:
        """Cells in each box on the level of its size, `(B, K, C, 7, 7)`; all levels are looked at, so that shapes are known before."""
        area_BK = (boxes_BK4[..., 2:] - boxes_BK4[..., :2]).clamp(min=0).prod(2)
        level_BK = (area_BK.sqrt() / _FINEST_PX).clamp(min=1.0).log2().floor().clamp(max=len(self.strides) - 1)
        seen = crops_of(maps[0], boxes_BK4, self.strides[0], SIDE)
        for level in range(1, len(self.strides)):
            own_BK111 = (level_BK == level)[..., None, None, None]
            seen = torch.where(own_BK111, crops_of(maps[level], boxes_BK4, self.strides[level], SIDE), seen)
        return seen

    def loss(self, maps: Sequence[Tensor], proposals_BK4: Tensor, truths: Sequence[BoxTruth]) -> Tensor:
        """See the module; the true boxes are proposals, too.

        Args:
            maps: of the neck, float32.
            proposals_BK4: without gradient.
            truths: one for each of the B images, pixels of the backbone's input.
        """
        total, num_drawn = maps[0].sum() * 0, 0
        for item, truth in enumerate(truths):
            candidates_N4 = torch.cat([truth.boxes_M4, proposals_BK4[item]])
            assigned = by_overlap(candidates_N4, truth.boxes_M4, truth.ignored_K4, self.rules.min_iou)
            positive, negative = drawn(assigned, _SAMPLES, _TARGET_SHARE)
            chosen_n4 = candidates_N4[torch.cat([positive, negative])]
            logits_1n2, deltas_1n4 = self._answers([each[item : item + 1] for each in maps], chosen_n4[None])
            is_none_n = (torch.arange(len(chosen_n4), device=chosen_n4.device) >= len(positive)).long()
            total = total + self.rules.class_weight * functional.cross_entropy(logits_1n2[0], is_none_n, reduction="sum")
            boxes_p4 = truth.boxes_M4[assigned.box_N[positive]]
            wanted_p4 = deltas_to(boxes_p4, chosen_n4[: len(positive)], self.rules.spread)
            total = total + functional.smooth_l1_loss(deltas_1n4[0, : len(positive)], wanted_p4, reduction="sum")
            num_drawn += len(chosen_n4)
        return total / max(num_drawn, 1)
