"""Convolution blocks shared by the networks; all of them can be folded for inference (`models/folding.py`)."""

from __future__ import annotations

from torch import Tensor, nn


class ConvNormAct(nn.Sequential):
    """Convolution, batch norm and (optionally) ReLU, `same` padding."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = False,
        act: bool = True,
        slope: float = 0.0,
    ) -> None:
        """Build `inputs` to `outputs` channels; the spatial size shrinks by `stride`; a `slope` makes the ReLU leaky."""
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 * dilation, dilation, bias=bias),
            nn.BatchNorm2d(outputs),
        ]
        if act:
            layers.append(nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True))
        super().__init__(*layers)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (ResNet's basic block).

    Source: He et al. 2015, arXiv:1512.03385, fig. 2.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        """Build; the shortcut is a 1x1 convolution where shape or width change, else the identity."""
        super().__init__()
        self.body = nn.Sequential(ConvNormAct(inputs, outputs, stride=stride), ConvNormAct(outputs, outputs, act=False))
        same = stride == 1 and inputs == outputs
        self.shortcut: nn.Module = nn.Identity() if same else ConvNormAct(inputs, outputs, kernel=1, stride=stride, act=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """`(B, inputs, H, W)` to `(B, outputs, H / stride, W / stride)`."""
        return self.act(self.body(x_BCHW) + self.shortcut(x_BCHW))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


def residual_stage(inputs: int, outputs: int, num_blocks: int, stride: int = 1) -> nn.Sequential:
    """Several residual blocks; the first one changes width and size."""
    rest = [ResidualBlock(outputs, outputs) for _ in range(num_blocks - 1)]
    return nn.Sequential(ResidualBlock(inputs, outputs, stride), *rest)


def averaging(layer: nn.Conv2d) -> nn.Conv2d:
    """Start a convolution that fuses maps as their mean: what the maps start at, it starts at."""
    if layer.bias is None:
        raise ValueError("expected a convolution with a bias")
    height, width = layer.kernel_size
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.weight[:, :, height // 2, width // 2], 1 / layer.in_channels)
    nn.init.zeros_(layer.bias)
    return layer


def biased(layer: nn.Conv2d, bias: float) -> nn.Conv2d:
    """Start every bias of a head at one value: the logit of how rare targets are."""
    if layer.bias is None:
        raise ValueError("expected a convolution with a bias")
    nn.init.constant_(layer.bias, bias)
    return layer
