"""Convolutions that learn as several branches and run as one.

Source: Ding et al. 2021 (RepVGG), arXiv:2101.03697: a 3x3, a 1x1 and an identity, each with its batch norm, are linear, so for
inference their sum is one 3x3 convolution; the branches only make it easier to learn.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class RepConv(nn.Module):
    """Three branches and a ReLU; `fused` gives the one convolution that does the same."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> None:
        """Build `inputs` to `outputs` channels; the spatial size shrinks by `stride`."""
        super().__init__()
        wide = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)
        self.wide = nn.Sequential(wide, nn.BatchNorm2d(outputs))
        self.point = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.same = nn.BatchNorm2d(outputs) if inputs == outputs and stride == 1 else None
        self.act = nn.ReLU(inplace=True)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """`(B, inputs, H, W)` to `(B, outputs, H / stride, W / stride)`."""
        total = self.wide(x_BCHW) + self.point(x_BCHW)
        return self.act(total if self.same is None else total + self.same(x_BCHW))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any

    def fused(self) -> nn.Conv2d:
        """One 3x3 convolution equal to the sum of the branches (before the ReLU), in evaluation mode."""
        wide = fuse_conv_bn_eval(_convolution(self.wide), _norm(self.wide))
        point = fuse_conv_bn_eval(_convolution(self.point), _norm(self.point))
        assert wide.bias is not None
        assert point.bias is not None
        with torch.no_grad():
            wide.weight[:, :, 1:2, 1:2] += point.weight
            wide.bias += point.bias
            if self.same is not None:
                _add_identity(wide, self.same)
        return wide


def _add_identity(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_var is not None
    assert norm.running_mean is not None
    assert convolution.bias is not None
    gain_C = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    index = torch.arange(len(gain_C), device=gain_C.device)
    convolution.weight[index, index, 1, 1] += gain_C
    convolution.bias += norm.bias - norm.running_mean * gain_C


def _convolution(branch: nn.Sequential) -> nn.Conv2d:
    layer = branch[0]
    assert isinstance(layer, nn.Conv2d)
    return layer


def _norm(branch: nn.Sequential) -> nn.BatchNorm2d:
    layer = branch[1]
    assert isinstance(layer, nn.BatchNorm2d)
    return layer
