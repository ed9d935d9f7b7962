"""The Basic CNN: four convolutions with pooling, global average, one linear layer.

Source: the baseline of Wang et al., Deep Learning Architecture with Adaptive Attention and Multi-Scale Fusion for Infrared
Spectrum Target Recognition, widths 48-96-192-384. There it sees 224 px images of three channels (1.63 GMACs): `basic_cnn_224`.
`basic_cnn` sees 48 px grey crops, because the targets are that small and a frame may hold many.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.classification.base import PAPER_SIDE_PX, ClassificationModel
from models.classification.classes import CLASS_NAMES, CLASSES_AND_CLUTTER
from models.interface import InputSpec, MetadataBatch
from models.layers.blocks import ConvNormAct
from models.zoo import register_model

WIDTHS = (48, 96, 192, 384)
CROP_SIDE_PX = 48


class _FourLayers(ClassificationModel):
    """Four convolutions with pooling, their mean over pixels, a linear layer.

    Attributes:
        channels: of its input; grey crops are repeated.
    """

    channels: int

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip((self.channels, *WIDTHS[:-1]), WIDTHS, strict=True):
            layers += [ConvNormAct(inputs, outputs), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(WIDTHS[-1], len(self.class_names))

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        """`(B, 1, S, S)` normalised crops to `(B, K)` logits; metadata is not used."""
        features_BCHW = self.features(pixels_BCHW.expand(-1, self.channels, -1, -1))
        return self.head(self.dropout(features_BCHW.mean((2, 3))))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


@register_model("basic_cnn")
class BasicCnn(_FourLayers):
    """Crops (`models.transforms.crop_square` of the normalised frame) to logits, one row a crop."""

    paper = "Basic CNN baseline of the adaptive-attention infrared classifier paper (48-96-192-384 channels), 48 px grey crops"
    input_spec = InputSpec(size_multiple_px=CROP_SIDE_PX, fixed_size_px=CROP_SIDE_PX)
    class_names = CLASS_NAMES
    channels = 1


@register_model("basic_cnn_224")
class BasicCnnOfThePaper(_FourLayers):
    """The baseline as the paper runs it: crops of 224 px, grey repeated to three channels."""

    paper = "Basic CNN baseline of the adaptive-attention infrared classifier paper (48-96-192-384 channels), 224 px, three channels"
    input_spec = InputSpec(size_multiple_px=PAPER_SIDE_PX, fixed_size_px=PAPER_SIDE_PX)
    class_names = CLASSES_AND_CLUTTER
    channels = 3
