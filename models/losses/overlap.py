"""Losses of overlap: how much of target and answer lie on each other, whatever their size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Over = Literal["sample", "batch"]


@dataclass(frozen=True, slots=True, eq=False)
class Masses:
    """Sums over the known pixels, per sample `(B,)` or of the batch `(1,)`.

    Attributes:
        predicted: sum of the probabilities P.
        true: number of target pixels Y.
        both: sum of P * Y.
    """

    predicted: Tensor
    true: Tensor
    both: Tensor

    @classmethod
    def of(cls, probabilities_B1HW: Tensor, targets_B1HW: Tensor, weights_B1HW: Tensor | None = None, over: Over = "sample") -> Masses:
        """Sum up; what has weight 0 is in no sum."""
        if weights_B1HW is not None:
            probabilities_B1HW, targets_B1HW = probabilities_B1HW * weights_B1HW, targets_B1HW * weights_B1HW
        parts = (probabilities_B1HW, targets_B1HW, probabilities_B1HW * targets_B1HW)
        sums = [part.flatten(1).sum(1) for part in parts]
        return cls(*sums) if over == "sample" else cls(*(each.sum(0, keepdim=True) for each in sums))

    def iou(self, smooth: float) -> Tensor:
        """`(both + s) / (predicted + true - both + s)`."""
        return (self.both + smooth) / (self.predicted + self.true - self.both + smooth)


def soft_iou_loss(
    logits_B1HW: Tensor,
    targets_B1HW: Tensor,
    smooth: float = 1.0,
    weights_B1HW: Tensor | None = None,
    over: Over = "sample",
) -> Tensor:
    """One minus soft intersection over union: `1 - (s + sum PY) / (s + sum P + sum Y - sum PY)`.

    Args:
        logits_B1HW: `(B, 1, H, W)` before sigmoid.
        targets_B1HW: `(B, 1, H, W)`, 0 or 1.
        smooth: s; keeps empty crops finite and gives them a gradient. SGEM U-Net's paper (eq. 4) has none: 0/0 on empty crops.
        weights_B1HW: 0 at places nobody has labelled, else 1; None: all are labelled.
        over: `sample` averages over the samples, so that an image with a 9 px target weighs as much as one with 900 px
            (AGPCNet, RDIAN, MSHNet); `batch` has one ratio for all pixels of the batch (ACM, DNANet, BasicIRSTD).

    Returns:
        Scalar in [0, 1].

    Source: Rahman and Wang 2016, as used by Dai et al. 2021 (ACM); the survey of docs/losses.md, eq. 1.
    """
    return (1 - Masses.of(logits_B1HW.sigmoid(), targets_B1HW, weights_B1HW, over).iou(smooth)).mean()


def dice_loss(
    logits_B1HW: Tensor,
    targets_B1HW: Tensor,
    smooth: float = 1.0,
    weights_B1HW: Tensor | None = None,
    over: Over = "sample",
) -> Tensor:
    """One minus soft Dice: `1 - (2 sum PY + s) / (sum P + sum Y + s)`.

    MSHNet's code has `sum P + sum Y + sum PY` below the line, with which a perfect mask costs a third instead of nothing.

    Args:
        logits_B1HW: `(B, 1, H, W)` before sigmoid.
        targets_B1HW: `(B, 1, H, W)`, 0 or 1.
        smooth: s; keeps empty crops finite and gives them a gradient.
        weights_B1HW: 0 at places nobody has labelled, else 1; None: all are labelled.
        over: as in `soft_iou_loss`.

    Returns:
        Scalar in [0, 1].

    Source: Milletari et al. 2016, arXiv:1606.04797, with sums in place of sums of squares, as is usual since.
    """
    masses = Masses.of(logits_B1HW.sigmoid(), targets_B1HW, weights_B1HW, over)
    return (1 - (2 * masses.both + smooth) / (masses.predicted + masses.true + smooth)).mean()
