"""A light one-class FCOS: a slim truncated ResNet, a three-level feature pyramid, one head for all levels.

Source: Tian, Shen, Chen, He, "FCOS: Fully Convolutional One-Stage Object Detection", ICCV 2019, arXiv:1904.01355;
backbone and pyramid are torchvision's parts (`BasicBlock`, `FeaturePyramidNetwork`). What differs, because targets
here measure 2 to about 120 pixels:

* levels at strides 4, 8 and 16 instead of 8 to 128;
* a location predicts the offset of the box's centre and the logarithm of its size instead of four distances: a target
  smaller than a stride need not contain any location, and distances could then not be positive;
* centre-ness is measured on the box grown to at least four strides, for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock
from torchvision.ops import FeaturePyramidNetwork, batched_nms

from contracts.outputs import Detections
from models.interface import InputSpec, MetadataBatch, Model, Task
from models.layers.blocks import ConvNormAct, biased
from models.zoo import register_model

STRIDES = (4, 8, 16)
WIDTHS = (24, 48, 96)
PYRAMID_WIDTH = 48
PRIOR_LOGIT = -4.6
# Sizes are predicted relative to these, so that the logarithms start near 0.
BASE_SIZE_PX = (8.0, 28.0, 80.0)
_MAX_LOG_SIZE = 4.0


class DetectionPostprocess(BaseModel):
    """Thresholds that turn raw maps into boxes; the score threshold is chosen on validation images and kept in the card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score_threshold: float = Field(default=0.3, gt=0, lt=1)
    nms_iou: float = Field(default=0.3, gt=0, lt=1)
    max_per_frame: int = Field(default=100, ge=1)


class _Backbone(nn.Module):
    """Stem to stride 4, then one stage each at strides 4, 8 and 16 with two basic blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNormAct(1, 16, stride=2), ConvNormAct(16, WIDTHS[0], stride=2))
        self.stages = nn.ModuleList([_stage(WIDTHS[0], WIDTHS[0], 1), _stage(WIDTHS[0], WIDTHS[1], 2), _stage(WIDTHS[1], WIDTHS[2], 2)])

    def forward(self, pixels_BCHW: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        x = self.stem(pixels_BCHW)
        for stride, stage in zip(STRIDES, self.stages, strict=True):
            x = stage(x)
            maps[str(stride)] = x
        return maps


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    shortcut = None if stride == 1 and inputs == outputs else ConvNormAct(inputs, outputs, kernel=1, stride=stride, act=False)
    return nn.Sequential(BasicBlock(inputs, outputs, stride, shortcut), BasicBlock(outputs, outputs))


@register_model("fcos_light")
class LightFcos(Model[Detections]):
    """Raw output: one map a level, `(B, 6, H / stride, W / stride)`: class logit, centre-ness logit, dx, dy, log w, log h."""

    paper = "Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, ICCV 2019, arXiv:1904.01355 (light, one class)"
    task = Task.DETECTION
    input_spec = InputSpec(size_multiple_px=16)

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        self.settings = DetectionPostprocess()
        self.input_norm = nn.BatchNorm2d(1)
        self.backbone = _Backbone()
        self.pyramid = FeaturePyramidNetwork(list(WIDTHS), PYRAMID_WIDTH, norm_layer=nn.BatchNorm2d)
        self.tower = nn.Sequential(ConvNormAct(PYRAMID_WIDTH, PYRAMID_WIDTH), ConvNormAct(PYRAMID_WIDTH, PYRAMID_WIDTH))
        self.objectness = biased(nn.Conv2d(PYRAMID_WIDTH, 1, 3, padding=1), PRIOR_LOGIT)
        self.geometry = biased(nn.Conv2d(PYRAMID_WIDTH, 5, 3, padding=1), 0.0)

    def configure(self, postprocess: Mapping[str, float]) -> None:
        """Take thresholds from a card."""
        self.settings = DetectionPostprocess.model_validate(dict(postprocess))

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> tuple[Tensor, ...]:
        """`(B, 1, H, W)` normalised pixels to one raw map a level; platform, band and size are not used yet."""
        maps = self.pyramid(self.backbone(self.input_norm(pixels_BCHW)))
        towers = [self.tower(maps[str(stride)]) for stride in STRIDES]
        return tuple(torch.cat([self.objectness(tower), self.geometry(tower)], 1) for tower in towers)

    def postprocess(self, raw: Tensor | tuple[Tensor, ...], sizes_px: Sequence[tuple[int, int]]) -> list[Detections]:
        """Decode, drop weak and doubled boxes, cut at the border of each item."""
        levels = [raw] if isinstance(raw, Tensor) else list(raw)
        scores, boxes = zip(*(decode_level(level.float(), index) for index, level in enumerate(levels)), strict=True)
        scores_BN, boxes_BN4 = torch.cat(scores, 1), torch.cat(boxes, 1)
        return [self._one(scores_BN[item], boxes_BN4[item], size_px) for item, size_px in enumerate(sizes_px)]

    def _one(self, scores_N: Tensor, boxes_N4: Tensor, size_px: tuple[int, int]) -> Detections:
        height_px, width_px = size_px
        centres_N2 = (boxes_N4[:, :2] + boxes_N4[:, 2:]) / 2
        inside_N = (centres_N2[:, 0] < width_px) & (centres_N2[:, 1] < height_px) & (centres_N2 >= 0).all(1)
        chosen = torch.nonzero(inside_N & (scores_N > self.settings.score_threshold))[:, 0]
        # NMS is quadratic: a thousand candidates are ten times what a frame may report.
        chosen = chosen[scores_N[chosen].argsort(descending=True, stable=True)][: 10 * self.settings.max_per_frame]
        limits = boxes_N4.new_tensor([width_px, height_px, width_px, height_px])
        boxes_n4 = torch.minimum(boxes_N4[chosen].clamp(min=0), limits)
        kept = batched_nms(boxes_n4, scores_N[chosen], torch.zeros_like(chosen), self.settings.nms_iou)[: self.settings.max_per_frame]
        return Detections(boxes_n4[kept].cpu().numpy(), scores_N[chosen][kept].cpu().numpy())


def locations_of(height: int, width: int, stride: int, device: torch.device | None = None) -> Tensor:
    """Centres of the cells of one level, `(H * W, 2)` x, y in pixel-edge coordinates, row by row."""
    rows = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) * stride
    columns = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) * stride
    y_HW, x_HW = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x_HW, y_HW], -1).reshape(-1, 2)


def decode_boxes(geometry_N4: Tensor, locations_N2: Tensor, level: int) -> Tensor:
    """dx, dy (in strides) and log w, log h (relative to the level's base size) to corner boxes `(..., N, 4)` in pixels."""
    centres = locations_N2 + geometry_N4[..., :2] * STRIDES[level]
    halves = geometry_N4[..., 2:].clamp(-_MAX_LOG_SIZE, _MAX_LOG_SIZE).exp() * (BASE_SIZE_PX[level] / 2)
    return torch.cat([centres - halves, centres + halves], -1)


def decode_level(raw_B6HW: Tensor, level: int) -> tuple[Tensor, Tensor]:
    """One raw map to scores `(B, N)` and boxes `(B, N, 4)`; the score is sqrt(class * centre-ness)."""
    height, width = raw_B6HW.shape[-2:]
    flat_BN6 = raw_B6HW.flatten(2).transpose(1, 2)
    scores_BN = (flat_BN6[..., 0].sigmoid() * flat_BN6[..., 1].sigmoid()).sqrt()
    return scores_BN, decode_boxes(flat_BN6[..., 2:], locations_of(height, width, STRIDES[level], raw_B6HW.device), level)
