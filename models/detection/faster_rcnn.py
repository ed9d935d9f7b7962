"""Faster R-CNN on a pyramid of five levels, and the same with AuxDet's pyramid.

Source: Ren et al., "Faster R-CNN", 2015, arXiv:1506.01497; Lin et al., "Feature Pyramid Networks", CVPR 2017, arXiv:1612.03144.
"""

from __future__ import annotations

from models.detection.anchor_rpn import AnchorRpn
from models.detection.necks import CHANNELS, AuxPyramid, PlainPyramid
from models.detection.roi_head import RoiHead, RoiRules
from models.detection.two_stage import TwoStageDetector
from models.layers.resnet import STRIDES, ResNet
from models.zoo import register_model

_LEVELS = 5


@register_model("faster_rcnn_r50")
class FasterRcnn(TwoStageDetector):
    """With 50 layers, the usual size.

    Attributes:
        depth: layers of the backbone.
        knows_metadata: the pyramid is AuxDet's.
    """

    paper = "Ren et al., Faster R-CNN, NeurIPS 2015, arXiv:1506.01497, on a feature pyramid"
    depth: int = 50
    knows_metadata: bool = False

    def __init__(self) -> None:
        """Build with random weights."""
        backbone = ResNet(self.depth)
        neck = (AuxPyramid if self.knows_metadata else PlainPyramid)(backbone.channels, _LEVELS)
        super().__init__(backbone, neck, AnchorRpn(CHANNELS, neck.strides), RoiHead(CHANNELS, STRIDES, RoiRules()))


@register_model("faster_rcnn_r18")
class FasterRcnn18(FasterRcnn):
    """With 18 layers."""

    depth = 18


@register_model("faster_rcnn_r18_aux")
class FasterRcnn18Aux(FasterRcnn18):
    """With 18 layers, platform, band and size."""

    paper = "Faster R-CNN (arXiv:1506.01497) with the modules of AuxDet (arXiv:2505.15184, table 9)"
    knows_metadata = True
