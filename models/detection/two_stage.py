"""Two-stage detectors: a backbone, a pyramid, proposals, and a head that looks at each of them.

Frames are enlarged before the backbone (`TwoStageParts.enlarge`): its finest cell has four pixels, more than many targets. The papers
bring every image to about 1024 pixels a side, four times its own for most of their sets; a stream must not depend on what else is in a
frame, so the factor is one for all. Boxes come out in pixels of the frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from models.detection.base import BoxTruth, DetectionModel
from models.detection.necks import Neck
from models.detection.proposals import ProposalNetwork
from models.detection.roi_head import RoiHead
from models.interface import InputSpec, MetadataBatch
from models.layers.resnet import STRIDES, ResNet
from models.thresholds import DetectionPostprocess

ENLARGE = 2
_PROPOSALS = 300
_CANDIDATES, _CANDIDATES_IN_TRAINING = 1000, 2000


class TwoStageDetector(DetectionModel):
    """Raw output: logits `(B, K)` and boxes `(B, K, 4)` of the proposals; in training the maps and what the proposal network says."""

    input_spec = InputSpec(size_multiple_px=STRIDES[-1] // ENLARGE)
    head_names = ("proposer", "head")

    def __init__(self, backbone: ResNet, neck: Neck, proposer: ProposalNetwork, head: RoiHead) -> None:
        """Put the parts together."""
        super().__init__()
        self.settings = DetectionPostprocess(nms_iou=0.5)
        self.backbone, self.neck, self.proposer, self.head = backbone, neck, proposer, head

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> tuple[Tensor, ...]:
        """`(B, 1, H, W)` normalised pixels to raw outputs, see the class."""
        large = functional.interpolate(pixels_BCHW, scale_factor=float(ENLARGE), mode="bilinear", align_corners=False)
        maps = self.neck(self.backbone(large), metadata)
        raw = self.proposer(maps)
        if self.training:
            return (*maps, *raw)
        height_px, width_px = large.shape[-2:]
        proposals_BK4 = self.proposer.proposals(raw, (height_px, width_px), _PROPOSALS, _CANDIDATES)
        logits_BK, boxes_BK4 = self.head(maps, proposals_BK4)
        return logits_BK, boxes_BK4 / ENLARGE

    def scored_boxes(self, raw: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Scores `(B, K)` and boxes `(B, K, 4)` of the proposals."""
        logits_BK, boxes_BK4 = raw
        return logits_BK.float().sigmoid(), boxes_BK4.float()

    def training_loss(self, raw: Tensor | tuple[Tensor, ...], truths: Sequence[BoxTruth]) -> Tensor:
        """Loss of proposals and of the head, which learns from the proposals of the moment."""
        assert isinstance(raw, tuple)
        num_maps = len(raw) // (1 + self.proposer.num_raw)
        maps, said = raw[:num_maps], raw[num_maps:]
        large = [BoxTruth(truth.boxes_M4 * ENLARGE, truth.ignored_K4 * ENLARGE) for truth in truths]
        size_px = (maps[0].shape[2] * STRIDES[0], maps[0].shape[3] * STRIDES[0])
        with torch.no_grad():
            proposals_BK4 = self.proposer.proposals(said, size_px, _PROPOSALS, _CANDIDATES_IN_TRAINING)
        loss: Tensor = self.proposer.loss(said, large) + self.head.loss(maps, proposals_BK4, large)
        return loss
