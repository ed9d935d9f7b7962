"""A plain light U-Net: five levels, two 3x3 convolutions a level, 16 channels at full resolution.

Source: Ronneberger, Fischer, Brox, arXiv:1505.04597; batch norm and `same` padding added, as is usual today, and bilinear
upsampling in place of transposed convolutions.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.interface import MetadataBatch
from models.layers.blocks import ConvNormAct, biased
from models.segmentation.base import HEAD_BIAS, SegmentationModel
from models.zoo import register_model

WIDTHS = (16, 32, 64, 128, 256)


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(ConvNormAct(inputs, outputs), ConvNormAct(outputs, outputs))


@register_model("unet_light")
class LightUNet(SegmentationModel):
    """Encoder and decoder with skips; finds what it needs full resolution for, and pays for it in time."""

    paper = "Ronneberger et al., U-Net, MICCAI 2015, arXiv:1505.04597 (plain, 16 base channels)"

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        steps = list(pairwise(WIDTHS))
        self.encoder = nn.ModuleList([_double(1, WIDTHS[0]), *(_double(narrow, wide) for narrow, wide in steps)])
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.decoder = nn.ModuleList([_double(wide + narrow, narrow) for narrow, wide in reversed(steps)])
        self.head = biased(nn.Conv2d(WIDTHS[0], 1, 1), HEAD_BIAS)

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        """`(B, 1, H, W)` normalised pixels to `(B, 1, H, W)` logits; metadata is not used."""
        skips: list[Tensor] = []
        x = pixels_BCHW
        for level, encode in enumerate(self.encoder):
            x = encode(x if level == 0 else self.pool(x))
            skips.append(x)
        skips.pop()
        for decode in self.decoder:
            x = decode(torch.cat([skips.pop(), self.up(x)], 1))
        return self.head(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is Any
