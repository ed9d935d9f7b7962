"""Random contents of the contracts, for property tests."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from contracts.frame import Band, ContentType, FrameMeta, Platform, RawLayout
from contracts.headers import CONTRACT_HEADERS
from contracts.klv import UAS_LOCAL_SET

MICROSECOND = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis adds the zone
# What survives a wire that trims: no blanks at the ends, not empty, encodable.
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).map(str.strip).filter(bool)
HEADER_NAMES = TEXT.filter(lambda name: name.lower() not in CONTRACT_HEADERS)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
DTYPES = ("uint8", "uint16", "float32")


def pixels(dtype: str, bit_depth: int | None = None) -> st.SearchStrategy[NDArray[Any]]:
    """Frames from 8 to 40 px a side, with every count a bit depth allows."""
    shape = arrays.array_shapes(min_dims=2, max_dims=2, min_side=8, max_side=40)
    if dtype == "float32":
        elements: st.SearchStrategy[Any] = st.floats(width=32, allow_nan=False, allow_infinity=False)
    else:
        elements = st.integers(0, 2 ** (bit_depth or np.iinfo(dtype).bits) - 1)
    return arrays.arrays(np.dtype(dtype), shape, elements=elements)


@st.composite
def metas(draw: st.DrawFn) -> FrameMeta:
    """Any metadata that a message can carry."""
    content_type = draw(st.sampled_from(ContentType))
    side = st.integers(1, 10_000)
    layout = RawLayout(width_px=draw(side), height_px=draw(side), dtype=draw(st.sampled_from(DTYPES)))
    return FrameMeta(
        sensor_id=draw(TEXT),
        frame_id=draw(TEXT),
        frame_number=draw(st.none() | st.integers(0, 2**63 - 1)),
        captured_at=draw(MICROSECOND),
        platform=draw(st.sampled_from(Platform)),
        band=draw(st.sampled_from(Band)),
        bit_depth=draw(st.none() | st.integers(8, 16) | st.just(32)),
        content_type=content_type,
        raw_layout=layout if content_type is ContentType.RAW or draw(st.booleans()) else None,
        nodata=draw(st.lists(st.floats(), unique_by=repr, max_size=3).map(tuple)),
        klv=draw(st.none() | st.just(base64.b64encode(UAS_LOCAL_SET + b"\x00").decode())),
        headers={**draw(st.dictionaries(HEADER_NAMES, TEXT, max_size=4)), "ce_source": draw(TEXT)},
    )
