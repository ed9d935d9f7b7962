"""The one-row Arrow table between the read and the decode stage (they run fused, in one process).

Ray Data hands a block on at once only when it is one row, hence the lists inside one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from contracts.frame import RawRecord
from contracts.position import KafkaPosition, OffsetRange

_HEADER = pa.struct([("name", pa.string()), ("value", pa.binary())])
_RECORD = pa.struct(
    [
        ("offset", pa.int64()),
        ("timestamp_ms", pa.int64()),
        ("key", pa.binary()),
        ("value", pa.large_binary()),
        ("headers", pa.list_(_HEADER)),
        ("unusable", pa.string()),
    ]
)
RAW_SCHEMA = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("gap_stop", pa.int64()),
        ("sequence", pa.int64()),
        ("read_at", pa.timestamp("us", "UTC")),
        ("read_ms", pa.float64()),
        ("records", pa.list_(_RECORD)),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class RawBlock:
    """Records that one poll took from one partition; the fields are those of `contracts.block.FrameBlock`."""

    span: OffsetRange
    records: Sequence[RawRecord]
    gap_stop: int | None
    sequence: int
    read_at: datetime
    read_ms: float


def pack_raw(block: RawBlock) -> pa.Table:
    """One row with schema `RAW_SCHEMA`."""
    row = {
        "topic": block.span.topic,
        "partition": block.span.partition,
        "start": block.span.start,
        "stop": block.span.stop,
        "gap_stop": block.gap_stop,
        "sequence": block.sequence,
        "read_at": block.read_at,
        "read_ms": block.read_ms,
        "records": [_pack_record(record) for record in block.records],
    }
    return pa.Table.from_pylist([row], schema=RAW_SCHEMA)


def _pack_record(record: RawRecord) -> dict[str, object]:
    return {
        "offset": record.position.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": record.key,
        "value": record.value,
        "headers": [{"name": name, "value": value} for name, value in record.headers],
        "unusable": record.unusable,
    }


def unpack_raw(table: pa.Table) -> RawBlock:
    """Read the row back."""
    (row,) = table.to_pylist()
    topic, partition = row["topic"], row["partition"]
    return RawBlock(
        span=OffsetRange(topic, partition, row["start"], row["stop"]),
        records=[
            RawRecord(
                position=KafkaPosition(topic, partition, item["offset"]),
                key=item["key"],
                value=item["value"],
                headers=tuple((header["name"], header["value"]) for header in item["headers"]),
                timestamp_ms=item["timestamp_ms"],
                unusable=item["unusable"],
            )
            for item in row["records"]
        ],
        gap_stop=row["gap_stop"],
        sequence=row["sequence"],
        read_at=row["read_at"],
        read_ms=row["read_ms"],
    )
