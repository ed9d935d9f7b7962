"""ALCNet as the BasicIRSTD benchmark runs it: ACM's encoder with four blocks a stage, asymmetric fusion on transposed convolutions.

Source: Dai et al. 2021, "Attentional Local Contrast Networks for Infrared Small Target Detection", arXiv:2012.08573. The
variant every table of the benchmark quotes has **no local-contrast module** (that is in the authors' MXNet code only) and two
stages that are never executed; they are left out here, so 426,961 of its 519,889 parameters remain; a test counts them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from models.interface import MetadataBatch
from models.layers.blocks import ConvNormAct, biased, residual_stage
from models.segmentation.acm import AsymmetricModulation
from models.segmentation.base import HEAD_BIAS, SegmentationModel
from models.zoo import register_model

_BLOCKS = 4


@register_model("alcnet")
class AlcNet(SegmentationModel):
    """Stem to a quarter of the size, three residual stages, two modulated up-steps, a third one, logits upsampled twice."""

    paper = "Dai et al., Attentional Local Contrast Networks, TGRS 2021, arXiv:2012.08573 (as BasicIRSTD runs it)"

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1)
        self.stem = nn.Sequential(ConvNormAct(1, 8, stride=2), ConvNormAct(8, 8), ConvNormAct(8, 16), nn.MaxPool2d(3, 2, 1))
        self.stage1 = residual_stage(16, 16, _BLOCKS)
        self.stage2 = residual_stage(16, 32, _BLOCKS, stride=2)
        self.stage3 = residual_stage(32, 64, _BLOCKS, stride=2)
        self.up2, self.fuse2 = nn.ConvTranspose2d(64, 32, 4, 2, 1), AsymmetricModulation(32)
        self.up1, self.fuse1 = nn.ConvTranspose2d(32, 16, 4, 2, 1), AsymmetricModulation(16)
        self.up0 = nn.ConvTranspose2d(16, 8, 4, 2, 1)
        self.head = nn.Sequential(ConvNormAct(8, 2), nn.Dropout(0.1), biased(nn.Conv2d(2, 1, 1), HEAD_BIAS))

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        """`(B, 1, H, W)` normalised pixels to `(B, 1, H, W)` logits; metadata is not used."""
        shallow = self.stage1(self.stem(self.input_norm(pixels_BCHW)))
        middle = self.stage2(shallow)
        x = self.fuse2(self.up2(self.stage3(middle)), middle)
        x = self.up0(self.fuse1(self.up1(x), shallow))
        return functional.interpolate(self.head(x), scale_factor=2.0, mode="bilinear", align_corners=False)
