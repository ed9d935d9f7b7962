"""A network of each task, a few weights large, registered as a person would register one: nothing else knows them.

Each looks at the metadata of its frames, and remembers what it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.classification.base import ClassificationModel
from models.detection.base import BoxTruth, DetectionModel
from models.interface import BANDS, PLATFORMS, InputSpec, MetadataBatch
from models.losses import focal_loss
from models.segmentation.base import SegmentationModel
from models.zoo import register_model

TOYS = ("toy_segmenter", "toy_detector", "toy_classifier")
_CELL_PX = 4
_BOX_PX = 8.0


class Known(nn.Module):
    """Adds a learnt offset for platform and band; keeps the metadata of every batch."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.platform = nn.Embedding(len(PLATFORMS), channels)
        self.band = nn.Embedding(len(BANDS), channels)
        self.seen: list[MetadataBatch] = []

    def forward(self, x_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        if not metadata.size_px_B2.is_cuda:
            self.seen.append(metadata)
        offset_BC: Tensor = self.platform(metadata.platform_B) + self.band(metadata.band_B)
        return x_BCHW + offset_BC[:, :, None, None]


def _body(channels: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(1, channels, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU(), nn.Dropout(0.1))


def _require_padded(pixels_BCHW: Tensor, multiple_px: int) -> None:
    """As networks with skips between their levels, which other sizes break."""
    if any(side % multiple_px for side in pixels_BCHW.shape[2:]):
        raise RuntimeError(f"expected sides that are multiples of {multiple_px}, got {tuple(pixels_BCHW.shape)}")


@register_model("toy_segmenter")
class ToySegmenter(SegmentationModel):
    """Two convolutions."""

    paper = "none"
    input_spec = InputSpec(size_multiple_px=4)

    def __init__(self) -> None:
        super().__init__()
        self.body, self.known, self.head = _body(4), Known(4), nn.Conv2d(4, 1, 1)

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        _require_padded(pixels_BCHW, self.input_spec.size_multiple_px)
        return self.head(self.known(self.body(pixels_BCHW), metadata))  # type: ignore[no-any-return]


@register_model("toy_detector")
class ToyDetector(DetectionModel):
    """One logit for each cell of four pixels; every box is a square of eight."""

    paper = "none"
    input_spec = InputSpec(size_multiple_px=_CELL_PX)

    def __init__(self) -> None:
        super().__init__()
        self.body, self.known, self.head = _body(4, _CELL_PX), Known(4), nn.Conv2d(4, 1, 1)

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        _require_padded(pixels_BCHW, self.input_spec.size_multiple_px)
        return self.head(self.known(self.body(pixels_BCHW), metadata))  # type: ignore[no-any-return]

    def scored_boxes(self, raw: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        assert isinstance(raw, Tensor)
        centres_N2 = self._centres(raw)
        boxes_N4 = torch.cat([centres_N2 - _BOX_PX / 2, centres_N2 + _BOX_PX / 2], 1)
        return raw.float().flatten(1).sigmoid(), boxes_N4.expand(len(raw), -1, -1)

    def training_loss(self, raw: Tensor | tuple[Tensor, ...], truths: Sequence[BoxTruth]) -> Tensor:
        assert isinstance(raw, Tensor)
        inside_BN = torch.stack([self._inside(raw, truth.boxes_M4) for truth in truths])
        known_BN = 1 - torch.stack([self._inside(raw, truth.ignored_K4) for truth in truths])
        return focal_loss(raw.flatten(1), inside_BN, known_BN) / inside_BN.sum().clamp(min=1)

    def _inside(self, raw: Tensor, boxes_M4: Tensor) -> Tensor:
        centres_N12 = self._centres(raw)[:, None]
        return ((centres_N12 >= boxes_M4[:, :2]) & (centres_N12 < boxes_M4[:, 2:])).all(2).any(1).float()

    @staticmethod
    def _centres(raw: Tensor) -> Tensor:
        high, wide = raw.shape[2:]
        y_HW, x_HW = torch.meshgrid(torch.arange(high, device=raw.device), torch.arange(wide, device=raw.device), indexing="ij")
        return (torch.stack([x_HW, y_HW], -1).reshape(-1, 2) + 0.5) * _CELL_PX


@register_model("toy_classifier")
class ToyClassifier(ClassificationModel):
    """Three of the classes there are, from crops of sixteen pixels."""

    paper = "none"
    class_names: ClassVar[tuple[str, ...]] = ("car", "person", "drone")  # type: ignore[misc]
    input_spec = InputSpec(size_multiple_px=16, fixed_size_px=16)

    def __init__(self) -> None:
        super().__init__()
        self.body, self.known, self.head = _body(4, 2), Known(4), nn.Linear(4, len(self.class_names))

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        _require_padded(pixels_BCHW, self.input_spec.size_multiple_px)
        pooled_BC = functional.adaptive_avg_pool2d(self.known(self.body(pixels_BCHW), metadata), 1).flatten(1)
        return self.head(pooled_BC)  # type: ignore[no-any-return]
