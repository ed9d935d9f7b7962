"""RetinaNet: nine anchors a cell of five levels, a class and a box of each, and a loss that rare targets survive.

Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, arXiv:1708.02002; L1 of the boxes as in mmdetection, whose
sizes papers quote. Frames are enlarged as in `models.detection.two_stage`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.detection.anchors import Spread, boxes_from, deltas_to, grid_anchors, sides_of
from models.detection.assignment import by_overlap
from models.detection.base import BoxTruth, DetectionModel
from models.detection.two_stage import ENLARGE
from models.interface import InputSpec, MetadataBatch
from models.layers.blocks import biased
from models.layers.resnet import ResNet
from models.losses import focal_loss
from models.thresholds import DetectionPostprocess
from models.zoo import register_model

STRIDES = (8, 16, 32, 64, 128)
CHANNELS = 256
RATIOS = (0.5, 1.0, 2.0)
_OCTAVES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
_ANCHOR_STRIDES = 4
_NUM_ANCHORS = len(RATIOS) * len(_OCTAVES)
_SPREAD: Spread = (1.0, 1.0, 1.0, 1.0)
_MIN_IOU, _BACKGROUND_IOU, _LEAST_IOU = 0.5, 0.4, 0.0
_PRIOR_LOGIT = -4.6


class _Pyramid(nn.Module):
    """Levels of the three coarser maps, and two coarser ones of the last."""

    def __init__(self, inputs: Sequence[int]) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(channels, CHANNELS, 1) for channels in inputs)
        self.smoothings = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in inputs)
        self.coarser = nn.ModuleList((nn.Conv2d(inputs[-1], CHANNELS, 3, 2, 1), nn.Conv2d(CHANNELS, CHANNELS, 3, 2, 1)))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                biased(module, 0.0)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        sums: list[Tensor] = []
        for lateral, map_BCHW in zip(reversed(self.laterals), reversed(maps), strict=True):
            own_BCHW = lateral(map_BCHW)
            sums.append(own_BCHW + functional.interpolate(sums[-1], size=own_BCHW.shape[-2:]) if sums else own_BCHW)
        levels = [smoothing(each) for smoothing, each in zip(self.smoothings, reversed(sums), strict=True)]
        sixth = self.coarser[0](maps[-1])
        return [*levels, sixth, self.coarser[1](functional.relu(sixth))]


def _tower() -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(4):
        conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        nn.init.normal_(conv.weight, std=0.01)
        layers += [biased(conv, 0.0), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


@register_model("retinanet_r50")
class RetinaNet(DetectionModel):
    """Raw output: a logit and four differences for each of nine anchors, `(B, 45, H, W)`, level by level.

    Attributes:
        depth: layers of the backbone.
    """

    paper = "Lin et al., RetinaNet: Focal Loss for Dense Object Detection, ICCV 2017, arXiv:1708.02002"
    depth: int = 50
    input_spec = InputSpec(size_multiple_px=32 // ENLARGE)
    head_names = ("class_tower", "box_tower", "classes", "boxes")

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        self.settings = DetectionPostprocess(nms_iou=0.5)
        self.backbone = ResNet(self.depth)
        self.pyramid = _Pyramid(self.backbone.channels[1:])
        self.class_tower, self.box_tower = _tower(), _tower()
        self.classes = biased(nn.Conv2d(CHANNELS, _NUM_ANCHORS, 3, padding=1), _PRIOR_LOGIT)
        self.boxes = biased(nn.Conv2d(CHANNELS, 4 * _NUM_ANCHORS, 3, padding=1), 0.0)
        for layer in (self.classes, self.boxes):
            nn.init.normal_(layer.weight, std=0.01)

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> tuple[Tensor, ...]:
        """`(B, 1, H, W)` normalised pixels to one raw map a level; metadata is not used."""
        large = functional.interpolate(pixels_BCHW, scale_factor=float(ENLARGE), mode="bilinear", align_corners=False)
        maps = self.pyramid(self.backbone(large)[1:])
        return tuple(torch.cat([self.classes(self.class_tower(each)), self.boxes(self.box_tower(each))], 1).float() for each in maps)

    def scored_boxes(self, raw: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Scores `(B, N)` and boxes `(B, N, 4)` of all anchors of all levels."""
        logit_BN, delta_BN4, anchors_N4 = _flat(raw)
        return logit_BN.sigmoid(), boxes_from(delta_BN4, anchors_N4, _SPREAD) / ENLARGE

    def training_loss(self, raw: Tensor | tuple[Tensor, ...], truths: Sequence[BoxTruth]) -> Tensor:
        """Focal loss of all anchors whose truth is known, L1 of those with a box, averaged over these."""
        logit_BN, delta_BN4, anchors_N4 = _flat(raw)
        total, num = logit_BN.sum() * 0, 0
        for item, truth in enumerate(truths):
            boxes_M4 = truth.boxes_M4 * ENLARGE
            assigned = by_overlap(anchors_N4, boxes_M4, truth.ignored_K4 * ENLARGE, _MIN_IOU, _LEAST_IOU, _BACKGROUND_IOU)
            positive = torch.nonzero(assigned.box_N >= 0)[:, 0]
            total = total + focal_loss(logit_BN[item], (assigned.box_N >= 0).float(), assigned.known_N.float())
            wanted_p4 = deltas_to(boxes_M4[assigned.box_N[positive]], anchors_N4[positive], _SPREAD)
            total = total + (delta_BN4[item, positive] - wanted_p4).abs().sum()
            num += len(positive)
        return total / max(num, 1)


def _flat(raw: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits `(B, N)`, differences `(B, N, 4)` and anchors `(N, 4)` of all levels."""
    levels = [raw] if isinstance(raw, Tensor) else list(raw)
    logits, deltas, anchors = [], [], []
    for level_BAHW, stride in zip(levels, STRIDES, strict=True):
        rows_BHWA = level_BAHW.float().permute(0, 2, 3, 1)
        logits.append(rows_BHWA[..., :_NUM_ANCHORS].flatten(1))
        deltas.append(rows_BHWA[..., _NUM_ANCHORS:].reshape(len(level_BAHW), -1, 4))
        sides = [side for octave in _OCTAVES for side in sides_of(_ANCHOR_STRIDES * stride * octave, RATIOS)]
        anchors.append(grid_anchors(rows_BHWA.shape[1], rows_BHWA.shape[2], stride, sides, level_BAHW.device))
    return torch.cat(logits, 1), torch.cat(deltas, 1), torch.cat(anchors)


@register_model("retinanet_r18")
class RetinaNet18(RetinaNet):
    """With 18 layers."""

    depth = 18
