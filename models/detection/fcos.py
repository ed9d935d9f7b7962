"""A light one-class FCOS: a slim truncated ResNet, a three-level feature pyramid, one head for all levels.

Source: Tian, Shen, Chen, He, "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019, arXiv:1904.01355;
the backbone is a ResNet (`ResidualBlock`), the pyramid `FeaturePyramid`. What differs, because targets here measure 2 to about 120 pixels:

* levels at strides 4, 8 and 16 instead of 8 to 128;
* a location predicts the offset of the box's centre and the logarithm of its size instead of four distances: a target
  smaller than a stride need not contain any location, and distances could then not be positive;
* centre-ness is measured on the box grown to at least four strides, for the same reason.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.detection.base import BoxTruth, DetectionModel
from models.detection.fcos_boxes import decode_level
from models.detection.fcos_loss import fcos_loss
from models.interface import MetadataBatch
from models.layers.blocks import ConvNormAct, biased, residual_stage
from models.layers.pyramid import FeaturePyramid
from models.zoo import register_model

WIDTHS = (24, 48, 96)
PYRAMID_WIDTH = 48
PRIOR_LOGIT = -4.6


class _Backbone(nn.Module):
    """Stem to stride 4, then one stage each at strides 4, 8 and 16 with two basic blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNormAct(1, 16, stride=2), ConvNormAct(16, WIDTHS[0], stride=2))
        widths = (WIDTHS[0], *WIDTHS)
        self.stages = nn.ModuleList(residual_stage(widths[level], widths[level + 1], 2, stride=2 if level else 1) for level in range(3))

    def forward(self, pixels_BCHW: Tensor) -> list[Tensor]:
        maps: list[Tensor] = []
        x = self.stem(pixels_BCHW)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


@register_model("fcos_light")
class LightFcos(DetectionModel):
    """Raw output: one map a level, `(B, 6, H / stride, W / stride)`: class logit, centre-ness logit, dx, dy, log w, log h."""

    paper = "Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, ICCV 2019, arXiv:1904.01355 (light, one class)"

    head_names = ("tower", "objectness", "geometry")

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1)
        self.backbone = _Backbone()
        self.pyramid = FeaturePyramid(WIDTHS, PYRAMID_WIDTH)
        self.tower = nn.Sequential(ConvNormAct(PYRAMID_WIDTH, PYRAMID_WIDTH), ConvNormAct(PYRAMID_WIDTH, PYRAMID_WIDTH))
        self.objectness = biased(nn.Conv2d(PYRAMID_WIDTH, 1, 3, padding=1), PRIOR_LOGIT)
        self.geometry = biased(nn.Conv2d(PYRAMID_WIDTH, 5, 3, padding=1), 0.0)

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> tuple[Tensor, ...]:
        """`(B, 1, H, W)` normalised pixels to one raw map a level; platform, band and size are not used yet."""
        maps = self.pyramid(self.backbone(self.input_norm(pixels_BCHW)))
        towers = [self.tower(each) for each in maps]
        return tuple(torch.cat([self.objectness(tower), self.geometry(tower)], 1) for tower in towers)

    def scored_boxes(self, raw: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Scores `(B, N)` and boxes `(B, N, 4)` of all locations of all levels."""
        levels = [raw] if isinstance(raw, Tensor) else list(raw)
        scores, boxes = zip(*(decode_level(level.float(), index) for index, level in enumerate(levels)), strict=True)
        return torch.cat(scores, 1), torch.cat(boxes, 1)

    def training_loss(self, raw: Tensor | tuple[Tensor, ...], truths: Sequence[BoxTruth]) -> Tensor:
        """See `models.detection.fcos_loss`."""
        return fcos_loss([raw] if isinstance(raw, Tensor) else raw, truths)
