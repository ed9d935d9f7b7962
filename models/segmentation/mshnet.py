"""MSHNet: a U-Net of attentive blocks with a head at each of four scales, and their fusion.

Source: Liu et al. 2024, "Infrared Small Target Detection with Scale and Location Sensitivity", CVPR, arXiv:2403.19366. One input
channel gives 4,065,481 parameters; a test counts them. Its loss is `models.losses.sls_loss`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.interface import MetadataBatch
from models.layers.attention import attentive_stage
from models.layers.blocks import averaging, biased
from models.segmentation.base import HEAD_BIAS, SegmentationModel
from models.zoo import register_model

WIDTHS = (16, 32, 64, 128, 256)
_BLOCKS = 2


@register_model("mshnet")
class MshNet(SegmentationModel):
    """Encoder, bottom, decoder; the fused head answers. Trained with all five, against labels max-pooled to each scale."""

    paper = "Liu et al., Infrared Small Target Detection with Scale and Location Sensitivity, CVPR 2024, arXiv:2403.19366"

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        self.first = nn.Conv2d(1, WIDTHS[0], 1)
        self.encoder = nn.ModuleList([attentive_stage(WIDTHS[0], WIDTHS[0], 1)])
        for narrow, wide in pairwise(WIDTHS):
            self.encoder.append(attentive_stage(narrow, wide, _BLOCKS))
        self.decoder = nn.ModuleList()
        for level in range(len(WIDTHS) - 1):
            blocks = 1 if level == 0 else _BLOCKS
            self.decoder.append(attentive_stage(WIDTHS[level] + WIDTHS[level + 1], WIDTHS[level], blocks))
        self.heads = nn.ModuleList([biased(nn.Conv2d(width, 1, 1), HEAD_BIAS) for width in WIDTHS[:-1]])
        self.fuse = averaging(nn.Conv2d(len(self.heads), 1, 3, padding=1))

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor | tuple[Tensor, ...]:
        """`(B, 1, H, W)` normalised pixels to `(B, 1, H, W)` logits, in training followed by those at 1, 1/2, 1/4, 1/8 of the size."""
        x = self.first(pixels_BCHW)
        skips = []
        for level, encode in enumerate(self.encoder):
            x = encode(x if level == 0 else functional.max_pool2d(x, 2))
            skips.append(x)
        masks: list[Tensor] = []
        for level in reversed(range(len(self.decoder))):
            up = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
            x = self.decoder[level](torch.cat([skips[level], up], 1))
            masks.insert(0, self.heads[level](x))
        size = masks[0].shape[-2:]
        full = [masks[0], *(functional.interpolate(mask, size, mode="bilinear", align_corners=True) for mask in masks[1:])]
        logits: Tensor = self.fuse(torch.cat(full, 1))
        return (logits, *masks) if self.training else logits
