"""A block survives the way between processes bit by bit, without copying pixels."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from contracts.block import BLOCK_SCHEMA, FrameBlock, pack_block, unpack_block
from contracts.errors import RejectReason
from contracts.frame import Band, ContentType, Frame, FrameMeta, Normalisation, Platform
from contracts.position import KafkaPosition, OffsetRange
from contracts.quality import Quality
from contracts.result import DeadLetter
from tests.contracts.strategies import DTYPES, MICROSECOND, TEXT, metas, pixels

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def frames(draw: st.DrawFn, position: KafkaPosition) -> Frame:
    pixels_HW = draw(st.sampled_from(DTYPES).flatmap(pixels))
    void_HW = draw(st.none() | arrays(bool, pixels_HW.shape))
    return Frame(
        position=position,
        meta=draw(metas()),
        pixels_HW=pixels_HW,
        void_HW=void_HW,
        quality=tuple(draw(st.lists(st.sampled_from(Quality), max_size=2))),
        bit_depth=draw(st.sampled_from([8, 12, 16, 32])),
        normalisation=Normalisation(draw(FINITE), draw(FINITE)),
        ingested_at=draw(MICROSECOND),
        decode_ms=draw(FINITE),
    )


@st.composite
def dead_letters(draw: st.DrawFn, position: KafkaPosition) -> DeadLetter:
    return DeadLetter(
        position=position,
        reason=draw(st.sampled_from(RejectReason)),
        detail=draw(st.text()),
        ingested_at=draw(MICROSECOND),
        finished_at=draw(MICROSECOND),
        sensor_id=draw(st.none() | TEXT),
        frame_id=draw(st.none() | TEXT),
        frame_number=draw(st.none() | st.integers(0, 2**63 - 1)),
        captured_at=draw(st.none() | MICROSECOND),
        platform=draw(st.sampled_from(Platform)),
        band=draw(st.sampled_from(Band)),
        headers=draw(st.dictionaries(TEXT, st.text(), max_size=3)),
        width_px=draw(st.none() | st.integers(1, 10_000)),
        height_px=draw(st.none() | st.integers(1, 10_000)),
        bit_depth=draw(st.none() | st.integers(8, 16)),
    )


@st.composite
def blocks(draw: st.DrawFn) -> FrameBlock:
    start = draw(st.integers(0, 2**62))
    kinds = draw(st.lists(st.sampled_from(["frame", "rejection", "nothing"]), max_size=4))
    positions = [KafkaPosition("frames", 5, start + index) for index in range(len(kinds))]
    return FrameBlock(
        span=OffsetRange("frames", 5, start, start + len(kinds)),
        frames=tuple(draw(frames(position)) for position, kind in zip(positions, kinds, strict=True) if kind == "frame"),
        rejections=tuple(draw(dead_letters(position)) for position, kind in zip(positions, kinds, strict=True) if kind == "rejection"),
        gap_stop=draw(st.none() | st.integers(0, 2**62)),
        sequence=draw(st.integers(0, 2**40)),
        read_at=draw(MICROSECOND),
        read_ms=draw(FINITE),
        credit_bytes=draw(st.integers(0, 2**40)),
    )


def assert_equal(got: FrameBlock, sent: FrameBlock) -> None:
    for name in ("span", "rejections", "gap_stop", "sequence", "read_at", "read_ms", "credit_bytes"):
        assert getattr(got, name) == getattr(sent, name), name
    assert len(got.frames) == len(sent.frames)
    for mine, theirs in zip(got.frames, sent.frames, strict=True):
        for name in ("position", "meta", "bit_depth", "normalisation", "ingested_at", "decode_ms"):
            assert getattr(mine, name) == getattr(theirs, name), name
        assert mine.pixels_HW.dtype == theirs.pixels_HW.dtype
        np.testing.assert_array_equal(mine.pixels_HW, theirs.pixels_HW)
        assert mine.quality == theirs.quality
        assert (mine.void_HW is None) is (theirs.void_HW is None)
        np.testing.assert_array_equal(mine.void_HW, theirs.void_HW)


@pytest.mark.slow
@given(block=blocks())
def test_round_trip(block: FrameBlock) -> None:
    assert_equal(unpack_block(pack_block(block)), block)


@pytest.mark.slow
@given(block=blocks())
def test_round_trip_through_arrow_ipc(block: FrameBlock) -> None:
    """As between Ray processes: the table is serialised and read back from one buffer."""
    assert_equal(unpack_block(pa.ipc.open_stream(sent_as_stream(pack_block(block))).read_all()), block)


def sent_as_stream(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, BLOCK_SCHEMA) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("received", [False, True], ids=["packed here", "received from another process"])
def test_pixels_are_aligned_read_only_views(received: bool) -> None:
    """Unpacking costs no copy, whatever the size of the frames."""
    table = pack_block(block_of(3))
    if received:
        table = pa.ipc.open_stream(sent_as_stream(table)).read_all()
    buffer = np.frombuffer(table.column("pixels").chunk(0).buffers()[2], np.uint8)
    for frame in unpack_block(table).frames:
        assert np.shares_memory(frame.pixels_HW, buffer)
        assert (_address(frame.pixels_HW) - _address(buffer)) % 64 == 0
        with pytest.raises(ValueError, match="read-only"):
            frame.pixels_HW[0, 0] = 1


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def test_a_row_in_the_middle_of_a_table_is_unpacked() -> None:
    """Slices and chunked tables share buffers with rows that are not theirs."""
    tables = [pack_block(block_of(num)) for num in (1, 2, 3)]
    whole = pa.concat_tables(tables).combine_chunks()
    assert_equal(unpack_block(whole.slice(1, 1)), block_of(2))
    assert_equal(unpack_block(pa.concat_tables(tables).slice(2, 1)), block_of(3))


def test_strided_pixels_are_packed_as_they_look() -> None:
    block = block_of(2, step=2)
    assert_equal(unpack_block(pack_block(block)), block)


def test_other_tables_are_refused() -> None:
    table = pack_block(block_of(1))
    with pytest.raises(ValueError, match="expected one row"):
        unpack_block(pa.concat_tables([table, table]))
    with pytest.raises(ValueError, match="expected one row"):
        unpack_block(table.rename_columns(["meta", "images"]))


def block_of(num_frames: int, step: int = 1) -> FrameBlock:
    """A block of 12-bit frames of odd size."""
    meta = FrameMeta(sensor_id="cam-1", frame_id="7", captured_at=NOW, content_type=ContentType.PNG)
    pixels_HW = np.arange(33 * 47, dtype=np.uint16).reshape(33, 47)[::step, ::step]
    frames = tuple(
        Frame(KafkaPosition("frames", 0, 7 + at), meta, pixels_HW + at, 12, Normalisation(1.0, 2.0), NOW) for at in range(num_frames)
    )
    return FrameBlock(OffsetRange("frames", 0, 7, 7 + num_frames), frames, (), None, 0, NOW, 0.5, 9)
