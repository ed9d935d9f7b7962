"""Wren: our light classifier for CPUs. The paper's two modules at the size of the targets, with a class for clutter.

Crops of 32 px are folded 2 x 2 into channels, so that no pixel is lost and the first convolutions see a quarter of the places; two
dilations are fused where the map is 8 px wide, which is as far as a target's surroundings reach. A crop shows 24 px of its frame or
little more, so 32 px hold all of it.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.classification.base import ClassificationModel
from models.classification.classes import CLASSES_AND_CLUTTER
from models.interface import InputSpec, MetadataBatch
from models.layers.adaptive_attention import AdaptiveAttention, MultiScaleFusion
from models.layers.blocks import ConvNormAct
from models.layers.initialisation import he_normal
from models.zoo import register_model

CROP_SIDE_PX = 32
WIDTHS = (24, 32, 64, 128)


@register_model("wren")
class Wren(ClassificationModel):
    """Crops to logits, one row a crop."""

    paper = "ours: adaptive attention and two scales on 32 px grey crops, with a class for clutter (docs/networks.md)"
    input_spec = InputSpec(size_multiple_px=CROP_SIDE_PX, fixed_size_px=CROP_SIDE_PX)
    class_names = CLASSES_AND_CLUTTER

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        first, second, third, last = WIDTHS
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2),
            ConvNormAct(4, first),
            ConvNormAct(first, second),
            nn.MaxPool2d(2),
            AdaptiveAttention(second, 4),
            ConvNormAct(second, third),
            MultiScaleFusion(third, (1, 2)),
            nn.MaxPool2d(2),
            AdaptiveAttention(third, 8),
            ConvNormAct(third, last),
        )
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(last, len(self.class_names))
        he_normal(self)

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        """`(B, 1, 32, 32)` normalised crops to `(B, K)` logits; metadata is not used."""
        return self.head(self.dropout(self.features(pixels_BCHW).mean((2, 3))))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any
