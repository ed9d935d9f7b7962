"""DNANet: nested U-Net in which every node sees its neighbours above, below and before; attention in each block.

Source: Li et al. 2022, "Dense Nested Attention Network for Infrared Small Target Detection", arXiv:2106.00487. Widths 16 to 256
and two blocks a node give the 4,696,568 parameters published for it; a test counts them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.interface import MetadataBatch
from models.layers.attention import attentive_stage
from models.layers.blocks import biased
from models.segmentation.base import HEAD_BIAS, SegmentationModel
from models.zoo import register_model

WIDTHS = (16, 32, 64, 128, 256)
_LEVELS = len(WIDTHS)
_BLOCKS = 2


def _resized(x_BCHW: Tensor, factor: float) -> Tensor:
    return functional.interpolate(x_BCHW, scale_factor=factor, mode="bilinear", align_corners=True)


@register_model("dnanet")
class DnaNet(SegmentationModel):
    """Nodes (level i, column j); column 0 is the encoder, the last node of level 0 sees the whole picture.

    Trained with four heads (columns 1 to 3 of level 0, and the fused one), whose losses are averaged.
    """

    paper = "Li et al., Dense Nested Attention Network for Infrared Small Target Detection, TIP 2022, arXiv:2106.00487"

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        self.nodes = nn.ModuleDict()
        for column in range(_LEVELS):
            for level in range(_LEVELS - column):
                self.nodes[f"{level}_{column}"] = attentive_stage(_node_inputs(level, column), WIDTHS[level], _num_blocks(level))
        self.laterals = nn.ModuleList([nn.Conv2d(WIDTHS[level], WIDTHS[0], 1) for level in range(1, _LEVELS)])
        self.fuse = attentive_stage(WIDTHS[0] * _LEVELS, WIDTHS[0], 1)
        self.heads = nn.ModuleList([biased(nn.Conv2d(WIDTHS[0], 1, 1), HEAD_BIAS) for _ in range(_LEVELS - 1)])

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor | tuple[Tensor, ...]:
        """`(B, 1, H, W)` normalised pixels to `(B, 1, H, W)` logits, in training followed by those of the other heads."""
        at: dict[tuple[int, int], Tensor] = {}
        for diagonal in range(_LEVELS):
            # In the order the nodes become possible: encoder first, then up along the diagonal.
            for column in range(diagonal + 1):
                level = diagonal - column
                at[level, column] = self._node(level, column, at, pixels_BCHW)
        last = [at[level, _LEVELS - 1 - level] for level in range(_LEVELS)]
        ups = [_resized(lateral(x), 2.0 ** (level + 1)) for level, (lateral, x) in enumerate(zip(self.laterals, last[1:], strict=True))]
        fused = self.fuse(torch.cat([*reversed(ups), last[0]], 1))
        logits: Tensor = self.heads[-1](fused)
        if not self.training:
            return logits
        return logits, *(head(at[0, column]) for column, head in enumerate(self.heads[:-1], start=1))

    def _node(self, level: int, column: int, at: dict[tuple[int, int], Tensor], pixels_BCHW: Tensor) -> Tensor:
        if column == 0:
            inputs = pixels_BCHW if level == 0 else functional.max_pool2d(at[level - 1, 0], 2)
        else:
            parts = [at[level, before] for before in range(column)]
            parts.append(_resized(at[level + 1, column - 1], 2.0))
            if level > 0:
                parts.append(_resized(at[level - 1, column], 0.5))
            inputs = torch.cat(parts, 1)
        return self.nodes[f"{level}_{column}"](inputs)  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


def _num_blocks(level: int) -> int:
    return 1 if level == 0 else _BLOCKS


def _node_inputs(level: int, column: int) -> int:
    if column == 0:
        return 1 if level == 0 else WIDTHS[level - 1]
    above = WIDTHS[level - 1] if level > 0 else 0
    return WIDTHS[level] * column + WIDTHS[level + 1] + above
