"""Blocks of frames as the stream makes them: packed, read-only, normalised by the one preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.block import FrameBlock, pack_block
from contracts.frame import Band, ContentType, Frame, FrameMeta, Platform
from contracts.position import KafkaPosition, OffsetRange
from models.normalisation import measure

Target = tuple[int, int, int, int]


def scene(height_px: int, width_px: int, targets: Sequence[Target] = (), *, dtype: str = "uint16", seed: int = 0) -> NDArray[Any]:
    """Faint noise with bright rectangles `(y, x, height, width)`."""
    rng = np.random.default_rng(seed)
    top = {"uint8": 200, "uint16": 12_000, "float32": 50.0}[dtype]
    pixels_HW = rng.normal(top / 10, top / 200, (height_px, width_px))
    for y, x, height, width in targets:
        pixels_HW[y : y + height, x : x + width] = top
    return pixels_HW.astype(dtype)


def frame_of(pixels_HW: NDArray[Any], offset: int = 0, platform: Platform = Platform.UNKNOWN, band: Band = Band.UNKNOWN) -> Frame:
    """A decoded frame."""
    bit_depth = {"uint8": 8, "uint16": 14, "float32": 32}[pixels_HW.dtype.name]
    return Frame(
        position=KafkaPosition("frames", 0, offset),
        meta=FrameMeta(
            sensor_id="cam",
            frame_id=str(offset),
            captured_at=datetime.now(UTC),
            content_type=ContentType.NPY,
            platform=platform,
            band=band,
        ),
        pixels_HW=pixels_HW,
        bit_depth=bit_depth,
        normalisation=measure(pixels_HW, bit_depth),
        ingested_at=datetime.now(UTC),
    )


def block_of(frames: Sequence[Frame]) -> pa.Table:
    """The table an actor is called with: like everything from the object store, views into memory nobody may write to."""
    span = OffsetRange("frames", 0, 0, max(1, len(frames)))
    table = pack_block(FrameBlock(span, tuple(frames), (), None, 0, datetime.now(UTC), 0.0, 0))
    frozen = [pa.py_buffer(table.column("pixels")[0].as_buffer().to_pybytes())]
    offsets = pa.py_buffer(np.array([0, frozen[0].size], np.int64))
    column = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, *frozen])
    return table.set_column(1, table.schema.field(1), column)


def block_of_scenes(scenes: Sequence[NDArray[Any]]) -> pa.Table:
    """Frames with offsets 0, 1, ..."""
    return block_of([frame_of(pixels_HW, offset) for offset, pixels_HW in enumerate(scenes)])
