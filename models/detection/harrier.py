"""Harrier: our own detector for targets of 2 to about 200 pixels, light enough for two CPU cores.

What it is made of, and why:

- its encoder is the segmenter's (`models.segmentation.kestrel`): blocks of 2x2 pixels become channels, every 3x3 convolution learns as
  three branches and runs as one, stages look farther by dilation, deep and shallow maps are added;
- few channels where maps are large, many where they are small: a convolution at stride 32 has parameters for next to no time;
- heads at strides 4, 8 and 16, each as wide as the map it reads; their last layer is 1x1;
- one score a location, the overlap its box will have (`models.detection.harrier_loss`): what ranks boxes is how good they are;
- classes beside it, learnt where the labels have them;
- platform, band and size of the frame shift the deepest map, through layer norms: one frame at a time gives what a batch gives, and a
  frame of which nothing is known is learnt like any other.

Ours; the parts are space to depth (arXiv:1609.05158), RepVGG (arXiv:2101.03697), a feature pyramid (arXiv:1612.03144), quality focal loss
(arXiv:2006.04388) and optimal-transport assignment (arXiv:2107.08430).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from contracts.result import CLASS_NAMES
from models.detection.base import BoxTruth, DetectionModel
from models.detection.fcos_boxes import STRIDES, decode_boxes, locations_of
from models.detection.harrier_loss import harrier_loss
from models.detection.light_metadata import LightMetadata
from models.interface import InputSpec, MetadataBatch
from models.layers.blocks import ConvNormAct, biased
from models.layers.reparam import RepConv
from models.zoo import register_model

_BLOCK_PX = 2
_HALF = 16
_WIDTHS = (40, 64, 112, 160)
"""Channels at strides 4, 8, 16 and 32."""
_DILATIONS = ((1,), (1, 2), (1, 2), (1,))
_PRIOR_LOGIT = -4.6


class _Up(nn.Module):
    """Narrow the deep map, enlarge it, add the shallow one, and mix."""

    def __init__(self, deep: int, shallow: int) -> None:
        super().__init__()
        self.narrow = ConvNormAct(deep, shallow, kernel=1, act=False)
        self.mix = RepConv(shallow, shallow)

    def forward(self, deep_BCHW: Tensor, shallow_BCHW: Tensor) -> Tensor:
        up_BCHW = functional.interpolate(self.narrow(deep_BCHW), size=shallow_BCHW.shape[-2:])
        return self.mix(up_BCHW + shallow_BCHW)  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


class _Head(nn.Module):
    """Score, dx, dy, log w, log h and class logits of each location of one level."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.tower = RepConv(inputs, width)
        self.score = biased(nn.Conv2d(width, 1, 1), _PRIOR_LOGIT)
        self.rest = biased(nn.Conv2d(width, 4 + len(CLASS_NAMES), 1), 0.0)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        tower_BCHW = self.tower(x_BCHW)
        return torch.cat([self.score(tower_BCHW), self.rest(tower_BCHW)], 1)


@register_model("harrier")
class Harrier(DetectionModel):
    """Raw output: one map a level, `(B, 13, H / stride, W / stride)`: score logit, dx, dy, log w, log h, eight class logits."""

    paper = "ours: kestrel's encoder, heads at three strides, scores that are overlaps (docs/networks.md)"
    input_spec = InputSpec(size_multiple_px=32)
    class_names = CLASS_NAMES
    takes_loose = True

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        widths = (_HALF, *_WIDTHS)
        self.entry = RepConv(_BLOCK_PX**2, _HALF)
        self.stages = nn.ModuleList(
            nn.Sequential(RepConv(widths[level], width, stride=2), *(RepConv(width, width, dilation=each) for each in _DILATIONS[level]))
            for level, width in enumerate(_WIDTHS)
        )
        self.known = LightMetadata(_WIDTHS[-1])
        self.ups = nn.ModuleList(_Up(deep, shallow) for shallow, deep in pairwise(_WIDTHS))
        self.heads = nn.ModuleList(_Head(width, min(width, _WIDTHS[1])) for width in _WIDTHS[:-1])

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> tuple[Tensor, ...]:
        """`(B, 1, H, W)` normalised pixels and what is known of their frames to one raw map a level."""
        x = self.entry(functional.pixel_unshuffle(pixels_BCHW, _BLOCK_PX))
        maps: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        x = self.known(maps.pop(), metadata)
        answers: list[Tensor] = []
        for up, head, shallow in zip(reversed(self.ups), reversed(self.heads), reversed(maps), strict=True):
            x = up(x, shallow)
            answers.append(head(x))
        return tuple(reversed(answers))

    def scored_boxes(self, raw: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Scores `(B, N)` and boxes `(B, N, 4)` of all locations of all levels."""
        levels = [raw] if isinstance(raw, Tensor) else list(raw)
        scores, boxes = [], []
        for index, level in enumerate(levels):
            flat_BNC = level.float().flatten(2).transpose(1, 2)
            scores.append(flat_BNC[..., 0].sigmoid())
            places_N2 = locations_of(level.shape[2], level.shape[3], STRIDES[index], level.device)
            boxes.append(decode_boxes(flat_BNC[..., 1:5], places_N2, index))
        return torch.cat(scores, 1), torch.cat(boxes, 1)

    def training_loss(self, raw: Tensor | tuple[Tensor, ...], truths: Sequence[BoxTruth]) -> Tensor:
        """See `models.detection.harrier_loss`."""
        return harrier_loss([raw] if isinstance(raw, Tensor) else raw, truths)
