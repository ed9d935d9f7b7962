"""Adaptive attention and multi-scale fusion, the two modules of the infrared classifier paper.

Source: Wang et al., Deep Learning Architecture with Adaptive Attention and Multi-Scale Fusion for Infrared Spectrum Target
Recognition, sections 3.1.1 and 3.1.2. The paper gives neither reduction, rates nor widths: those here are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.blocks import ConvNormAct

RATES = (1, 2, 3, 5)


class AdaptiveAttention(nn.Module):
    """One gate a channel, `sigmoid(W2 relu(W1 mean(x)))`, eq. 1; there are no biases."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        """Build with a bottleneck of `channels / reduction`."""
        super().__init__()
        self.gates = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The input times its gates, same shape."""
        gates_BC: Tensor = self.gates(x_BCHW.mean((2, 3)))
        return x_BCHW * gates_BC[:, :, None, None]


class MultiScaleFusion(nn.Module):
    """Dilated 3x3 convolutions side by side, joined, and mixed by a 1x1 convolution (eq. 3)."""

    def __init__(self, channels: int, rates: tuple[int, ...] = RATES) -> None:
        """Build branches of half the channels, one a rate; shape and channels stay."""
        super().__init__()
        width = channels // 2
        self.branches = nn.ModuleList(ConvNormAct(channels, width, dilation=rate) for rate in rates)
        self.mix = ConvNormAct(width * len(rates), channels, kernel=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same shape."""
        return self.mix(torch.cat([branch(x_BCHW) for branch in self.branches], 1))  # type: ignore[no-any-return]  # Any
