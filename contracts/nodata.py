"""Values of pixels that are no measurement, as text: header `ir_nodata`, key `nodata` of an index, GDAL's tag of a TIFF."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

NODATA_PATTERN = "[+-]?(nan|inf|([0-9]+([.][0-9]*)?|[.][0-9]+)(e[+-]?[0-9]+)?)"
"""One value, in lower case."""
MAX_NODATA = 8


def nodata_values(text: str) -> tuple[float, ...]:
    """The numbers of a list such as `-9999, nan`, each once.

    Raises:
        ValueError: what is expected.
    """
    words = [word.strip().lower() for word in text.split(",")]
    if len(words) > MAX_NODATA or not all(re.fullmatch(NODATA_PATTERN, word, re.ASCII) for word in words):
        raise ValueError(f"a number, nan or inf, or up to {MAX_NODATA} of them with commas between")
    # One object for NaN, which is equal to nothing but itself as an object: so that equal headers give equal values.
    return tuple(dict.fromkeys(math.nan if math.isnan(value) else value for value in map(float, words)))


def nodata_text(values: Iterable[float]) -> str:
    """The header's value from which `nodata_values` reads the same."""
    return ",".join(f"{value:.17g}" for value in values)
