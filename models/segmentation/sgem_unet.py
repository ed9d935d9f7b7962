"""SGEM U-Net: a U-Net whose widest semantic gap is bridged by a correlation instead of a skip.

Source: "High-Precision and Fast Inference for Infrared Small Target Detection through Semantic Gap Reduction", 2025,
doi:10.23977/acss.2025.090115 ("semantic gap elimination module"), reconstructed: the paper gives three equations, a
sentence on where the module sits, 8.69 M parameters and 15.92 G multiply-adds (3 channels, 256 x 256). Of 49,280 U-Nets, and
then 1,166,400 pairs of U-Net and module that were counted, the one below meets both numbers best (8.6875 M, 15.93 G);
benchmarks/2026-11-segmenters.md says what is certain and what is not.
Configuration B (correlation of 32 by 64 positions) is `sgem_unet`, A (32 by 32) is `sgem_unet_a`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.interface import MetadataBatch
from models.layers.blocks import ConvNormAct, biased
from models.segmentation.base import HEAD_BIAS, SegmentationModel
from models.zoo import register_model

WIDTHS = (32, 64, 128, 256, 512)
# Sides of E3 and D1 for the 256 x 256 input of the paper, to which other sizes are resized before they become vectors.
_E3_SIDE, _D1_SIDE = 64, 32
_QUERY_LENGTH = 32


class SemanticGapElimination(nn.Module):
    """Correlate the third encoder level with the first decoder level, and add what it says to the latter (eq. 1 to 3).

    `Q = Linear(flat(Conv1x1(E3)))`, `K = Linear(flat(Conv1x1(D1)))`, `Matrix = softmax(Conv1x1(Q K^T))`,
    `out = D1 + g Matrix D1` with g learnt from 0. The matrix is resized to the height of D1, whatever the size of the image.
    """

    def __init__(
        self, encoder_channels: int, decoder_channels: int, key_length: int, *, softmax: bool = True, residual: bool = True
    ) -> None:
        """Build.

        Args:
            encoder_channels: of E3.
            decoder_channels: of D1.
            key_length: positions of K; Q has 32.
            softmax: False leaves the normalisation out (ablation).
            residual: False passes on the product alone (ablation).
        """
        super().__init__()
        self.query = nn.Conv2d(encoder_channels, 1, 1)
        self.key = nn.Conv2d(decoder_channels, 1, 1)
        self.query_line = nn.Linear(_E3_SIDE**2, _QUERY_LENGTH)
        self.key_line = nn.Linear(_D1_SIDE**2, key_length)
        self.spread = nn.Conv2d(1, decoder_channels, 1)
        self.gain = nn.Parameter(torch.zeros(1)) if residual else None
        self.softmax = softmax

    def forward(self, e3_BCHW: Tensor, d1_BCHW: Tensor) -> Tensor:
        """Levels at a quarter and an eighth of the image to a map like the second."""
        query_BQ = self.query_line(_flat(self.query(e3_BCHW), _E3_SIDE))
        key_BK = self.key_line(_flat(self.key(d1_BCHW), _D1_SIDE))
        correlation_BCQK = self.spread(torch.einsum("bq,bk->bqk", query_BQ, key_BK)[:, None])
        height = d1_BCHW.shape[-2]
        matrix_BCHH = functional.interpolate(correlation_BCQK, (height, height), mode="bilinear", align_corners=False)
        if self.softmax:
            matrix_BCHH = matrix_BCHH.softmax(-1)
        product_BCHW = matrix_BCHH @ d1_BCHW
        return product_BCHW if self.gain is None else d1_BCHW + self.gain * product_BCHW


def _flat(map_B1HW: Tensor, side: int) -> Tensor:
    same = map_B1HW.shape[-2:] == (side, side)
    sized = map_B1HW if same else functional.interpolate(map_B1HW, (side, side), mode="bilinear", align_corners=False)
    return sized.flatten(1)


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(ConvNormAct(inputs, outputs, bias=True), ConvNormAct(outputs, outputs, bias=True))


@register_model("sgem_unet")
class SgemUNet(SegmentationModel):
    """Five levels, two convolutions a level, bilinear up-steps with a convolution; the third skip replaced by the module."""

    paper = "SGEM U-Net (semantic gap elimination module), reconstructed from its text and two numbers"
    key_length = 64
    has_module = True
    third_skip = False
    softmax = True
    residual = True

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        steps = list(pairwise(WIDTHS))
        self.encoder = nn.ModuleList([_double(1, WIDTHS[0]), *(_double(narrow, wide) for narrow, wide in steps)])
        self.ups = nn.ModuleList([ConvNormAct(wide, narrow, bias=True) for narrow, wide in steps])
        self.decoder = nn.ModuleList(
            [_double(narrow * (2 if self._has_skip(level) else 1), narrow) for level, (narrow, _) in enumerate(steps)]
        )
        self.bridge = (
            SemanticGapElimination(WIDTHS[2], WIDTHS[3], self.key_length, softmax=self.softmax, residual=self.residual)
            if self.has_module
            else None
        )
        self.head = biased(nn.Conv2d(WIDTHS[0], 1, 1), HEAD_BIAS)

    def _has_skip(self, level: int) -> bool:
        return level != 2 or self.third_skip

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        """`(B, 1, H, W)` normalised pixels to `(B, 1, H, W)` logits; metadata is not used."""
        x, skips = pixels_BCHW, []
        for level, encode in enumerate(self.encoder):
            x = encode(x if level == 0 else functional.max_pool2d(x, 2))
            skips.append(x)
        for level in reversed(range(len(self.decoder))):
            x = self.ups[level](functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False))
            x = self.decoder[level](torch.cat([skips[level], x], 1) if self._has_skip(level) else x)
            if level == 3 and self.bridge is not None:
                x = self.bridge(skips[2], x)
        return self.head(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


@register_model("sgem_unet_a")
class SgemUNetA(SgemUNet):
    """Configuration A: a correlation of 32 by 32 positions."""

    key_length = 32


@register_model("sgem_unet_plain")
class PlainUNet32(SgemUNet):
    """Ablation: the same U-Net with all skips and without the module."""

    has_module = False
    third_skip = True


@register_model("sgem_unet_gap")
class GapUNet32(SgemUNet):
    """Ablation: the third skip is gone and nothing stands in for it."""

    has_module = False


@register_model("sgem_unet_and_skip")
class SgemUNetAndSkip(SgemUNet):
    """Ablation: the module as well as the third skip."""

    third_skip = True


@register_model("sgem_unet_no_softmax")
class SgemUNetNoSoftmax(SgemUNet):
    """Ablation: the correlation is not normalised."""

    softmax = False


@register_model("sgem_unet_no_residual")
class SgemUNetNoResidual(SgemUNet):
    """Ablation: only the product of correlation and D1 goes on."""

    residual = False
