"""Records survive the way from the read to the decode stage."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from contracts.frame import RawRecord
from contracts.position import KafkaPosition, OffsetRange
from pipeline.ingest.raw_block import RAW_SCHEMA, RawBlock, pack_raw, unpack_raw

headers = st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=8)), max_size=4).map(tuple)
records = st.builds(
    RawRecord,
    position=st.integers(0, 2**62).map(lambda offset: KafkaPosition("frames", 3, offset)),
    key=st.none() | st.binary(max_size=8),
    value=st.none() | st.binary(max_size=64),
    headers=headers,
    timestamp_ms=st.integers(-1, 2**42),
)


def as_tuple(record: RawRecord) -> tuple[object, ...]:
    return (record.position, record.key, record.value, record.headers, record.timestamp_ms)


@given(st.lists(records, max_size=4), st.none() | st.integers(0, 2**40))
def test_packed_and_unpacked_is_the_same(items: list[RawRecord], gap_stop: int | None) -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    span = OffsetRange("frames", 3, 0, 2**62 + 1)
    table = pack_raw(RawBlock(span, items, gap_stop, 7, moment, 1.25))
    assert table.num_rows == 1, "more than one row and Ray Data hands on one frame at a time"
    assert table.schema == RAW_SCHEMA
    back = unpack_raw(table)
    assert [as_tuple(record) for record in back.records] == [as_tuple(record) for record in items]
    assert (back.span, back.gap_stop, back.sequence, back.read_at, back.read_ms) == (span, gap_stop, 7, moment, 1.25)
