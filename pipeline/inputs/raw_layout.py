"""The headers raw pixels need."""

from __future__ import annotations

from contracts.frame import ContentType, Pixels, RawLayout


def layout_of(pixels_HW: Pixels, content_type: ContentType) -> RawLayout | None:
    """Size and type of raw pixels; None for codecs that say it themselves."""
    if content_type is not ContentType.RAW:
        return None
    return RawLayout(width_px=pixels_HW.shape[1], height_px=pixels_HW.shape[0], dtype=pixels_HW.dtype.name)
