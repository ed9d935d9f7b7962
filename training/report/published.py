"""Figures of segmenters that others printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Published:
    """A figure that others printed: IoU in percent, and where."""

    iou: float
    source: str


PUBLISHED: Mapping[tuple[str, str], tuple[Published, ...]] = MappingProxyType(
    {
        ("acm", "nudt-sirst"): (Published(64.86, "BasicIRSTD"), Published(60.75, "SGEM U-Net's paper, of 1.54 M")),
        ("acm", "irstd-1k"): (Published(60.33, "BasicIRSTD"),),
        ("alcnet", "nudt-sirst"): (Published(61.13, "BasicIRSTD"), Published(81.60, "SGEM U-Net's paper, of unknown code")),
        ("alcnet", "irstd-1k"): (Published(58.09, "BasicIRSTD"),),
        ("rdian", "nudt-sirst"): (Published(82.42, "BasicIRSTD"),),
        ("rdian", "irstd-1k"): (Published(59.94, "BasicIRSTD"),),
        ("mshnet", "nudt-sirst"): (Published(80.55, "its authors, resized to 256²"),),
        ("mshnet", "irstd-1k"): (Published(67.16, "its paper, resized to 256²"),),
        ("dnanet", "nudt-sirst"): (Published(94.19, "BasicIRSTD"), Published(86.57, "SGEM U-Net's paper")),
        ("dnanet", "irstd-1k"): (Published(65.74, "BasicIRSTD"),),
        ("uiunet", "nudt-sirst"): (Published(90.52, "BasicIRSTD"), Published(85.83, "SGEM U-Net's paper")),
        ("uiunet", "irstd-1k"): (Published(65.69, "BasicIRSTD"),),
        ("sgem_unet", "nudt-sirst"): (Published(87.64, "its paper"),),
    }
)
"""By network and data set; official splits, 400 to 1,500 epochs on a GPU; MSHNet's with the epoch that is best on the test images."""
