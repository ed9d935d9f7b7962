"""Proposals: the boxes that the second half of a two-stage detector looks at, as many for each image of a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.detection.base import BoxTruth
from models.layers.region_ops import first_of_overlapping

_MAX_IOU = 0.8


class ProposalNetwork(nn.Module, ABC):
    """First half of a two-stage detector.

    Attributes:
        num_raw: tensors that `forward` answers with for each map.
    """

    num_raw: int

    @abstractmethod
    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps of the neck to raw answers, map by map, float32."""

    @abstractmethod
    def proposals(self, raw: Sequence[Tensor], size_px: tuple[int, int], num: int, candidates: int) -> Tensor:
        """The boxes that most likely hold a target, the strongest first, `(B, K, 4)` pixels, K at most `num`; without gradient.

        Args:
            raw: what `forward` returned.
            size_px: height and width of the backbone's input; boxes are cut there.
            num: of boxes an image.
            candidates: of each level, before those are dropped that overlap a stronger one.
        """

    @abstractmethod
    def loss(self, raw: Sequence[Tensor], truths: Sequence[BoxTruth]) -> Tensor:
        """Loss of a batch, a scalar.

        Args:
            raw: what `forward` returned, float32.
            truths: one for each of the B images, pixels of the backbone's input.
        """


def strongest_of_each(
    boxes_BN4: Tensor,
    scores_BN: Tensor,
    counts: Sequence[int],
    size_px: tuple[int, int],
    num: int,
    candidates: int,
    max_iou: float = _MAX_IOU,
) -> Tensor:
    """Boxes by falling score, those that overlap a stronger one of their level last.

    Each image has the same number, whatever is in it: batches keep one shape, and no image changes the answer on another.

    Args:
        boxes_BN4: pixels, level by level.
        scores_BN: in [0, 1].
        counts: how many there are of each level; they add up to N.
        size_px: height and width; boxes are cut there.
        num: boxes an image.
        candidates: of each level that are compared with each other.
        max_iou: more is an overlap.

    Returns:
        `(B, K, 4)`, K the smaller one of `num` and the candidates.
    """
    start, chosen, groups = 0, [], []
    for level, count in enumerate(counts):
        chosen.append(scores_BN[:, start : start + count].topk(min(candidates, count), dim=1).indices + start)
        groups.append(torch.full((chosen[-1].shape[1],), level, device=scores_BN.device))
        start += count
    chosen_BK, group_K = torch.cat(chosen, 1), torch.cat(groups)
    height_px, width_px = size_px
    limits_4 = boxes_BN4.new_tensor([width_px, height_px, width_px, height_px])
    boxes_BK4 = torch.minimum(boxes_BN4.take_along_dim(chosen_BK[..., None], 1).clamp(min=0), limits_4)
    scores_BK = scores_BN.take_along_dim(chosen_BK, 1)
    first = [first_of_overlapping(boxes_K4, scores_K, group_K, max_iou) for boxes_K4, scores_K in zip(boxes_BK4, scores_BK, strict=True)]
    rank_BK = (scores_BK + 2 * torch.stack(first)).argsort(dim=1, descending=True, stable=True)[:, :num]
    return boxes_BK4.take_along_dim(rank_BK[..., None], 1)
