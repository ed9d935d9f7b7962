"""Rows of the results table that are worth a second look, and their messages, fetched again by position."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import pyarrow.compute as pc
from deltalake import DeltaTable

from contracts.arrow import Status
from contracts.frame import RawRecord
from contracts.position import KafkaPosition
from pipeline.kafka.interfaces import PartitionReader
from pipeline.kafka.reader import GapFound, LogReader
from pipeline.kafka.selected_reader import SelectedReader
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import describe_topic
from pipeline.table.delta import reading

_SUPPRESSED = "detection_suppressed_by"
_COLUMNS = (
    "source_topic",
    "source_partition",
    "source_offset",
    "sensor_id",
    "captured_at",
    "width_px",
    "height_px",
    "detections",
    "models",
    _SUPPRESSED,
)
_POLL_S, _EMPTY_POLLS, _RECORDS = 5.0, 3, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChoice:
    """Rows that are wanted; all conditions hold.

    Attributes:
        sensors: ids; none: all.
        since: first moment of capture; None: from the beginning.
        until: end, exclusive; None: to the end.
    """

    sensors: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


def chosen_rows(table: DeltaTable, run_id: str, choice: RowChoice) -> Iterator[dict[str, Any]]:
    """Rows of frames that have a result, batch by batch in memory: position, sensor, size, detections and models.

    Each detection has its filter as `suppressed_by`; None where none keeps it out of the alerts.

    Args:
        table: the results.
        run_id: whose rows.
        choice: of them.

    Raises:
        RetryLater: the object store does not answer.
    """
    wanted = (pc.field("run_id") == run_id) & (pc.field("status") == Status.OK.value)
    if choice.sensors:
        wanted &= pc.field("sensor_id").isin(list(choice.sensors))
    if choice.since is not None:
        wanted &= pc.field("captured_at") >= choice.since
    if choice.until is not None:
        wanted &= pc.field("captured_at") < choice.until
    with reading(table):
        dataset = table.to_pyarrow_dataset()
        known = [name for name in _COLUMNS if name in dataset.schema.names]  # an older table has fewer
        for batch in dataset.scanner(columns=known, filter=wanted).to_batches():
            for row in batch.to_pylist():
                filters = row.pop(_SUPPRESSED, None) or [None] * len(row["detections"])
                row["detections"] = [each | {"suppressed_by": by} for each, by in zip(row["detections"], filters, strict=True)]
                place = KafkaPosition(row.pop("source_topic"), row.pop("source_partition"), row.pop("source_offset"))
                yield row | {"position": place}


class FrameLog(Protocol):
    """The log that positions point into."""

    def topic_id(self, topic: str) -> str:
        """Id of a topic as it is now.

        Raises:
            SettingsError: there is no such topic, or nobody answers.
        """
        ...

    def reader(self, topic: str, partition: int, offset: int) -> PartitionReader:
        """Reader that begins at an offset; errors as `LogReader`."""
        ...


class KafkaLog:
    """Kafka's own."""

    def __init__(self, kafka: KafkaSettings) -> None:
        """Nothing is asked yet."""
        self._kafka, self._ids = kafka, dict[str, str]()

    def topic_id(self, topic: str) -> str:
        """See `FrameLog`."""
        if topic not in self._ids:
            self._ids[topic] = describe_topic(self._kafka, topic).topic_id
        return self._ids[topic]

    def reader(self, topic: str, partition: int, offset: int) -> PartitionReader:
        """See `FrameLog`."""
        return LogReader(self._kafka, topic, partition, offset, self.topic_id(topic))


def fetch_again(log: FrameLog, positions: Iterable[KafkaPosition]) -> Iterator[RawRecord]:
    """Messages at some positions, each partition in order; those that retention or compaction has deleted are left out.

    Raises:
        RetryLater: Kafka does not answer.
        StopPipeline: no such topic or partition, or it was deleted and created again.
    """
    by_partition: dict[tuple[str, int], set[int]] = defaultdict(set)
    for each in positions:
        by_partition[each.topic, each.partition].add(each.offset)
    for (topic, partition), offsets in sorted(by_partition.items()):
        with closing(SelectedReader(log.reader(topic, partition, min(offsets)), sorted(offsets))) as reader:
            yield from _selected(reader, max(offsets))


def _selected(reader: PartitionReader, last: int) -> Iterator[RawRecord]:
    empty = 0
    while reader.position <= last and empty < _EMPTY_POLLS:
        before = reader.position
        try:
            yield from reader.poll(_RECORDS, _POLL_S)
        except GapFound as gap:
            reader.seek_to(gap.stop)
        empty = 0 if reader.position > before else empty + 1
