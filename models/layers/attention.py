"""Attention over channels and pixels, and the residual block that holds both."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.blocks import ConvNormAct


class ChannelAttention(nn.Module):
    """Channel attention: one gate a channel, from the mean and the maximum of each.

    Source: Woo et al. 2018 (CBAM), arXiv:1807.06521, eq. 2.
    """

    def __init__(self, channels: int, reduction: int = 16, *, bias: bool = False) -> None:
        """Build with a bottleneck of `channels / reduction`."""
        super().__init__()
        bottleneck = channels // reduction
        self.shared = nn.Sequential(
            nn.Conv2d(channels, bottleneck, 1, bias=bias), nn.ReLU(inplace=True), nn.Conv2d(bottleneck, channels, 1, bias=bias)
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The input times its gates, same shape."""
        gates_BC11 = self.shared(x_BCHW.mean((2, 3), keepdim=True)) + self.shared(x_BCHW.amax((2, 3), keepdim=True))
        return x_BCHW * gates_BC11.sigmoid()  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


class SpatialGate(nn.Module):
    """Spatial attention: one gate a pixel, from the mean and the maximum over channels.

    Source: Woo et al. 2018 (CBAM), arXiv:1807.06521, eq. 3.
    """

    def __init__(self, kernel: int = 7, *, norm: bool = False) -> None:
        """Build one convolution of two maps to one, with a batch norm behind it if asked for."""
        super().__init__()
        convolution = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.mix = nn.Sequential(convolution, nn.BatchNorm2d(1)) if norm else nn.Sequential(convolution)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Gates `(B, 1, H, W)` in (0, 1)."""
        maps_B2HW = torch.cat([x_BCHW.mean(1, keepdim=True), x_BCHW.amax(1, keepdim=True)], 1)
        return self.mix(maps_B2HW).sigmoid()  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


class SpatialAttention(nn.Module):
    """A map times its spatial gates."""

    def __init__(self, kernel: int = 7, *, norm: bool = False) -> None:
        """Build; see `SpatialGate`."""
        super().__init__()
        self.gate = SpatialGate(kernel, norm=norm)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The input times its gates, same shape."""
        return x_BCHW * self.gate(x_BCHW)  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


class AttentiveBlock(nn.Module):
    """Two 3x3 convolutions, channel and spatial attention, around a shortcut: the unit of DNANet and MSHNet.

    Source: Li et al. 2022 (DNANet), arXiv:2106.00487, section III-B.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Build; the shortcut is a 1x1 convolution where the width changes, else the identity."""
        super().__init__()
        self.body = nn.Sequential(
            ConvNormAct(inputs, outputs, bias=True),
            ConvNormAct(outputs, outputs, bias=True, act=False),
            ChannelAttention(outputs),
            SpatialAttention(),
        )
        self.shortcut: nn.Module = nn.Identity() if inputs == outputs else ConvNormAct(inputs, outputs, kernel=1, bias=True, act=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """`(B, inputs, H, W)` to `(B, outputs, H, W)`."""
        return self.act(self.body(x_BCHW) + self.shortcut(x_BCHW))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


def attentive_stage(inputs: int, outputs: int, num_blocks: int) -> nn.Sequential:
    """Several attentive blocks; the first one changes the width."""
    return nn.Sequential(AttentiveBlock(inputs, outputs), *(AttentiveBlock(outputs, outputs) for _ in range(num_blocks - 1)))
