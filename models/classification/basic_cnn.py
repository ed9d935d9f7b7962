"""The Basic CNN: four convolutions with pooling, global average, one linear layer.

Source: the baseline of Wang et al., Deep Learning Architecture with Adaptive Attention and Multi-Scale Fusion for Infrared
Spectrum Target Recognition, widths 48-96-192-384. There it sees 224 px colour images (1.63 GMACs);
here 48 px grey crops, because the targets are that small and a frame may hold many.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.classification.base import ClassificationModel
from models.interface import InputSpec, MetadataBatch
from models.layers.blocks import ConvNormAct
from models.zoo import register_model

WIDTHS = (48, 96, 192, 384)
CROP_SIDE_PX = 48
CLASS_NAMES = ("person", "car", "bicycle", "other_vehicle", "airplane", "bird", "drone", "helicopter")


@register_model("basic_cnn")
class BasicCnn(ClassificationModel):
    """Crops (`models.transforms.crop_square` of the normalised frame) to logits, one row a crop."""

    paper = "Basic CNN baseline of the adaptive-attention infrared classifier paper (48-96-192-384 channels), 48 px grey crops"
    input_spec = InputSpec(size_multiple_px=CROP_SIDE_PX, fixed_size_px=CROP_SIDE_PX)
    class_names = CLASS_NAMES

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((1, *WIDTHS[:-1]), WIDTHS, strict=True):
            layers += [ConvNormAct(inputs, outputs), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(WIDTHS[-1], len(CLASS_NAMES))

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        """`(B, 1, 48, 48)` normalised crops to `(B, K)` logits; metadata is not used."""
        return self.head(self.dropout(self.features(pixels_BCHW).mean((2, 3))))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any
