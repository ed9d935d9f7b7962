"""Kestrel: our own segmenter for small targets, light enough for two CPU cores.

What it is made of, and why:

- pixels are not thrown away but regrouped: each 2x2 block becomes four channels of a half-size map (space to depth), and each
  answer of that map becomes four pixels again. A stride would lose the one pixel that matters; convolutions at full size would
  cost four times as much, with channels too few to keep a vector unit busy;
- two further sizes, and every stage looks farther than the one before by dilation: no object fills the frame, but clutter does;
  in equal short trainings that is worth 2 to 4 points of IoU (docs/networks.md), and still more dilation costs some;
- few channels: half as many again gave hardly more in the same number of steps (twice as many do in `kestrel_wide`, at their price);
- every 3x3 convolution learns as three branches and runs as one (`models.layers.reparam`);
- deep and shallow maps are added, not concatenated: half the multiply-adds of the decoder;
- in training, heads at 1/2 and 1/4 of the size learn from the same truth, max-pooled.

`kestrel_fine` has a thin path at full size besides: a few channels that see every pixel before all else, and that draw the answer at
the end. Where a target is takes context, which the smaller maps give; which of its pixels belong to it takes the pixels themselves.

`kestrel_adaptive` looks at the texture of the frame first, which tells what camera or data set it is from, and scales all its maps
to suit: several kinds of imagery with rules of their own are learnt in one network (`models.layers.texture`).

Ours; the parts are space to depth (arXiv:1609.05158), RepVGG (arXiv:2101.03697), dilation (arXiv:1511.07122) and deep supervision
(arXiv:1409.5185).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from models.interface import InputSpec, MetadataBatch
from models.layers.blocks import ConvNormAct, biased
from models.layers.reparam import RepConv
from models.layers.texture import Adapt, TextureAdaptation, unadapted
from models.segmentation.base import HEAD_BIAS, SegmentationModel
from models.zoo import register_model

_BLOCK_PX = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """Channels, dilations and numbers of convolutions.

    Attributes:
        widths: channels at a half, a quarter and an eighth of the size.
        half: dilations at half the size; likewise `quarter` and `eighth`.
        num_mixes: convolutions of the decoder at half the size.
        full: channels at full size; 0: no convolution runs there.
        num_refines: convolutions that draw the answer there.
    """

    widths: tuple[int, int, int] = (16, 32, 64)
    half: tuple[int, ...] = (1, 2)
    quarter: tuple[int, ...] = (1, 2, 4)
    eighth: tuple[int, ...] = (1, 2, 4, 8)
    num_mixes: int = 2
    full: int = 0
    num_refines: int = 2


def _stage(inputs: int, outputs: int, dilations: tuple[int, ...], stride: int = 2) -> nn.Sequential:
    rest = [RepConv(outputs, outputs, dilation=dilation) for dilation in dilations]
    return nn.Sequential(RepConv(inputs, outputs, stride=stride), *rest)


class _Up(nn.Module):
    """Narrow the deep map, enlarge it, add the shallow one, and mix."""

    def __init__(self, deep: int, shallow: int, num_mixes: int) -> None:
        super().__init__()
        self.narrow = ConvNormAct(deep, shallow, kernel=1, act=False)
        self.mix = nn.Sequential(*(RepConv(shallow, shallow) for _ in range(num_mixes)))

    def forward(self, deep_BCHW: Tensor, shallow_BCHW: Tensor) -> Tensor:
        up = functional.interpolate(self.narrow(deep_BCHW), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.mix(up + shallow_BCHW)  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


@register_model("kestrel")
class Kestrel(SegmentationModel):
    """Three sizes, 16 channels at half size; three heads in training, one in use."""

    paper = "ours: space to depth, dilation at three sizes, re-parameterised convolutions (docs/networks.md)"
    input_spec = InputSpec(size_multiple_px=8)
    plan = Plan()

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        half, quarter, eighth = self.plan.widths
        self.half_size = _stage(max(self.plan.full, 1) * _BLOCK_PX**2, half, self.plan.half, stride=1)
        self.quarter = _stage(half, quarter, self.plan.quarter)
        self.eighth = _stage(quarter, eighth, self.plan.eighth)
        self.ups = nn.ModuleList([_Up(eighth, quarter, 1), _Up(quarter, half, self.plan.num_mixes)])
        self.head = biased(nn.Conv2d(half, _BLOCK_PX**2, 3, padding=1), HEAD_BIAS)
        self.side_heads = nn.ModuleList([biased(nn.Conv2d(width, 1, 1), HEAD_BIAS) for width in (half, quarter)])

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor | tuple[Tensor, ...]:
        """`(B, 1, H, W)` normalised pixels to `(B, 1, H, W)` logits, in training followed by those at 1/2 and 1/4 of the size."""
        adapt = self.adaptation(pixels_BCHW)
        full = adapt("full", self.enter(pixels_BCHW))
        half = adapt("half", self.half_size(functional.pixel_unshuffle(full, _BLOCK_PX)))
        quarter = adapt("quarter", self.quarter(half))
        deep = adapt("deep", self.ups[0](adapt("eighth", self.eighth(quarter)), quarter))
        fine = adapt("fine", self.ups[1](deep, half))
        logits = self.leave(full, fine, adapt)
        return (logits, self.side_heads[0](fine), self.side_heads[1](deep)) if self.training else logits

    def adaptation(self, pixels_B1HW: Tensor) -> Adapt:
        """Hook for subclasses that scale the map of a stage; here the identity."""
        return unadapted

    def enter(self, pixels_B1HW: Tensor) -> Tensor:
        """The map that is regrouped to half size; here the pixels themselves."""
        return pixels_B1HW

    def leave(self, full_BCHW: Tensor, fine_BChw: Tensor, adapt: Adapt) -> Tensor:
        """Logits `(B, 1, H, W)` from what entered and the last half-size map."""
        return functional.pixel_shuffle(self.head(fine_BChw), _BLOCK_PX)


@register_model("kestrel_fine")
class FineKestrel(Kestrel):
    """With eight channels at full size, in and out."""

    paper = "ours: kestrel with a thin path at full size (docs/networks.md)"
    plan = Plan(full=8)
    head_names = ("widen", "refine", "head", "side_heads")

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        full = self.plan.full
        self.stem = RepConv(1, full)
        self.widen = ConvNormAct(self.plan.widths[0], full * _BLOCK_PX**2, kernel=1, act=False)
        self.refine = nn.Sequential(*(RepConv(full, full) for _ in range(self.plan.num_refines)))
        self.head = biased(nn.Conv2d(full, 1, 3, padding=1), HEAD_BIAS)

    def enter(self, pixels_B1HW: Tensor) -> Tensor:
        """The map that is regrouped to half size; here a few channels at full size."""
        return self.stem(pixels_B1HW)  # type: ignore[no-any-return]  # nn.Module.__call__ is Any

    def leave(self, full_BCHW: Tensor, fine_BChw: Tensor, adapt: Adapt) -> Tensor:
        """Logits from those channels and the last half-size map, enlarged."""
        answer = functional.pixel_shuffle(self.widen(fine_BChw), _BLOCK_PX)
        return self.head(self.refine(adapt("answer", answer + full_BCHW)))  # type: ignore[no-any-return]  # likewise


@register_model("kestrel_large")
class LargeKestrel(FineKestrel):
    """The fine one, twice as wide: for machines with a GPU."""

    plan = Plan(widths=(32, 64, 128), full=16)


@register_model("kestrel_adaptive")
class AdaptiveKestrel(FineKestrel):
    """With all stages scaled to the texture of the frame: one network for several kinds of imagery."""

    paper = "ours: kestrel with a thin path at full size, scaled to the texture of each frame (docs/networks.md)"

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        (half, quarter, eighth), full = self.plan.widths, self.plan.full
        widths = {"full": full, "half": half, "quarter": quarter, "eighth": eighth, "deep": quarter, "fine": half, "answer": full}
        self.adapted = TextureAdaptation(widths)

    def adaptation(self, pixels_B1HW: Tensor) -> Adapt:
        """Gains and offsets by the texture of the frame."""
        return self.adapted(pixels_B1HW)  # type: ignore[no-any-return]  # likewise


@register_model("kestrel_light")
class LightKestrel(Kestrel):
    """The same with fewer convolutions: as fast as the fastest networks of the papers."""

    plan = Plan(widths=(16, 32, 48), half=(2,), quarter=(2, 4), num_mixes=1)


@register_model("kestrel_wide")
class WideKestrel(AdaptiveKestrel):
    """The adaptive one, twice as wide: for machines with a GPU."""

    plan = Plan(widths=(32, 64, 128), full=16)
