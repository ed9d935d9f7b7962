"""A feature pyramid: maps of several strides, each with what the coarser ones know added to it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from models.layers.blocks import ConvNormAct


class FeaturePyramid(nn.Module):
    """Top-down pathway with lateral connections, batch norm behind every convolution.

    Source: Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, arXiv:1612.03144, fig. 3.
    """

    def __init__(self, inputs: Sequence[int], outputs: int) -> None:
        """Build.

        Args:
            inputs: channels of each map, finest first.
            outputs: channels of every map that comes out.
        """
        super().__init__()
        self.laterals = nn.ModuleList(ConvNormAct(channels, outputs, kernel=1, act=False) for channels in inputs)
        self.smoothings = nn.ModuleList(ConvNormAct(outputs, outputs, act=False) for _ in inputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps `(B, inputs[i], H_i, W_i)`, finest first, to as many `(B, outputs, H_i, W_i)`."""
        sums: list[Tensor] = []
        for lateral, map_BCHW in zip(reversed(self.laterals), reversed(maps), strict=True):
            own_BCHW = lateral(map_BCHW)
            sums.append(own_BCHW + functional.interpolate(sums[-1], size=own_BCHW.shape[-2:]) if sums else own_BCHW)
        return [smoothing(each) for smoothing, each in zip(self.smoothings, reversed(sums), strict=True)]
