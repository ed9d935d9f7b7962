"""Faults of a frame that was decoded whole: the words of column `quality` and of the setting `preprocess.reject_quality`."""

from __future__ import annotations

from enum import StrEnum


class Quality(StrEnum):
    """One fault.

    Attributes:
        HOT_PIXELS: hot or dead pixels, alone or two together, far beyond the scene.
        TELEMETRY: rows at the top or bottom that hold numbers, no light.
        WRAPPED: the picture begins somewhere in the middle: a seam as sharp as no optics draw, and edges that fit together.
        SATURATED: a share of the pixels has the largest count that the sensor knows.
        FLAT: no scene: all pixels differ by less than a count.
        FROZEN: the same picture again, from a sensor whose numbers or times move on.
    """

    HOT_PIXELS = "hot_pixels"
    TELEMETRY = "telemetry"
    WRAPPED = "wrapped"
    SATURATED = "saturated"
    FLAT = "flat"
    FROZEN = "frozen"
