"""Losses of segmenters by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Protocol

from torch import Tensor

from contracts.choices import chosen
from models.losses.mixed import focal_iou_loss, focal_plus_iou_loss, segmentation_loss
from models.losses.overlap import dice_loss, soft_iou_loss
from models.losses.pixelwise import bce_loss, mean_focal_loss, threshold_focal_loss
from models.losses.scale_location import sd_loss, sls_loss


class SegmentationLoss(Protocol):
    """Signature of a loss that a recipe can name."""

    def __call__(self, logits_B1HW: Tensor, targets_B1HW: Tensor, *, weights_B1HW: Tensor | None = None) -> Tensor:
        """Scalar with gradient."""
        ...


SEGMENTATION_LOSSES: Mapping[str, SegmentationLoss] = MappingProxyType(
    {
        "soft_iou": soft_iou_loss,
        "soft_iou_batch": partial(soft_iou_loss, over="batch"),
        "dice": dice_loss,
        "bce": bce_loss,
        "focal": mean_focal_loss,
        "focal_plus_iou": focal_plus_iou_loss,
        "focal_iou": focal_iou_loss,
        "threshold_focal": threshold_focal_loss,
        "sls": sls_loss,
        "sd": sd_loss,
        "soft_iou_bce": segmentation_loss,
    }
)


def loss_named(name: str) -> SegmentationLoss:
    """The loss of a name.

    Raises:
        SettingsError: there is none; the text lists those that exist.
    """
    return chosen(SEGMENTATION_LOSSES, name, "`loss`")
