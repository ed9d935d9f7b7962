"""The auditor: reads the broker's log and the table, nothing else, and trusts neither the stream's code nor its counters.

Of an archive run it reads the range that was stored when the run began: every position of it must have exactly one row
(`audit_range`). Of a stream, for each partition, every record between the beginning of the log and the table's watermark must have
exactly one row (or lie in a gap row), and no row may lie beyond the watermark. Of a shadow, the same holds for the positions of its share,
and no other has a row. Offsets without a row are looked up in Kafka: those that
hold no record (transaction markers, aborted or compacted records) are no loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from contracts.archive_range import ArchiveRange, RangePartition
from contracts.arrow import Status
from contracts.errors import StopPipeline
from contracts.position import KafkaPosition, OffsetRange, TopicPartition
from contracts.shadow_run import in_share, offsets_in_share
from pipeline.kafka.reader import GapFound, LogReader
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import ClusterWatch, missing
from pipeline.ops.coverage import Spans, cover, num_offsets, restrict
from pipeline.table.delta import reading

_COLUMNS = ["source_topic", "source_partition", "source_offset", "source_offset_end", "status"]
_POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class PartitionAudit:
    """One partition: of a stream up to the table's watermark, of an archive its whole range.

    Attributes:
        partition: its number.
        log_start: first offset that Kafka still has, or of the range.
        log_end: offset after the last record a reader can reach, or of the range.
        watermark: offset after the last one the table accounts for; None before the first commit.
        ok: rows with a result.
        rejected: rows with a reason.
        gaps: offsets in gap rows.
        empty: offsets without a row that hold no record.
        lost: records without a row.
        doubled: offsets with a row too many, once for each.
        beyond: offsets of rows at or beyond the watermark: a restart would write them again; of a shadow, those outside its share, too.
        unproved: offsets without a row that retention has deleted since, so that nobody can say what they were.
    """

    partition: int
    log_start: int
    log_end: int
    watermark: int | None
    ok: int
    rejected: int
    gaps: int
    empty: int
    lost: tuple[OffsetRange, ...]
    doubled: tuple[OffsetRange, ...]
    beyond: tuple[OffsetRange, ...]
    unproved: tuple[OffsetRange, ...]

    @property
    def expected(self) -> int:
        """Positions that must have an outcome."""
        rows = self.ok + self.rejected + self.gaps
        return rows - sum(map(len, self.doubled)) - sum(map(len, self.beyond)) + sum(map(len, self.lost))

    @property
    def clean(self) -> bool:
        """Nothing lost, doubled, too far or beyond proof."""
        return not (self.lost or self.doubled or self.beyond or self.unproved)


def audit(
    kafka: KafkaSettings,
    table: DeltaTable,
    run_id: str,
    selected_offsets: Mapping[int, Sequence[int]] | None = None,
    share: float = 1.0,
) -> Iterator[PartitionAudit]:
    """Check every partition of `kafka.topic`, one after the other; a stream may go on writing meanwhile.

    Args:
        kafka: where the log is.
        table: one version of the results table; it is not brought up to date.
        run_id: whose rows.
        selected_offsets: for a run that fed selected offsets through again, these, ascending per partition: no others must have a row.
        share: of the positions that a shadow has rows for.

    Raises:
        SettingsError: no such topic.
        StopPipeline: the table's offsets are not those of this log: recreated, cut off, or another broker's.
        RetryLater: Kafka or the object store does not answer.
    """
    topic = kafka.topic
    with ClusterWatch(kafka) as watch:
        info = watch.find(topic)
        if info is None:
            raise missing(kafka, topic)
        ends, begins = watch.end_offsets(topic), watch.begin_offsets(topic)
    rows = _read_rows(table, run_id, topic)
    seen = {int(partition) for partition in pc.unique(rows["source_partition"]).to_pylist()}
    for partition in sorted(seen | set(info.partitions)):
        name = TopicPartition(topic, partition)
        watermark = table.transaction_version(f"{run_id}/{name}")
        if partition not in info.partitions:
            raise _not_this_log(name, f"partitions {list(info.partitions)}", f"rows of partition {partition}")
        if watermark is not None and table.transaction_version(f"{run_id}/{name}@{info.topic_id}") is None:
            raise _not_this_log(name, "the topic whose offsets the table holds", f"one with id {info.topic_id}: deleted and created again")
        if watermark is not None and watermark > ends[name]:
            raise _not_this_log(name, f"a log that reaches offset {watermark}, where the table stands", f"one that ends at {ends[name]}")
        mine = rows.filter(pc.equal(rows["source_partition"], partition))
        wanted = None if selected_offsets is None else selected_offsets.get(partition, ())
        yield _audit_partition(kafka, info.topic_id, name, mine, watermark, (begins[name], ends[name]), wanted, share)


def audit_range(kafka: KafkaSettings, table: DeltaTable, archive: ArchiveRange) -> Iterator[PartitionAudit]:
    """Check every partition of the range of an archive run, and that the run has no row beside it.

    Args:
        kafka: where the topic of the range is; not asked for an archive of files, nor where every offset has a row.
        table: one version of the results table; it is not brought up to date.
        archive: the range that was stored when the run began.

    Raises:
        StopPipeline: the table's offsets were counted in another topic, or the topic is not the one of the range any more.
        RetryLater: Kafka or the object store does not answer.
    """
    rows = _read_rows(table, archive.run_id, None)
    ours = pc.equal(rows["source_topic"], archive.topic)
    known = pc.is_in(rows["source_partition"], pa.array([each.number for each in archive.partitions], pa.int32()))
    strangers = rows.filter(pc.invert(pc.and_(ours, known)))
    for each in archive.partitions:
        name = TopicPartition(archive.topic, each.number)
        watermark = table.transaction_version(f"{archive.run_id}/{name}")
        if watermark is not None and table.transaction_version(f"{archive.run_id}/{name}@{archive.topic_id}") is None:
            raise _not_this_log(name, f"offsets counted in the range of run {archive.run_id}", "offsets of something else")
        mine = rows.filter(pc.and_(ours, pc.equal(rows["source_partition"], each.number)))
        yield _audit_range_partition(kafka, archive, each, mine, watermark)
    if strangers.num_rows:
        yield _strangers(archive, strangers)


def _audit_range_partition(
    kafka: KafkaSettings, archive: ArchiveRange, part: RangePartition, rows: pa.Table, watermark: int | None
) -> PartitionAudit:
    name = TopicPartition(archive.topic, part.number)
    starts = rows["source_offset"].to_numpy()
    stops = pc.fill_null(rows["source_offset_end"], pc.add(rows["source_offset"], 1)).to_numpy()
    covered = cover(starts, stops, part.start, part.stop)
    holes = covered.holes if part.selected is None else restrict(covered.holes, archive.selected_offsets[part.number])
    lost, unproved = (holes, []) if not archive.is_topic else find_records(kafka, archive.topic_id, name, holes)
    early = [(int(start), int(min(stop, part.start))) for start, stop in zip(starts, stops, strict=True) if start < part.start]
    status = rows["status"]
    is_gap = np.asarray(pc.equal(status, Status.GAP.value))
    return PartitionAudit(
        partition=part.number,
        log_start=part.start,
        log_end=part.stop,
        watermark=watermark,
        ok=_count(status, Status.OK),
        rejected=_count(status, Status.REJECTED),
        gaps=int((stops - starts)[is_gap].sum()),
        empty=num_offsets(holes) - num_offsets(lost) - num_offsets(unproved),
        lost=_ranges(name, lost),
        doubled=_ranges(name, covered.doubled),
        beyond=_ranges(name, [*early, *covered.outside]),
        unproved=_ranges(name, unproved),
    )


def _strangers(archive: ArchiveRange, rows: pa.Table) -> PartitionAudit:
    """Rows of the run in partitions that are none of its range."""
    topics, numbers, offsets = (rows[name].to_pylist() for name in ("source_topic", "source_partition", "source_offset"))
    spans = tuple(OffsetRange(topic, number, at, at + 1) for topic, number, at in zip(topics, numbers, offsets, strict=True))
    ok, rejected, gaps = (_count(rows["status"], status) for status in (Status.OK, Status.REJECTED, Status.GAP))
    return PartitionAudit(-1, 0, 0, None, ok, rejected, gaps, 0, (), (), spans, ())


def _read_rows(table: DeltaTable, run_id: str, topic: str | None) -> pa.Table:
    wanted = pc.field("run_id") == run_id
    if topic is not None:
        wanted &= pc.field("source_topic") == topic
    with reading(table, "Check network and credentials; if a file is missing, somebody deleted it from under the table."):
        return table.to_pyarrow_dataset().to_table(columns=_COLUMNS, filter=wanted)


def _audit_partition(
    kafka: KafkaSettings,
    topic_id: str,
    name: TopicPartition,
    rows: pa.Table,
    watermark: int | None,
    log: tuple[int, int],
    selected_offsets: Sequence[int] | None,
    share: float,
) -> PartitionAudit:
    status = rows["status"]
    starts = rows["source_offset"].to_numpy()
    stops = pc.fill_null(rows["source_offset_end"], pc.add(rows["source_offset"], 1)).to_numpy()
    is_gap = np.asarray(pc.equal(status, Status.GAP.value))
    log_start = log[0]
    first = int(starts.min(initial=log_start if selected_offsets is None else min(selected_offsets, default=log_start)))
    stop = first if watermark is None else watermark
    covered = cover(starts, stops, min(first, stop), stop)
    holes = covered.holes if selected_offsets is None else restrict(covered.holes, selected_offsets)
    strangers: Spans = []
    if share < 1:
        holes = offsets_in_share(name.topic, name.partition, holes, share)
        offsets = np.unique(starts[~is_gap]).tolist()
        strangers = [(each, each + 1) for each in offsets if not in_share(KafkaPosition(name.topic, name.partition, each), share)]
    lost, unproved = find_records(kafka, topic_id, name, holes)
    return PartitionAudit(
        partition=name.partition,
        log_start=log_start,
        log_end=log[1],
        watermark=watermark,
        ok=_count(status, Status.OK),
        rejected=_count(status, Status.REJECTED),
        gaps=int((stops - starts)[is_gap].sum()),
        empty=num_offsets(holes) - num_offsets(lost) - num_offsets(unproved),
        lost=_ranges(name, lost),
        doubled=_ranges(name, covered.doubled),
        beyond=_ranges(name, [*strangers, *covered.outside]),
        unproved=_ranges(name, unproved),
    )


def find_records(kafka: KafkaSettings, topic_id: str, name: TopicPartition, holes: Spans) -> tuple[Spans, Spans]:
    """Offsets of some ranges that hold a record, and those that retention has deleted.

    Args:
        kafka: where the log is.
        topic_id: of the topic the offsets belong to.
        name: the partition.
        holes: ascending ranges, all before the end of the log.

    Returns:
        Ranges of records, and ranges that are gone; at all other offsets there is none.

    Raises:
        StopPipeline, RetryLater: see `pipeline.kafka.reader.LogReader`.
    """
    found: Spans = []
    gone: Spans = []
    if not holes:
        return found, gone
    with LogReader(kafka, name.topic, name.partition, holes[0][0], topic_id) as reader:
        for start, stop in holes:
            if reader.position != start:
                reader.seek_to(start)
            while reader.position < stop:
                try:
                    records = reader.poll(min(500, stop - start), _POLL_S)
                except GapFound as gap:
                    gone.append((gap.start, min(gap.stop, stop)))
                    reader.seek_to(gap.stop)
                    continue
                for record in records:
                    _extend(found, record.position.offset, stop)
    return found, gone


def _extend(found: Spans, offset: int, stop: int) -> None:
    if offset >= stop:
        return
    if found and found[-1][1] == offset:
        found[-1] = (found[-1][0], offset + 1)
    else:
        found.append((offset, offset + 1))


def _count(status: pa.ChunkedArray, wanted: Status) -> int:
    return int(pc.sum(pc.equal(status, wanted.value)).as_py() or 0)


def _ranges(name: TopicPartition, spans: Sequence[tuple[int, int]]) -> tuple[OffsetRange, ...]:
    return tuple(OffsetRange(name.topic, name.partition, start, stop) for start, stop in spans)


def _not_this_log(name: TopicPartition, expected: str, got: str) -> StopPipeline:
    return StopPipeline(
        expected=expected,
        got=got,
        where=str(name),
        action="The table's offsets were not counted in this log: wrong broker, wrong topic, or lost data. Check address and topic.",
    )
