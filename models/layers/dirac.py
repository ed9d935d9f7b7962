"""Convolutions that learn a kernel beside an identity and a point, and run as one, also while they learn.

The branches of `models.layers.reparam` each have a batch norm of their own, and each reads and writes the whole map: in training they
cost three times the convolution they become. Here the branches are added as kernels, before the convolution, and one norm follows:
the shortcut of a residual network (He et al. 2015, arXiv:1512.03385) without the map that carries it, as in DiracNets (Zagoruyko and
Komodakis 2017, arXiv:1706.00388), and the point of RepVGG (Ding et al. 2021, arXiv:2101.03697).
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.layers.reparam import RepConv


class DiracConv(RepConv):
    """`relu(norm((wide + point + gain * identity) * x))`; `fused` gives the one convolution that does the same."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> None:
        """Build `inputs` to `outputs` channels; the spatial size shrinks by `stride`."""
        nn.Module.__init__(self)  # the branches of a RepConv each have a norm
        self.kernel = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)
        self.centre = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.gain = nn.Parameter(torch.ones(outputs)) if inputs == outputs and stride == 1 else None
        self.norm = nn.BatchNorm2d(outputs)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """`(B, inputs, H, W)` to `(B, outputs, H / stride, W / stride)`."""
        layer = self.kernel
        if not self.norm.training:
            return self.act(functional.conv2d(x_BCHW, *self._merged(), layer.stride, layer.padding, layer.dilation))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any
        total = functional.conv2d(x_BCHW, self._sum(), None, layer.stride, layer.padding, layer.dilation)
        return self.act(self.norm(total))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any

    def fused(self) -> nn.Conv2d:
        """One 3x3 convolution equal to all of it (before the ReLU), in evaluation mode."""
        one = deepcopy(self.kernel)
        with torch.no_grad():
            weight_OIHW, bias_O = self._merged()
        one.weight, one.bias = nn.Parameter(weight_OIHW), nn.Parameter(bias_O)
        return one

    def _sum(self) -> Tensor:
        """The kernel without its norm, `(outputs, inputs, 3, 3)`."""
        point_OI = self.centre.weight[:, :, 0, 0]
        if self.gain is not None:
            point_OI = point_OI + torch.diag(self.gain)
        return self.kernel.weight + functional.pad(point_OI[:, :, None, None], (1, 1, 1, 1))

    def _merged(self) -> tuple[Tensor, Tensor]:
        """Weights and biases with the norm's running statistics; gradients reach the branches through them."""
        norm = self.norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        gain_O = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        return self._sum() * gain_O[:, None, None, None], norm.bias - norm.running_mean * gain_O
