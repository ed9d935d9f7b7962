"""All that is known of one position of the log: its message, its row, and the commit and file that hold the row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from contracts.arrow import RESULTS_SCHEMA, table_to_outcomes
from contracts.frame import RawRecord
from contracts.position import KafkaPosition
from contracts.result import Outcome
from contracts.shadow_run import in_share
from pipeline.kafka.reader import GapFound, LogReader
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import end_offsets
from pipeline.table.delta import reading

_FETCH_WAIT_S = 5.0
_FILE = "__filename"
_CLEANED_UP = -2


Fetch = Callable[[KafkaPosition], tuple[RawRecord | None, bool]]


class Standing(StrEnum):
    """Rows of the table about one position."""

    ROW = "it has its row"
    WAITING = "no row yet: the table has not come this far"
    EMPTY = "no row, and there is no message: a transaction marker, an aborted or a compacted record"
    NOT_SHARED = "no row, and none is due: the shadow has a share of the frames, and this one is not of it"
    LOST = "no row although the table has passed it: run `irstream audit`"
    UNPROVED = "no row although the table has passed it; retention has deleted what stood there"


@dataclass(frozen=True, slots=True)
class TableFile:
    """Place of a row.

    Attributes:
        path: of the Parquet file, below the table.
        num_rows: rows of this position in the table, one unless something is wrong.
    """

    path: str
    num_rows: int


@dataclass(frozen=True, slots=True)
class TableCommit:
    """The commit that made a row visible.

    Attributes:
        version: of the Delta table.
        committed_at: by the clock of the process that wrote it.
        next_offset: of the partition, after this commit.
    """

    version: int
    committed_at: datetime
    next_offset: int


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """All that is known of one position of the log.

    Attributes:
        position: what is explained.
        run_id: whose row.
        standing: where it stands.
        watermark: first offset the table does not account for; None before the partition's first commit.
        outcome: the row.
        file: the file that holds it now (compaction moves rows).
        commit: that made it visible; None when the table's log no longer reaches that far back.
        message: what Kafka has there; None when there is nothing (any more).
    """

    position: KafkaPosition
    run_id: str
    standing: Standing
    watermark: int | None
    outcome: Outcome | None
    file: TableFile | None
    commit: TableCommit | None
    message: RawRecord | None


def explain(
    kafka: KafkaSettings, table: DeltaTable, run_id: str, position: KafkaPosition, fetch: Fetch | None = None, share: float = 1.0
) -> Explanation:
    """Ask the table and Kafka about one position.

    Args:
        kafka: where the message is (or was); the topic is that of the position.
        table: the results table; the handle is left at some older version.
        run_id: whose row.
        position: topic, partition, offset.
        fetch: gives the message, and whether it is gone for good; None: Kafka.
        share: of the positions that a shadow has rows for.

    Raises:
        RetryLater: Kafka or the object store does not answer.
        StopPipeline: no such topic or partition.
    """
    with reading(table):
        watermark = table.transaction_version(f"{run_id}/{position.topic_partition}")
        outcome, file = _find_row(table, run_id, position)
        commit = _find_commit(table, run_id, position) if outcome is not None else None
    message, gone = fetch_message(kafka, position) if fetch is None else fetch(position)
    return Explanation(
        position=position,
        run_id=run_id,
        standing=_standing(position, watermark, share, has_row=outcome is not None, has_message=message is not None, gone=gone),
        watermark=watermark,
        outcome=outcome,
        file=file,
        commit=commit,
        message=message,
    )


def _standing(position: KafkaPosition, watermark: int | None, share: float, *, has_row: bool, has_message: bool, gone: bool) -> Standing:
    if has_row:
        return Standing.ROW
    if not in_share(position, share):
        return Standing.NOT_SHARED
    if watermark is None or position.offset >= watermark:
        return Standing.WAITING
    if gone:
        return Standing.UNPROVED
    return Standing.LOST if has_message else Standing.EMPTY


def _find_row(table: DeltaTable, run_id: str, position: KafkaPosition) -> tuple[Outcome | None, TableFile | None]:
    offset, end = pc.field("source_offset"), pc.field("source_offset_end")
    mine = (pc.field("run_id") == run_id) & (pc.field("source_topic") == position.topic)
    mine &= pc.field("source_partition") == position.partition
    covers = (offset == position.offset) | ((offset < position.offset) & (end > position.offset))
    dataset = table.to_pyarrow_dataset()
    columns = [name for name in RESULTS_SCHEMA.names if name in dataset.schema.names]  # a table of an earlier version has fewer
    rows = dataset.scanner(columns=[*columns, _FILE], filter=mine & covers).to_table()
    if not rows.num_rows:
        return None, None
    (first, *_) = table_to_outcomes(rows.drop_columns([_FILE]).slice(0, 1))
    return first, TableFile(str(rows[_FILE][0]), rows.num_rows)


def _find_commit(table: DeltaTable, run_id: str, position: KafkaPosition) -> TableCommit | None:
    """The first version at which the partition stands beyond the offset, found by bisection."""
    app_id = f"{run_id}/{position.topic_partition}"
    first, last = 0, table.version()
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if _next_offset_at(table, middle, app_id) > position.offset else (middle + 1, last)
    next_offset = _next_offset_at(table, last, app_id)
    if next_offset <= position.offset or (last > 0 and _next_offset_at(table, last - 1, app_id) == _CLEANED_UP):
        return None
    table.load_as_version(last)
    # Of an older version deltalake 1.6 gives all newer entries too, newest first: the last is this version's, whatever number it bears.
    entry = table.history(1)[-1]
    return TableCommit(last, datetime.fromtimestamp(entry["timestamp"] / 1000, UTC), next_offset)


def _next_offset_at(table: DeltaTable, version: int, app_id: str) -> int:
    """Next offset at a version; -1 before the first commit of the partition, -2 where the table's log no longer reaches back."""
    try:
        table.load_as_version(version)
    except DeltaError:
        return _CLEANED_UP
    next_offset = table.transaction_version(app_id)
    return -1 if next_offset is None else int(next_offset)


def fetch_message(kafka: KafkaSettings, position: KafkaPosition) -> tuple[RawRecord | None, bool]:
    """The message of a position, and whether retention has deleted it.

    Raises:
        RetryLater: Kafka does not answer.
        StopPipeline: no such topic or partition.
    """
    if position.offset >= end_offsets(kafka, position.topic).get(position.topic_partition, 0):
        return None, False
    with LogReader(kafka, position.topic, position.partition, position.offset) as reader:
        try:
            records = reader.poll(1, _FETCH_WAIT_S)
        except GapFound:
            return None, True
    return (records[0] if records and records[0].position == position else None), False
