"""Residual backbones of 18 to 101 layers, for maps of four strides.

Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385, table 1; the stride of a
bottleneck is in its 3x3 convolution, as in torchvision. As large as torchvision's without the classifier, whose import brings torch's
compiler along (docs/adr/0017).
"""

from __future__ import annotations

from torch import Tensor, nn

from models.layers.blocks import ConvNormAct, residual_stage

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Blocks of the four stages, by depth."""
STRIDES = (4, 8, 16, 32)
_BASIC = (18, 34)
_WIDTHS = (64, 128, 256, 512)
_EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution around a shortcut; the 3x3 one has a quarter of the channels that come out."""

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        """Build; the shortcut is a 1x1 convolution where shape or width change, else the identity."""
        super().__init__()
        outputs = width * _EXPANSION
        self.body = nn.Sequential(
            ConvNormAct(inputs, width, kernel=1), ConvNormAct(width, width, stride=stride), ConvNormAct(width, outputs, kernel=1, act=False)
        )
        same = stride == 1 and inputs == outputs
        self.shortcut: nn.Module = nn.Identity() if same else ConvNormAct(inputs, outputs, kernel=1, stride=stride, act=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """`(B, inputs, H, W)` to `(B, 4 * width, H / stride, W / stride)`."""
        return self.act(self.body(x_BCHW) + self.shortcut(x_BCHW))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


class ResNet(nn.Module):
    """Stem and four stages, at strides 4, 8, 16 and 32.

    Attributes:
        channels: of the four maps.
    """

    def __init__(self, depth: int, input_channels: int = 3) -> None:
        """Build with random weights (He's normal ones).

        Args:
            depth: 18, 34, 50 or 101 layers.
            input_channels: 3 for the published size; pixels of one channel are then given three times.
        """
        super().__init__()
        blocks = BLOCKS[depth]
        self.input_channels = input_channels
        self.stem = nn.Sequential(ConvNormAct(input_channels, _WIDTHS[0], kernel=7, stride=2), nn.MaxPool2d(3, 2, 1))
        stages: list[nn.Module] = []
        inputs = _WIDTHS[0]
        for stage, (width, num) in enumerate(zip(_WIDTHS, blocks, strict=True)):
            stride = 1 if stage == 0 else 2
            if depth in _BASIC:
                stages.append(residual_stage(inputs, width, num, stride))
                inputs = width
            else:
                rest = [Bottleneck(width * _EXPANSION, width) for _ in range(num - 1)]
                stages.append(nn.Sequential(Bottleneck(inputs, width, stride), *rest))
                inputs = width * _EXPANSION
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(width * (1 if depth in _BASIC else _EXPANSION) for width in _WIDTHS)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pixels_BCHW: Tensor) -> list[Tensor]:
        """`(B, 1 or input_channels, H, W)` to four maps, finest first."""
        x = self.stem(pixels_BCHW.expand(-1, self.input_channels, -1, -1))
        maps: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
