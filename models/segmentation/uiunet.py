"""UIU-Net: a U-Net whose every stage is a U-Net, with interactive cross attention between levels.

Source: Wu, Hong, Chanussot 2022, "UIU-Net: U-Net in U-Net for Infrared Small Object Detection", arXiv:2212.00968; the inner U-Nets
are the residual U-blocks of Qin et al. 2020 (U2-Net), arXiv:2005.09007, fig. 2. 50,540,309 parameters; a test counts them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.interface import InputSpec, MetadataBatch
from models.layers.attention import SpatialGate
from models.layers.blocks import ConvNormAct, averaging, biased
from models.segmentation.base import HEAD_BIAS, SegmentationModel
from models.zoo import register_model

_REDUCTION = 4
_DILATIONS = (1, 2, 4, 8)
# (inputs, inner width, outputs, inner levels; 0 levels: dilations in place of pooling)
_ENCODER = ((1, 32, 64, 7), (64, 32, 128, 6), (128, 64, 256, 5), (256, 128, 512, 4), (512, 256, 512, 0), (512, 256, 512, 0))
_DECODER = ((128, 16, 64, 7), (256, 32, 64, 6), (512, 64, 128, 5), (1024, 128, 256, 4), (1024, 256, 512, 0))


def _like(x_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
    return functional.interpolate(x_BCHW, other_BCHW.shape[-2:], mode="bilinear", align_corners=False)


def _halved(x_BCHW: Tensor) -> Tensor:
    return functional.max_pool2d(x_BCHW, 2, ceil_mode=True)


class ResidualUBlock(nn.Module):
    """A small U-Net around a shortcut (U2-Net, RSU-L; with 0 levels RSU-4F, which dilates instead of pooling)."""

    def __init__(self, inputs: int, inner: int, outputs: int, levels: int) -> None:
        """Build `levels` levels of `inner` channels."""
        super().__init__()
        self.pooled = levels > 0
        dilations = [1] * (levels - 1) + [2] if self.pooled else list(_DILATIONS)
        self.first = _conv(inputs, outputs, 1)
        widths = [outputs, *[inner] * len(dilations)]
        self.down = nn.ModuleList([_conv(widths[index], inner, dilation) for index, dilation in enumerate(dilations)])
        ups = [_conv(2 * inner, outputs if index == 0 else inner, dilation) for index, dilation in enumerate(dilations[:-1])]
        self.up = nn.ModuleList(ups)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """`(B, inputs, H, W)` to `(B, outputs, H, W)`."""
        entry: Tensor = self.first(x_BCHW)
        x, skips = entry, []
        last = len(self.down) - 1
        for index, down in enumerate(self.down):
            # The deepest layer widens its view by dilation and keeps the size.
            x = down(_halved(x) if self.pooled and 0 < index < last else x)
            skips.append(x)
        x = skips.pop()
        for up in reversed(self.up):
            skip = skips.pop()
            x = up(torch.cat([x if x.shape == skip.shape else _like(x, skip), skip], 1))
        return x + entry  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


class InteractiveCrossAttention(nn.Module):
    """A deep and a shallow map gate each other and stay two maps (paper section III-C)."""

    def __init__(self, channels: int) -> None:
        """Build for two maps of the same width."""
        super().__init__()
        narrow = channels // _REDUCTION
        self.high = _conv(channels, channels, 1, kernel=1)
        self.channel_gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            ConvNormAct(channels, narrow, kernel=1, bias=True),
            ConvNormAct(narrow, channels, kernel=1, bias=True, act=False),
            nn.Sigmoid(),
        )
        self.pixel_gate = nn.Sequential(ConvNormAct(channels, narrow, kernel=1, bias=True), SpatialGate(3))
        self.post = _conv(channels, channels, 1)

    def forward(self, deep_BCHW: Tensor, shallow_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Two `(B, C, H, W)` maps to two."""
        high = self.high(deep_BCHW)
        gated = shallow_BCHW * self.channel_gate(high)
        return self.post(2 * gated), self.post(2 * high * self.pixel_gate(gated))


def _conv(inputs: int, outputs: int, dilation: int, kernel: int = 3) -> ConvNormAct:
    return ConvNormAct(inputs, outputs, kernel=kernel, dilation=dilation, bias=True)


@register_model("uiunet")
class UiuNet(SegmentationModel):
    """Six encoder and five decoder stages; seven heads, of which the fused one answers and all learn."""

    paper = "Wu et al., UIU-Net: U-Net in U-Net for Infrared Small Object Detection, TIP 2022, arXiv:2212.00968"
    input_spec = InputSpec(size_multiple_px=32)
    head_names = ("sides", "fuse")

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        self.encoder = _stages(_ENCODER)
        self.decoder = _stages(_DECODER)
        self.cross = nn.ModuleList([InteractiveCrossAttention(channels) for channels in (128, 256, 512, 512)])
        widths = [stage[2] for stage in (*_DECODER, _ENCODER[-1])]
        self.sides = nn.ModuleList([biased(nn.Conv2d(width, 1, 3, padding=1), HEAD_BIAS) for width in widths])
        self.fuse = averaging(nn.Conv2d(len(widths), 1, 1))

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor | tuple[Tensor, ...]:
        """`(B, 1, H, W)` normalised pixels to `(B, 1, H, W)` logits, in training followed by those of the six sides."""
        x, skips = pixels_BCHW, []
        for index, stage in enumerate(self.encoder):
            x = stage(x if index == 0 else _halved(x))
            skips.append(x)
        decoded = [skips.pop()]
        for level in reversed(range(len(self.decoder))):
            shallow = skips.pop()
            deep = _like(decoded[-1], shallow)
            if level > 0:
                # The second map returned is the deep one: the decoder reads deep, then shallow.
                shallow, deep = self.cross[level - 1](deep, shallow)
            decoded.append(self.decoder[level](torch.cat([deep, shallow], 1)))
        sides = [head(x) for head, x in zip(self.sides, reversed(decoded), strict=True)]
        full = [sides[0], *(_like(side, sides[0]) for side in sides[1:])]
        logits: Tensor = self.fuse(torch.cat(full, 1))
        return (logits, *full) if self.training else logits


def _stages(plans: Sequence[tuple[int, int, int, int]]) -> nn.ModuleList:
    return nn.ModuleList([ResidualUBlock(*plan) for plan in plans])
