"""Fakes that pass the same suites as the real thing."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from contracts.errors import RetryLater, StopPipeline
from contracts.frame import RawRecord
from contracts.position import KafkaPosition, OffsetRange, TopicPartition
from contracts.result import Outcome
from pipeline.kafka.interfaces import Headers
from pipeline.table.beside import BesideRows, by_run, continued
from pipeline.table.results_table import CommitInfo
from pipeline.table.watermark import continue_from, require_outcomes_in_spans


@dataclass
class MemoryStorage:
    """What survives a crash; tables of several runs and processes share it."""

    rows: list[tuple[str, Outcome]] = field(default_factory=list)
    next_offsets: dict[tuple[str, TopicPartition], int] = field(default_factory=dict)
    topic_ids: dict[tuple[str, TopicPartition], str] = field(default_factory=dict)
    version: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class MemoryTable:
    """An `OutcomeTable` in memory."""

    def __init__(self, storage: MemoryStorage, run_id: str) -> None:
        self._storage = storage
        self._run_id = run_id

    def next_offsets(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        next_offsets = {partition: self._next_offset(TopicPartition(topic, partition)) for partition in partitions}
        return {partition: offset for partition, offset in next_offsets.items() if offset is not None}

    def append(
        self,
        outcomes: Sequence[Outcome],
        spans: Sequence[OffsetRange],
        topic_ids: Mapping[str, str],
        beside: Sequence[BesideRows] = (),
    ) -> CommitInfo:
        require_outcomes_in_spans(outcomes, spans)
        with self._storage.lock:
            following = continue_from({span.topic_partition: self._next_offset(span.topic_partition) for span in spans}, spans, "memory")
            for partition in following:
                topic_id = topic_ids.get(partition.topic)
                if topic_id is not None and self._storage.topic_ids.setdefault((self._run_id, partition), topic_id) != topic_id:
                    raise StopPipeline(expected="the same topic", got=topic_id, where="memory", action="Take another run_id.")
            self._storage.rows.extend((self._run_id, outcome) for outcome in outcomes)
            self._storage.next_offsets.update({(self._run_id, partition): offset for partition, offset in following.items()})
            for run_id, others in by_run(beside).items():
                stood = {each.span.topic_partition: self._storage.next_offsets.get((run_id, each.span.topic_partition)) for each in others}
                rows, moved = continued(others, stood.__getitem__)
                self._storage.rows.extend((run_id, row) for row in rows)
                self._storage.next_offsets.update({(run_id, partition): offset for partition, offset in moved.items()})
            self._storage.version += 1
            return CommitInfo(self._storage.version, len(outcomes), following, 0.0)

    def _next_offset(self, partition: TopicPartition) -> int | None:
        return self._storage.next_offsets.get((self._run_id, partition))


class MemoryProducer:
    """A producer and its topics in memory; passes the same tests as `SteadyProducer` with a real broker.

    Messages reach the log at `flush`, or at once with `instant`. While `away`, a broker that is down, they are taken and wait;
    above `room` messages they are refused, which the real one does after `max_outage_s`.
    """

    def __init__(self, *, instant: bool = False, room: float = math.inf) -> None:
        self.log: list[RawRecord] = []
        self.away = False
        self._instant = instant
        self._room = room
        self._pending: list[RawRecord] = []
        self._next_offsets: Counter[TopicPartition] = Counter()
        self._lock = threading.Lock()

    @property
    def acked(self) -> int:
        return len(self.log)

    @property
    def pending(self) -> int:
        return len(self._pending)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> None:
        with self._lock:
            if self.away and len(self._pending) >= self._room:
                raise self._no_answer()
            place = TopicPartition(topic, partition or 0)
            position = KafkaPosition(place.topic, place.partition, self._next_offsets[place])
            self._next_offsets[place] += 1
            self._pending.append(RawRecord(position, key, value, tuple(headers), timestamp_ms or 0))
            if self._instant and not self.away:
                self._deliver()

    def flush(self, timeout_s: float) -> None:
        assert timeout_s > 0
        with self._lock:
            if self.away and self._pending:
                raise self._no_answer()
            self._deliver()

    def _deliver(self) -> None:
        self.log.extend(self._pending)
        self._pending.clear()

    def _no_answer(self) -> RetryLater:
        return RetryLater(expected="a broker", got=f"{len(self._pending)} messages without answer", where="memory", action="Wait.")
