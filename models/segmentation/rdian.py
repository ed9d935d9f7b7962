"""RDIAN: four receptive fields side by side, and an attention from differences in eight directions.

Source: Sun et al. 2023, "Receptive-Field and Direction Induced Attention Network for Infrared Dim Small Target Detection With a
Large-Scale Dataset IRDST", IEEE TGRS 61. 216,758 parameters, of which 200 are the fixed kernels; a test counts them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.interface import InputSpec, MetadataBatch
from models.layers.attention import ChannelAttention, SpatialAttention
from models.layers.blocks import ConvNormAct, biased
from models.segmentation.base import HEAD_BIAS, SegmentationModel
from models.zoo import register_model

_SLOPE = 0.01
_REACH_PX = 2
# (row, column) of four neighbours; the other four lie opposite.
_DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, 1))


class DirectionAttention(nn.Module):
    """Directional contrast: large where a pixel stands out against both neighbours of a direction (summed products of differences)."""

    def __init__(self) -> None:
        """Build the fixed kernels: the middle minus the pixel two steps away, for eight directions."""
        super().__init__()
        side = 2 * _REACH_PX + 1
        self.differences = nn.Conv2d(1, 2 * len(_DIRECTIONS), side, padding=_REACH_PX, bias=False)
        kernels = torch.zeros(2 * len(_DIRECTIONS), 1, side, side)
        kernels[:, 0, _REACH_PX, _REACH_PX] = 1
        for index, (row, column) in enumerate((*_DIRECTIONS, *((-row, -column) for row, column in _DIRECTIONS))):
            kernels[index, 0, _REACH_PX * (1 + row), _REACH_PX * (1 + column)] = -1
        self.differences.weight = nn.Parameter(kernels, requires_grad=False)

    def forward(self, pixels_B1HW: Tensor) -> Tensor:
        """Gates `(B, 1, H, W)`."""
        one_BDHW, other_BDHW = self.differences(pixels_B1HW).chunk(2, 1)
        return (one_BDHW * other_BDHW).sum(1, keepdim=True).sigmoid()  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNormAct(channels, channels // 2, kernel=kernel, slope=_SLOPE),
            ConvNormAct(channels // 2, channels, kernel=kernel, slope=_SLOPE),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.body(x_BCHW)  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


@register_model("rdian")
class Rdian(SegmentationModel):
    """Full size, half size with kernels 1, 3, 5 and 7 in parallel, attention, and back."""

    paper = "Sun et al., Receptive-Field and Direction Induced Attention Network, TGRS 2023"
    input_spec = InputSpec(size_multiple_px=16)

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        self.directions = DirectionAttention()
        self.at_full = ConvNormAct(1, 16, slope=_SLOPE)
        self.at_half = ConvNormAct(16, 32, stride=2, slope=_SLOPE)
        self.fields = nn.ModuleList(
            [nn.Sequential(*(_Bottleneck(32, kernel) for _ in range(num))) for kernel, num in ((1, 1), (3, 2), (5, 2), (7, 2))]
        )
        self.join = nn.Sequential(ConvNormAct(4 * 32, 32, slope=_SLOPE), ChannelAttention(32, 32, bias=True), SpatialAttention(norm=True))
        self.skip = ConvNormAct(16, 32, kernel=1, slope=_SLOPE)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Sequential(ConvNormAct(32, 8), nn.Dropout(0.1), biased(nn.Conv2d(8, 1, 1), HEAD_BIAS))

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        """`(B, 1, H, W)` normalised pixels to `(B, 1, H, W)` logits; metadata is not used."""
        full = self.at_full(pixels_BCHW)
        half = self.at_half(full + full * self.directions(pixels_BCHW))
        deep = self.join(torch.cat([field(half) for field in self.fields], 1))
        up = functional.interpolate(deep, pixels_BCHW.shape[-2:], mode="bilinear", align_corners=False)
        return self.head(self.act(up + self.skip(full)))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any
