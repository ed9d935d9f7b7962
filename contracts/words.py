"""The words in which people say where a camera is and which band it sees, as the contract's own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from contracts.frame import Band, Platform

PLATFORM_WORDS: Mapping[str, Platform] = MappingProxyType(
    {
        **{platform.value: platform for platform in Platform},
        **dict.fromkeys(("uav", "drone", "aircraft", "airborne", "plane"), Platform.AIR),
        **dict.fromkeys(("ship", "vehicle", "ground", "mast", "tower"), Platform.LAND),
        **dict.fromkeys(("satellite", "orbit"), Platform.SPACE),
    }
)
BAND_WORDS: Mapping[str, Band] = MappingProxyType({band.value: band for band in Band})


def platform_named(word: object) -> Platform:
    """The platform of a word, whatever its case; `unknown` for any other value."""
    return PLATFORM_WORDS.get(word.strip().lower(), Platform.UNKNOWN) if isinstance(word, str) else Platform.UNKNOWN


def band_named(word: object) -> Band:
    """The band of a word, whatever its case; `unknown` for any other value."""
    return BAND_WORDS.get(word.strip().lower(), Band.UNKNOWN) if isinstance(word, str) else Band.UNKNOWN
