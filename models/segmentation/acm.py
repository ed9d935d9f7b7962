"""ACM: asymmetric contextual modulation on a slim ResNet-20 U-Net.

Source: Dai, Wu, Zhou, Barnard, "Asymmetric Contextual Modulation for Infrared Small Target Detection", WACV 2021,
arXiv:2009.14530. The widths (16, 32, 64), three blocks a stage and the reduction of 4 are those that give the
397,823 parameters published for the BasicIRSTD variant; a test counts them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from models.interface import MetadataBatch
from models.layers.blocks import ConvNormAct, biased, residual_stage
from models.segmentation.base import HEAD_BIAS, SegmentationModel
from models.zoo import register_model


class AsymmetricModulation(nn.Module):
    """Fuse a deep and a shallow map: each gates the other, by what it knows best (paper eq. 7).

    The deep map gates channels of the shallow one (global context: which features matter here), the shallow map gates
    pixels of the deep one (local detail: where the target is).
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        """Build gates with a bottleneck of `channels / reduction`."""
        super().__init__()
        self.channel_gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_gate(channels, channels // reduction))
        self.pixel_gate = nn.Sequential(*_gate(channels, channels // reduction))
        self.post = ConvNormAct(channels, channels, bias=True)

    def forward(self, deep_BCHW: Tensor, shallow_BCHW: Tensor) -> Tensor:
        """Two `(B, C, H, W)` maps to one."""
        by_channel = 2 * shallow_BCHW * self.channel_gate(deep_BCHW)
        by_pixel = 2 * deep_BCHW * self.pixel_gate(shallow_BCHW)
        return self.post(by_channel + by_pixel)  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


def _gate(channels: int, bottleneck: int) -> list[nn.Module]:
    return [
        ConvNormAct(channels, bottleneck, kernel=1, bias=True),
        ConvNormAct(bottleneck, channels, kernel=1, bias=True, act=False),
        nn.Sigmoid(),
    ]


@register_model("acm")
class Acm(SegmentationModel):
    """Stem to a quarter of the size, three residual stages, two modulated up-steps, logits upsampled four times."""

    paper = "Dai et al., Asymmetric Contextual Modulation for Infrared Small Target Detection, WACV 2021, arXiv:2009.14530"

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1)
        self.stem = nn.Sequential(ConvNormAct(1, 8, stride=2), ConvNormAct(8, 8), ConvNormAct(8, 16), nn.MaxPool2d(3, 2, 1))
        self.stage1 = residual_stage(16, 16, 3)
        self.stage2 = residual_stage(16, 32, 3, stride=2)
        self.stage3 = residual_stage(32, 64, 3, stride=2)
        self.up2 = nn.ConvTranspose2d(64, 32, 4, 2, 1)
        self.fuse2 = AsymmetricModulation(32)
        self.refine2 = residual_stage(32, 32, 3)
        self.up1 = nn.ConvTranspose2d(32, 16, 4, 2, 1)
        self.fuse1 = AsymmetricModulation(16)
        self.refine1 = residual_stage(16, 16, 3)
        self.head = nn.Sequential(ConvNormAct(16, 4), nn.Dropout(0.1), biased(nn.Conv2d(4, 1, 1), HEAD_BIAS))

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        """`(B, 1, H, W)` normalised pixels to `(B, 1, H, W)` logits; metadata is not used."""
        shallow = self.stage1(self.stem(self.input_norm(pixels_BCHW)))
        middle = self.stage2(shallow)
        deep = self.stage3(middle)
        middle = self.refine2(self.fuse2(self.up2(deep), middle))
        shallow = self.refine1(self.fuse1(self.up1(middle), shallow))
        return functional.interpolate(self.head(shallow), scale_factor=4.0, mode="bilinear", align_corners=False)
