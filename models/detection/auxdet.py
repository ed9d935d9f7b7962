"""AuxDet: Cascade RPN whose pyramid knows platform, band and size of the frame; and Cascade RPN alone, to compare it with.

Source: Shi et al., "AuxDet: Auxiliary Metadata Matters for Omni-Domain Infrared Small Target Detection", 2025, arXiv:2505.15184. As
large as its released code to the parameter; docs/auxdet.md says what differs and why.
"""

from __future__ import annotations

from contracts.frame import Band
from models.detection.cascade_rpn import CascadeRpn
from models.detection.metadata_encoder import PAPER_BANDS
from models.detection.necks import CHANNELS, AuxPyramid, PlainPyramid
from models.detection.roi_head import RoiHead, RoiRules
from models.detection.two_stage import TwoStageDetector
from models.layers.resnet import ResNet
from models.zoo import register_model

_LEVELS = 2
_RULES = RoiRules(min_iou=0.65, spread=(0.04, 0.04, 0.08, 0.08), class_weight=1.5)


class CascadeRpnDetector(TwoStageDetector):
    """Cascade RPN with a RoI head, on the maps at strides 4 and 8.

    Attributes:
        depth: layers of the backbone.
        knows_metadata: the pyramid is AuxDet's.
        keeps_dead: have the parameters on which no answer depends, as the released code has; they learn nothing.
        learns_kernels: the kernels of the spatial modulation learn, as in the paper; False: they do not, as in the released code.
        bands: those that the metadata encoder tells apart.
    """

    paper = "Vu et al., Cascade RPN, NeurIPS 2019, arXiv:1909.06720, with AuxDet's levels and RoI head"
    depth: int = 50
    knows_metadata: bool = False
    keeps_dead: bool = True
    learns_kernels: bool = True
    bands: tuple[Band, ...] = PAPER_BANDS

    def __init__(self) -> None:
        """Build with random weights."""
        backbone = ResNet(self.depth)
        if self.knows_metadata:
            neck: PlainPyramid = AuxPyramid(
                backbone.channels, _LEVELS, keeps_dead=self.keeps_dead, learns_kernels=self.learns_kernels, bands=self.bands
            )
        else:
            neck = PlainPyramid(backbone.channels, _LEVELS, keeps_dead=self.keeps_dead)
        super().__init__(backbone, neck, CascadeRpn(CHANNELS, neck.strides), RoiHead(CHANNELS, neck.strides, _RULES))


@register_model("cascade_rpn_r18")
class CascadeRpn18(CascadeRpnDetector):
    """With 18 layers."""

    depth = 18


@register_model("cascade_rpn_r50")
class CascadeRpn50(CascadeRpnDetector):
    """With 50 layers, the size of the papers."""


@register_model("auxdet_r50")
class AuxDet(CascadeRpnDetector):
    """With 50 layers, the size of the paper."""

    paper = "Shi et al., AuxDet: Auxiliary Metadata Matters for Omni-Domain Infrared Small Target Detection, 2025, arXiv:2505.15184"
    knows_metadata = True


@register_model("auxdet_r18")
class AuxDet18(AuxDet):
    """With 18 layers."""

    depth = 18


@register_model("auxdet_r34")
class AuxDet34(AuxDet):
    """With 34 layers."""

    depth = 34


@register_model("auxdet_r101")
class AuxDet101(AuxDet):
    """With 101 layers."""

    depth = 101


@register_model("auxdet_r18_lean")
class AuxDet18Lean(AuxDet18):
    """Without the parameters that learn nothing, and with a column for MWIR."""

    keeps_dead = False
    bands = (*PAPER_BANDS, Band.MWIR)


@register_model("auxdet_r18_detached")
class AuxDet18Detached(AuxDet18):
    """With spatial kernels that do not learn, as the released code has them."""

    learns_kernels = False
