"""Classical filters for small targets behind the interface of segmenters: a floor for every table, and for those who trust nothing learnt.

Nothing in them learns. A filter answers each pixel with how much it stands out; how unusual that is among the pixels of the frame becomes
a score: with `z` the response above the frame's median, in deviations (a normal distribution's, read off the 95th percentile, since most
responses are one-sided), the score is `z^2 / (z^2 + h^2)`, one half at `h` deviations. It rises with the response and says how
unusual a pixel is in its frame; it is no probability.

Tiles of frames over 1,024 px are compared with themselves.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional

from models.interface import InputSpec, MetadataBatch
from models.segmentation.base import SegmentationModel
from models.zoo import register_model

_HIGH_SHARE = 0.95
_HIGH_DEVIATIONS = 1.645
"""Of a normal distribution 95 % lie below this many deviations."""
_LEAST_DEVIATION = 0.01
"""In units of the frame's scale: a response that is the same nearly everywhere must not be blown up."""
_LEAST_Z = 0.1
"""Nearer to the median nothing is told apart: logarithms of rounding errors."""


class ClassicalFilter(SegmentationModel):
    """A filter whose response becomes a score; see the module.

    Attributes:
        half_at: deviations of the response at which the score is one half; the only thing its weights hold.
    """

    input_spec = InputSpec(size_multiple_px=1)
    learns = False
    half_at: Tensor

    def __init__(self, half_at: float) -> None:
        """Know the scale of the scores."""
        super().__init__()
        self.register_buffer("half_at", torch.tensor(half_at))

    @abstractmethod
    def response(self, pixels_B1HW: Tensor) -> Tensor:
        """Height by which each pixel stands out, `(B, 1, H, W)`, in any unit: scores compare it with the rest of the frame."""

    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
        """Normalised pixels to logits of scores."""
        response_B1HW = self.response(pixels_BCHW.float())
        responses_BN = response_B1HW.flatten(1)
        num = responses_BN.shape[1]
        middle_B1 = responses_BN.kthvalue((num + 1) // 2, dim=1, keepdim=True).values
        high_B1 = responses_BN.kthvalue(max(round(num * _HIGH_SHARE), 1), dim=1, keepdim=True).values
        deviation_B1 = ((high_B1 - middle_B1) / _HIGH_DEVIATIONS).clamp(min=_LEAST_DEVIATION)
        z_BN = ((responses_BN - middle_B1) / deviation_B1).clamp(min=_LEAST_Z)
        logits_BN = 2 * (z_BN / self.half_at).log()  # of z^2 / (z^2 + h^2)
        return logits_BN.reshape(response_B1HW.shape)


@register_model("top_hat")
class TopHat(ClassicalFilter):
    """Light that an opening takes away: bright things that do not hold a square of 9 px."""

    paper = "Tom et al., Morphology-based algorithm for point target detection in infrared backgrounds, SPIE 1993 (white top-hat, 9 px)"
    SIDE_PX = 9

    def __init__(self) -> None:
        """Choose the scale of the scores."""
        super().__init__(half_at=8.0)

    def response(self, pixels_B1HW: Tensor) -> Tensor:
        """Pixels less their opening by a square."""
        eroded = -_largest(-pixels_B1HW, self.SIDE_PX)
        return pixels_B1HW - _largest(eroded, self.SIDE_PX)


@register_model("mpcm")
class LocalContrast(ClassicalFilter):
    """Patches that differ from all their eight neighbours the same way, bright or dark, at four sizes."""

    paper = "Wei, You, Li, Multiscale patch-based contrast measure for small infrared target detection, Pattern Recognition 2016 (MPCM)"
    SIDES_PX = (3, 5, 7, 9)

    def __init__(self) -> None:
        """Choose the scale of the scores."""
        super().__init__(half_at=16.0)

    def response(self, pixels_B1HW: Tensor) -> Tensor:
        """Root of the largest patch contrast of all sizes: in units of the frame's scale, not of their squares as in the paper."""
        return torch.stack([self._contrast(pixels_B1HW, side_px) for side_px in self.SIDES_PX]).amax(0).clamp(min=0).sqrt()

    @staticmethod
    def _contrast(pixels_B1HW: Tensor, side_px: int) -> Tensor:
        """Smallest product of the differences to two opposite neighbours."""
        means = _mean(pixels_B1HW, side_px)
        height_px, width_px = means.shape[2:]
        wide = functional.pad(means, (side_px,) * 4, mode="replicate")

        def less_neighbour(down: int, right: int) -> Tensor:
            top, left = side_px * (1 + down), side_px * (1 + right)
            return means - wide[:, :, top : top + height_px, left : left + width_px]

        pairs = ((-1, -1), (-1, 0), (-1, 1), (0, 1))
        return torch.stack([less_neighbour(down, right) * less_neighbour(-down, -right) for down, right in pairs]).amin(0)


@register_model("rx")
class LocalRx(ClassicalFilter):
    """Distance of each pixel from its surroundings, in their own standard deviations (Mahalanobis, one band), bright or dark."""

    paper = "Reed, Yu, Adaptive multiple-band CFAR detection of an optical pattern with unknown spectral distribution, TASSP 1990 (RX)"
    GUARD_PX, AROUND_PX = 9, 25

    def __init__(self) -> None:
        """Choose the scale of the scores."""
        super().__init__(half_at=6.0)

    def response(self, pixels_B1HW: Tensor) -> Tensor:
        """Distance to the mean of a square ring, over its deviation."""
        ones = torch.ones_like(pixels_B1HW)
        count, total, squares = (
            _sum(each, self.AROUND_PX) - _sum(each, self.GUARD_PX) for each in (ones, pixels_B1HW, pixels_B1HW.square())
        )
        count = count.clamp(min=1)  # a frame that the guard fills has no surroundings
        mean = total / count
        deviation = (squares / count - mean.square()).clamp(min=_LEAST_DEVIATION**2).sqrt()
        return (pixels_B1HW - mean).abs() / deviation


def _largest(x_B1HW: Tensor, side_px: int) -> Tensor:
    reach = side_px // 2
    rows = functional.max_pool2d(x_B1HW, (side_px, 1), stride=1, padding=(reach, 0))
    return functional.max_pool2d(rows, (1, side_px), stride=1, padding=(0, reach))


def _mean(x_B1HW: Tensor, side_px: int, zeros_count: bool = False) -> Tensor:
    reach = side_px // 2
    rows = functional.avg_pool2d(x_B1HW, (side_px, 1), stride=1, padding=(reach, 0), count_include_pad=zeros_count)
    return functional.avg_pool2d(rows, (1, side_px), stride=1, padding=(0, reach), count_include_pad=zeros_count)


def _sum(x_B1HW: Tensor, side_px: int) -> Tensor:
    """Sums of squares of pixels, those beyond the border counting as 0."""
    return _mean(x_B1HW, side_px, zeros_count=True) * side_px**2
