"""Merlin: a light segmenter for cameras it never saw.

What it is made of, and why:

- it does not know what camera a frame is from: what reads the texture of a whole frame reads the phase of its JPEG blocks, and a
  camera of one's own has another;
- a thin path at full size, in and out: a few channels that see every pixel before all else, and that draw the answer at the end;
- maps are halved by 2 x 2 convolutions behind 3 x 3 ones. Three by three with a stride of two sits on every second pixel: not in the
  middle of what it sums up, and so half a pixel beside where the map is laid when it is enlarged, another way after each flip;
- every size looks farther than the one before by dilation, a dilation of 4 at an eighth of the size sees 32 pixels far; the maps at
  full size have eight channels, one vector of AVX2, and the last answer is one point convolution of them;
- every 3 x 3 convolution carries its own shortcut (`models.layers.dirac`): residual without a map to read and add;
- deep and shallow maps are concatenated, and the first convolution behind sees both;
- four heads in training, at full size and at 1/2, 1/4 and 1/8 (max-pooled truth): the deepest maps get a loss of their own.

Ours; the parts are residual kernels (arXiv:1706.00388), dilation (arXiv:1511.07122), deep supervision (arXiv:1409.5185) and skips
(arXiv:1505.04597).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.interface import InputSpec, MetadataBatch
from models.layers.blocks import ConvNormAct, biased
from models.layers.dirac import DiracConv
from models.segmentation.base import HEAD_BIAS, SegmentationModel
from models.zoo import register_model


@dataclass(frozen=True, slots=True)
class Plan:
    """Channels, and dilations of the 3 x 3 convolutions, at full size, a half, a quarter and an eighth.

    Attributes:
        widths: channels of the four sizes.
        dilations: of the convolutions on the way down, of the four sizes; the first one at full size sees the pixels.
        num_mixes: convolutions on the way up, at full size, a half and a quarter.
    """

    widths: tuple[int, int, int, int] = (8, 16, 32, 96)
    dilations: tuple[tuple[int, ...], ...] = ((1,), (1, 2), (1, 2, 4), (1, 2, 4, 1))
    num_mixes: tuple[int, int, int] = (2, 2, 1)


def _stage(width: int, dilations: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(*(DiracConv(width, width, dilation=dilation) for dilation in dilations))


class _Halve(nn.Sequential):
    """Each 2 x 2 block becomes one pixel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 2, 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class _Up(nn.Module):
    """Narrow the deep map, enlarge it, lay the shallow one beside it, and mix both."""

    def __init__(self, deep: int, shallow: int, num_mixes: int) -> None:
        super().__init__()
        self.narrow = ConvNormAct(deep, shallow, kernel=1)
        self.mix = nn.Sequential(DiracConv(2 * shallow, shallow), *_stage(shallow, (1,) * (num_mixes - 1)))

    def forward(self, deep_BCHW: Tensor, shallow_BCHW: Tensor) -> Tensor:
        up = functional.interpolate(self.narrow(deep_BCHW), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.mix(torch.cat([shallow_BCHW, up], 1))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


@register_model("merlin")
class Merlin(SegmentationModel):
    """Four sizes, 8, 16, 32 and 96 channels; four heads in training, one in use."""

    paper = "ours: residual kernels, dilation at an eighth of the size, concatenated skips, no texture (docs/networks.md)"
    input_spec = InputSpec(size_multiple_px=8)
    plan = Plan()

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        widths, dilations = self.plan.widths, self.plan.dilations
        full, half, quarter, eighth = widths
        self.at_full = nn.Sequential(DiracConv(1, full), *_stage(full, dilations[0][1:]))
        self.at_half = nn.Sequential(_Halve(full, half), *_stage(half, dilations[1]))
        self.at_quarter = nn.Sequential(_Halve(half, quarter), *_stage(quarter, dilations[2]))
        self.at_eighth = nn.Sequential(_Halve(quarter, eighth), *_stage(eighth, dilations[3]))
        pairs = zip(widths[1:], widths[:-1], self.plan.num_mixes, strict=True)
        self.ups = nn.ModuleList([_Up(deep, shallow, num) for deep, shallow, num in pairs])
        self.head = biased(nn.Conv2d(full, 1, 1), HEAD_BIAS)
        self.side_heads = nn.ModuleList([biased(nn.Conv2d(width, 1, 1), HEAD_BIAS) for width in widths[1:]])

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor | tuple[Tensor, ...]:
        """`(B, 1, H, W)` normalised pixels to `(B, 1, H, W)` logits, in training followed by those at 1/2, 1/4 and 1/8 of the size."""
        full = self.at_full(pixels_BCHW)
        half = self.at_half(full)
        quarter = self.at_quarter(half)
        deep = [self.at_eighth(quarter)]
        for up, shallow in zip(reversed(self.ups), (quarter, half, full), strict=True):
            deep.append(up(deep[-1], shallow))
        logits = self.head(deep[-1])
        if not self.training:
            return logits  # type: ignore[no-any-return]  # nn.Module.__call__ is Any
        sides = zip(self.side_heads, reversed(deep[:-1]), strict=True)
        return (logits, *(head(side) for head, side in sides))
