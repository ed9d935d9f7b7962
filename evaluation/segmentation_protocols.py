"""Ways to count the metrics of small-target segmentation: ours, and those of published code bases.

The default protocol says what is right; the variants of the published code bases are there by name, only to compare with
their tables. What they do differently (read in their sources):

- *matching*: all of them match greedily in raster order, so that Pd depends on where a blob lies; MTU-Net lets several
  predictions share one target.
- *false alarms*: DNANet, SCTransNet, MSHNet, MRF3Net, MTU-Net, PANPEIWEN's framework and EGPNet drop every unmatched region
  whose *area* equals that of any matched region of the image, so their Fa is only a lower bound: a hit of 4 px with two false
  alarms of 4 px counts 0 px instead of 8. EGPNet also divides by 512 x 512 pixels an image, whatever the size of the image.
- *distance*: most ask for less than 3 px between centroids, MRF3Net's code for less than 1, MTU-Net for less than half the
  target's equivalent diameter.
- *nIoU*: an image without target and prediction counts as 0 there; MTU-Net averages over targets; what EGPNet prints as nIoU is
  its IoU once more.
- *threshold*: none of this module, which is given masks; EGPNet's test takes a pixel from logit 0.5 (probability 0.62) on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Matching(StrEnum):
    """Rules by which predicted regions and targets are matched."""

    OPTIMAL = "optimal"  # as many pairs as possible, and of those the closest
    GREEDY = "greedy"  # each target in raster order takes the first prediction in reach
    SHARED = "shared"  # each prediction takes the first target in reach, also one already taken


class FalseAlarm(StrEnum):
    """Rules for the pixels that count as false alarms."""

    UNMATCHED = "unmatched"  # those of predicted regions without a target
    AREA_VALUE = "area_value"  # the same, less regions as large as any matched one: the published mistake
    FALSE_PIXELS = "false_pixels"  # every predicted pixel outside the targets


class NormalisedIoU(StrEnum):
    """Rules for the images, or targets, that nIoU is the mean over."""

    IMAGES = "images"  # images with a target or a prediction: an empty answer to an empty image has no IoU
    ALL_IMAGES = "all_images"  # the same, and an empty answer to an empty image counts as 0
    TARGETS = "targets"  # targets: IoU of the matched pair, 0 where missed
    PIXELS = "pixels"  # nothing: the IoU of all pixels once more


@dataclass(frozen=True, slots=True)
class Protocol:
    """One way to count.

    Attributes:
        max_distance: centroids must be closer than this (strictly).
        in_diameters: `max_distance` counts in equivalent diameters of the target instead of pixels.
        fa_image_px: pixels that every image counts as in the denominator of Fa; None for those it has.
    """

    matching: Matching = Matching.OPTIMAL
    false_alarm: FalseAlarm = FalseAlarm.UNMATCHED
    niou: NormalisedIoU = NormalisedIoU.IMAGES
    max_distance: float = 3.0
    in_diameters: bool = False
    fa_image_px: int | None = None

    def __post_init__(self) -> None:
        """Refuse a reach in which nothing can lie."""
        if not self.max_distance > 0:
            raise ValueError(f"expected max_distance > 0, got {self.max_distance}")
        if self.fa_image_px is not None and self.fa_image_px < 1:
            raise ValueError(f"expected fa_image_px of at least 1, got {self.fa_image_px}")


_GREEDY = Protocol(matching=Matching.GREEDY, niou=NormalisedIoU.ALL_IMAGES)
_BY_AREA = Protocol(matching=Matching.GREEDY, niou=NormalisedIoU.ALL_IMAGES, false_alarm=FalseAlarm.AREA_VALUE)

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "default": Protocol(),
        "basicirstd": _GREEDY,  # since January 2024; before, like dnanet
        "dnanet": _BY_AREA,
        "sctransnet": _BY_AREA,
        "mshnet": _BY_AREA,
        "panpeiwen": _BY_AREA,
        "egpnet": Protocol(Matching.GREEDY, FalseAlarm.AREA_VALUE, NormalisedIoU.PIXELS, fa_image_px=512 * 512),
        "mrf3net": Protocol(Matching.GREEDY, FalseAlarm.AREA_VALUE, NormalisedIoU.ALL_IMAGES, max_distance=1.0),
        "mtunet": Protocol(Matching.SHARED, FalseAlarm.AREA_VALUE, NormalisedIoU.TARGETS, max_distance=0.5, in_diameters=True),
        "survey_eq6": Protocol(matching=Matching.GREEDY, false_alarm=FalseAlarm.FALSE_PIXELS, niou=NormalisedIoU.ALL_IMAGES),
    }
)
