"""The words in which people say where a camera is, which band it sees and how counts are stored, as the contract's own.

The tables are documented in docs/frame-message.md, which a test holds against them. Case, blanks, `-` and `_` do not matter.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from contracts.errors import SettingsError
from contracts.frame import Band, ContentType, Platform

_AIR = ("uav", "uas", "rpas", "drone", "quadcopter", "aircraft", "airborne", "aerial", "plane", "airplane", "helicopter", "balloon")
_LAND = ("ground", "vehicle", "car", "truck", "ship", "boat", "vessel", "sea", "maritime", "mast", "tower", "building", "handheld", "fixed")
_SPACE = ("satellite", "orbit", "spaceborne")
_NOTHING = ("none", "n/a", "null", "undefined")
PLATFORM_WORDS: Mapping[str, Platform] = MappingProxyType(
    {
        **{platform.value: platform for platform in Platform},
        **dict.fromkeys(_AIR, Platform.AIR),
        **dict.fromkeys(_LAND, Platform.LAND),
        **dict.fromkeys(_SPACE, Platform.SPACE),
        **dict.fromkeys(_NOTHING, Platform.UNKNOWN),
    }
)
BAND_WORDS: Mapping[str, Band] = MappingProxyType(
    {
        **{band.value: band for band in Band},
        **dict.fromkeys(("nearinfrared", "nearir"), Band.NIR),
        **dict.fromkeys(("shortwave", "shortwaveinfrared", "shortwaveir"), Band.SWIR),
        **dict.fromkeys(("midwave", "midwaveinfrared", "midwaveir", "midinfrared", "3to5um", "3-5um"), Band.MWIR),
        **dict.fromkeys(("longwave", "longwaveinfrared", "longwaveir", "tir", "8to12um", "8to14um", "8-12um", "8-14um"), Band.LWIR),
        **dict.fromkeys(_NOTHING, Band.UNKNOWN),
    }
)
DTYPE_WORDS: Mapping[str, str] = MappingProxyType(
    {
        **{dtype: dtype for dtype in ("uint8", "uint16", "float32")},
        **dict.fromkeys(("u1", "<u1", "|u1", "mono8", "gray8", "y8"), "uint8"),
        **dict.fromkeys(("u2", "<u2", "uint16le", "mono16", "gray16le", "y16"), "uint16"),
        **dict.fromkeys(("f4", "<f4", "float32le"), "float32"),
    }
)
CONTENT_TYPE_WORDS: Mapping[str, ContentType] = MappingProxyType(
    {
        **{kind.value: kind for kind in ContentType},
        **dict.fromkeys(("image/x-png", "png"), ContentType.PNG),
        **dict.fromkeys(("image/jpg", "image/pjpeg", "jpeg", "jpg"), ContentType.JPEG),
        **dict.fromkeys(("image/tif", "image/x-tiff", "image/geotiff", "tiff", "tif"), ContentType.TIFF),
        **dict.fromkeys(("application/npy", "application/x-numpy", "npy"), ContentType.NPY),
    }
)
_T = TypeVar("_T")


def meaning(words: Mapping[str, _T], word: str) -> _T | None:
    """The meaning of a word, whatever its case and the blanks, `-` and `_` in it; None for any other."""
    said = word.strip().lower()
    if said in words:
        return words[said]
    plain = _plain(said)
    return next((found for each, found in words.items() if _plain(each) == plain), None)


def _plain(word: str) -> str:
    return re.sub(r"[\s_-]+", "", word).replace("\u00b5", "u").replace("\u03bc", "u")


def platform_named(word: object) -> Platform:
    """The platform of a word; `unknown` for any other value."""
    return (meaning(PLATFORM_WORDS, word) if isinstance(word, str) else None) or Platform.UNKNOWN


def band_named(word: object) -> Band:
    """The band of a word; `unknown` for any other value."""
    return (meaning(BAND_WORDS, word) if isinstance(word, str) else None) or Band.UNKNOWN


def required_meaning(words: Mapping[str, _T], word: str, where: str) -> _T:
    """The meaning of a word that a person chose.

    Args:
        words: the table.
        word: as it was written.
        where: the option or setting.

    Raises:
        SettingsError: the table does not have it.
    """
    found = meaning(words, word)
    if found is not None:
        return found
    names = {str(value): value for value in words.values()}
    close = difflib.get_close_matches(word.strip().lower(), words, n=1)
    raise SettingsError(
        expected=f"one of {', '.join(names)}, or a usual word for one",
        got=repr(word),
        where=where,
        action=f"Did you mean {close[0]!r}?" if close else "Use one of these.",
    )
