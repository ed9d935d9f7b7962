"""Losses, each with its formula and source; every one is a plain function of tensors.

Those of `SEGMENTATION_LOSSES` share one signature, so that a recipe names one: logits `(B, 1, H, W)` before sigmoid, targets
of the same shape (0 or 1), and weights of the same shape (0 at places nobody has labelled, else 1; None: all are labelled). In float32 or
float64: sums over an image do not fit into half precision (`training.tasks.deep_supervision.deep_supervision` hands them over so).
"""

from __future__ import annotations

from models.losses.boxes import giou_loss, linear_iou_loss
from models.losses.mixed import focal_iou_loss, focal_plus_iou_loss, segmentation_loss
from models.losses.overlap import dice_loss, soft_iou_loss
from models.losses.pixelwise import bce_loss, focal_loss, mean_focal_loss, threshold_focal_loss
from models.losses.registry import SEGMENTATION_LOSSES, SegmentationLoss, loss_named
from models.losses.scale_location import sd_loss, sls_loss

__all__ = [
    "SEGMENTATION_LOSSES",
    "SegmentationLoss",
    "bce_loss",
    "dice_loss",
    "focal_iou_loss",
    "focal_loss",
    "focal_plus_iou_loss",
    "giou_loss",
    "linear_iou_loss",
    "loss_named",
    "mean_focal_loss",
    "sd_loss",
    "segmentation_loss",
    "sls_loss",
    "soft_iou_loss",
    "threshold_focal_loss",
]
