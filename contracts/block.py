"""A block: the micro-batch of frames that travels between processes as one Arrow row.

Ray Data emits a block downstream at once only when it is one row (reference: "block-as-row"), so a whole
micro-batch is packed into one row: an Arrow IPC stream of metadata plus one contiguous buffer of pixels. Unpacking
gives read-only views into shared memory; pixels are never copied.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.errors import RejectReason
from contracts.frame import Band, Frame, FrameMeta, Normalisation, Platform
from contracts.position import KafkaPosition, OffsetRange
from contracts.quality import Quality
from contracts.result import DeadLetter

BLOCK_SCHEMA = pa.schema([("meta", pa.binary()), ("pixels", pa.large_binary())])
_ALIGN = 64
_MOMENTS = ("ingested_at", "finished_at", "captured_at")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class FrameBlock:
    """Everything one read took from one partition.

    Attributes:
        span: the offsets this block accounts for, `[first, next)`; offsets in it without a frame, a rejection
            or a gap hold no record (transaction markers, compaction).
        frames: decoded frames in offset order.
        rejections: messages that cannot be used, in offset order.
        gap_stop: when set, `[span.start, gap_stop)` was deleted by retention before we read it.
        sequence: number of this block within its partition and generation, from 0.
        read_at: when the last record was polled.
        read_ms: processor time of reading, per record (waiting for messages is not counted).
        credit_bytes: message bytes its reader was charged for; credited when its rows are routed.
    """

    span: OffsetRange
    frames: tuple[Frame, ...]
    rejections: tuple[DeadLetter, ...]
    gap_stop: int | None
    sequence: int
    read_at: datetime
    read_ms: float
    credit_bytes: int


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // timedelta(microseconds=1)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def _required_moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def pack_block(block: FrameBlock) -> pa.Table:
    """Pack a block into a one-row table with schema `BLOCK_SCHEMA`."""
    placed: list[tuple[int, Frame]] = []
    size = 0
    for frame in block.frames:
        placed.append((size, frame))
        size += -(-(frame.pixels_HW.nbytes + _void_bytes(frame)) // _ALIGN) * _ALIGN
    pixels = np.empty(size, np.uint8)
    for start, frame in placed:
        stop = start + frame.pixels_HW.nbytes
        pixels[start:stop] = np.ascontiguousarray(frame.pixels_HW).reshape(-1).view(np.uint8)
        if frame.void_HW is not None:
            pixels[stop : stop + _void_bytes(frame)] = np.packbits(frame.void_HW)
    meta = {
        "span": [block.span.topic, block.span.partition, block.span.start, block.span.stop],
        "gap_stop": block.gap_stop,
        "sequence": block.sequence,
        "read_at": _micros(block.read_at),
        "read_ms": block.read_ms,
        "credit_bytes": block.credit_bytes,
        "frames": [_pack_frame(start, frame) for start, frame in placed],
        "rejections": [_pack_rejection(letter) for letter in block.rejections],
    }
    # `pa.array([memoryview])` leaks in pyarrow 26, so the array is built from its buffers.
    offsets = pa.py_buffer(np.array([0, size], np.int64))
    column = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(pixels)])
    return pa.table([pa.array([json.dumps(meta).encode()], pa.binary()), column], schema=BLOCK_SCHEMA)


def _void_bytes(frame: Frame) -> int:
    """Bytes of the void pixels, one bit each, which lie behind the pixels; none where no pixel is void."""
    return 0 if frame.void_HW is None else -(-frame.void_HW.size // 8)


def unpack_block(table: pa.Table) -> FrameBlock:
    """Read a one-row table back; pixels are read-only views into its buffer.

    Raises:
        ValueError: not one row with schema `BLOCK_SCHEMA`.
    """
    if table.num_rows != 1 or table.schema.names != BLOCK_SCHEMA.names:
        raise ValueError(f"expected one row with columns {BLOCK_SCHEMA.names}, got {table.num_rows} rows with {table.schema.names}")
    meta = json.loads(table.column("meta")[0].as_py())
    buffer = _pixel_bytes(table.column("pixels"))
    span = OffsetRange(*meta["span"])
    return FrameBlock(
        span=span,
        frames=tuple(_unpack_frame(item, span, buffer) for item in meta["frames"]),
        rejections=tuple(_unpack_rejection(item, span) for item in meta["rejections"]),
        gap_stop=meta["gap_stop"],
        sequence=meta["sequence"],
        read_at=_required_moment(meta["read_at"]),
        read_ms=meta["read_ms"],
        credit_bytes=meta["credit_bytes"],
    )


def _pixel_bytes(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """Bytes of the one value, read-only and in place: the scalar `column[0]` would be a copy of them all."""
    chunk = next(chunk for chunk in column.chunks if len(chunk))
    _, offsets, data = chunk.buffers()
    start, stop = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + 2]
    buffer = np.frombuffer(data, np.uint8)[start:stop]
    buffer.flags.writeable = False
    return buffer


def _pack_frame(start: int, frame: Frame) -> dict[str, object]:
    return {
        "offset": frame.position.offset,
        "meta": frame.meta.model_dump(mode="json", exclude={"captured_at"}),
        "captured_at": _micros(frame.meta.captured_at),
        "start": start,
        "dtype": frame.pixels_HW.dtype.name,
        "shape": list(frame.pixels_HW.shape),
        "bit_depth": frame.bit_depth,
        "mean": frame.normalisation.mean,
        "scale": frame.normalisation.scale,
        "ingested_at": _micros(frame.ingested_at),
        "decode_ms": frame.decode_ms,
        "has_void": frame.void_HW is not None,
        "quality": [fault.value for fault in frame.quality],
    }


def _unpack_frame(item: dict[str, Any], span: OffsetRange, buffer: NDArray[np.uint8]) -> Frame:
    dtype = np.dtype(item["dtype"])
    height_px, width_px = item["shape"]
    start = item["start"]
    num_px = height_px * width_px
    stop = start + num_px * dtype.itemsize
    pixels_HW = buffer[start:stop].view(dtype).reshape(height_px, width_px)
    void_HW = None
    if item["has_void"]:
        void_HW = np.unpackbits(buffer[stop : stop - (-num_px // 8)], count=num_px).astype(bool).reshape(height_px, width_px)
    return Frame(
        position=KafkaPosition(span.topic, span.partition, item["offset"]),
        meta=FrameMeta(**item["meta"], captured_at=_required_moment(item["captured_at"])),
        pixels_HW=pixels_HW,
        bit_depth=item["bit_depth"],
        normalisation=Normalisation(item["mean"], item["scale"]),
        ingested_at=_required_moment(item["ingested_at"]),
        decode_ms=item["decode_ms"],
        void_HW=void_HW,
        quality=tuple(Quality(fault) for fault in item["quality"]),
    )


def _pack_rejection(letter: DeadLetter) -> dict[str, object]:
    packed = {field.name: getattr(letter, field.name) for field in fields(letter) if field.name != "position"}
    packed |= {name: _micros(packed[name]) for name in _MOMENTS}
    return packed | {"offset": letter.position.offset}


def _unpack_rejection(item: dict[str, Any], span: OffsetRange) -> DeadLetter:
    plain = item | {name: _moment(item[name]) for name in _MOMENTS}
    offset, reason, platform, band = (plain.pop(name) for name in ("offset", "reason", "platform", "band"))
    return DeadLetter(
        position=KafkaPosition(span.topic, span.partition, offset),
        reason=RejectReason(reason),
        platform=Platform(platform),
        band=Band(band),
        **plain,
    )
