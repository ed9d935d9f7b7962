"""Convolutions that learn as several branches and run as one.

Source: Ding et al. 2021 (RepVGG), arXiv:2101.03697: a 3x3, a 1x1 and an identity, each with its batch norm, are linear, so for
inference their sum is one 3x3 convolution; the branches only make it easier to learn.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional


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
        """`(B, inputs, H, W)` to `(B, outputs, H / stride, W / stride)`.

        With its norms in evaluation mode (`models.layers.norms.freeze_norms`) it runs as the one convolution also while it learns.
        """
        if not _norm(self.wide).training:
            layer = _convolution(self.wide)
            return self.act(functional.conv2d(x_BCHW, *self._merged(), layer.stride, layer.padding, layer.dilation))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any
        total = self.wide(x_BCHW) + self.point(x_BCHW)
        return self.act(total if self.same is None else total + self.same(x_BCHW))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any

    def fused(self) -> nn.Conv2d:
        """One 3x3 convolution equal to the sum of the branches (before the ReLU), in evaluation mode."""
        one = deepcopy(_convolution(self.wide))
        with torch.no_grad():
            weight_OIHW, bias_O = self._merged()
        one.weight, one.bias = nn.Parameter(weight_OIHW), nn.Parameter(bias_O)
        return one

    def _merged(self) -> tuple[Tensor, Tensor]:
        """Weights `(outputs, inputs, 3, 3)` and biases of that convolution; gradients reach the branches through them."""
        weight_OIHW, bias_O = _folded(_convolution(self.wide).weight, _norm(self.wide))
        branches = [_folded(_convolution(self.point).weight, _norm(self.point))]
        if self.same is not None:
            identity_OO = torch.eye(len(bias_O), dtype=bias_O.dtype, device=bias_O.device)
            branches.append(_folded(identity_OO[:, :, None, None], self.same))
        for point_OI11, offset_O in branches:
            weight_OIHW, bias_O = weight_OIHW + functional.pad(point_OI11, (1, 1, 1, 1)), bias_O + offset_O
        return weight_OIHW, bias_O


def _folded(weight_OIHW: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weights and biases of a convolution without biases and the norm behind it, with the norm's running statistics."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    gain_O = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return weight_OIHW * gain_O[:, None, None, None], norm.bias - norm.running_mean * gain_O


def _convolution(branch: nn.Sequential) -> nn.Conv2d:
    layer = branch[0]
    assert isinstance(layer, nn.Conv2d)
    return layer


def _norm(branch: nn.Sequential) -> nn.BatchNorm2d:
    layer = branch[1]
    assert isinstance(layer, nn.BatchNorm2d)
    return layer
