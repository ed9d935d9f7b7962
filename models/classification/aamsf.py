"""The paper's classifier: adaptive attention and multi-scale fusion in three stages, then two linear layers.

Source: Wang et al., Deep Learning Architecture with Adaptive Attention and Multi-Scale Fusion for Infrared Spectrum Target
Recognition. The paper names the modules, their order (eq. 8), the input (224 px, three channels), 3.2 GFLOPs and 1.5 for a simple CNN,
and no widths. Widths here are a reconstruction that meets both figures: 3.190 and 1.456 GMACs. Ablations are those of its table 8, and
one that the paper lacks: dilation 1 everywhere, which costs as much as the whole and sees no second scale.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.classification.base import PAPER_CHANNELS, PAPER_SIDE_PX, ClassificationModel
from models.classification.classes import CLASSES_AND_CLUTTER
from models.interface import InputSpec, MetadataBatch
from models.layers.adaptive_attention import RATES, AdaptiveAttention, MultiScaleFusion
from models.layers.blocks import ConvNormAct
from models.layers.initialisation import he_normal
from models.zoo import register_model

WIDTHS = (96, 192, 384)
STEM = (32, 64)
HIDDEN = 256
_PAPER = "Wang et al., Deep Learning Architecture with Adaptive Attention and Multi-Scale Fusion for Infrared Spectrum Target Recognition"


@register_model("aamsf")
class Aamsf(ClassificationModel):
    """Crops to logits; a grey crop is repeated to three channels.

    Attributes:
        attends: with adaptive attention.
        rates: dilations of the branches that are fused; none: without fusion.
    """

    paper = f"{_PAPER} (widths reconstructed)"
    input_spec = InputSpec(size_multiple_px=PAPER_SIDE_PX, fixed_size_px=PAPER_SIDE_PX)
    class_names = CLASSES_AND_CLUTTER
    attends = True
    rates: tuple[int, ...] = RATES

    def __init__(self, num_classes: int | None = None) -> None:
        """Build with random weights (He et al., as the paper says).

        Args:
            num_classes: of the paper's data sets, to compare sizes; None: as many as it has names for.
        """
        super().__init__()
        self.stem = nn.Sequential(ConvNormAct(PAPER_CHANNELS, STEM[0], stride=2), ConvNormAct(*STEM), nn.MaxPool2d(3, 2, 1))
        stages = []
        for inputs, outputs in zip((STEM[1], *WIDTHS[:-1]), WIDTHS, strict=True):
            stages.append(self._stage(inputs, outputs, stride=1 if inputs == STEM[1] else 2))
        self.stages = nn.Sequential(*stages)
        self.hidden = nn.Sequential(nn.Linear(WIDTHS[-1], HIDDEN), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.head = nn.Linear(HIDDEN, num_classes or len(self.class_names))
        he_normal(self)

    def _stage(self, inputs: int, outputs: int, stride: int) -> nn.Sequential:
        layers: list[nn.Module] = [ConvNormAct(inputs, outputs, stride=stride), ConvNormAct(outputs, outputs)]
        layers += [AdaptiveAttention(outputs)] * self.attends
        layers += [MultiScaleFusion(outputs, self.rates)] if self.rates else []
        return nn.Sequential(*layers)

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        """`(B, 1, 224, 224)` normalised crops, or three channels, to `(B, K)` logits; metadata is not used."""
        features_BCHW = self.stages(self.stem(pixels_BCHW.expand(-1, PAPER_CHANNELS, -1, -1)))
        return self.head(self.hidden(features_BCHW.mean((2, 3))))  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


@register_model("aamsf_no_attention")
class AamsfNoAttention(Aamsf):
    """Without adaptive attention (table 8)."""

    paper = f"{_PAPER}, without adaptive attention"
    attends = False


@register_model("aamsf_no_fusion")
class AamsfNoFusion(Aamsf):
    """Without multi-scale fusion (table 8); less than half as dear, so it is no fair comparison by itself."""

    paper = f"{_PAPER}, without multi-scale fusion"
    rates = ()


@register_model("aamsf_plain")
class AamsfPlain(Aamsf):
    """With neither (table 8)."""

    paper = f"{_PAPER}, with neither module"
    attends = False
    rates = ()


@register_model("aamsf_one_scale")
class AamsfOneScale(Aamsf):
    """The control of the fusion: as dear as the whole, all dilations 1."""

    paper = f"{_PAPER}, all dilations 1 (a control of ours)"
    rates = (1,) * len(RATES)
