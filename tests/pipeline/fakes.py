"""Fakes that pass the same suites as the real thing."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from contracts.errors import RetryLater, StopPipeline
from contracts.position import OffsetRange, TopicPartition
from contracts.result import Outcome
from pipeline.offsets import continue_from
from pipeline.sink import CommitInfo, require_outcomes_in_spans


@dataclass
class MemoryStorage:
    """What survives a crash; tables of several runs and processes share it."""

    rows: list[tuple[str, Outcome]] = field(default_factory=list)
    stands: dict[tuple[str, TopicPartition], int] = field(default_factory=dict)
    topic_ids: dict[tuple[str, TopicPartition], str] = field(default_factory=dict)
    version: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class MemoryTable:
    """An `OutcomeTable` in memory."""

    def __init__(self, storage: MemoryStorage, run_id: str) -> None:
        self._storage = storage
        self._run_id = run_id

    def next_offsets(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        stands = {partition: self._stand(TopicPartition(topic, partition)) for partition in partitions}
        return {partition: offset for partition, offset in stands.items() if offset is not None}

    def append(self, outcomes: Sequence[Outcome], spans: Sequence[OffsetRange], topic_ids: Mapping[str, str]) -> CommitInfo:
        require_outcomes_in_spans(outcomes, spans)
        with self._storage.lock:
            following = continue_from({span.topic_partition: self._stand(span.topic_partition) for span in spans}, spans, "memory")
            for partition in following:
                topic_id = topic_ids.get(partition.topic)
                if topic_id is not None and self._storage.topic_ids.setdefault((self._run_id, partition), topic_id) != topic_id:
                    raise StopPipeline(expected="the same topic", got=topic_id, where="memory", action="Take another run_id.")
            self._storage.rows.extend((self._run_id, outcome) for outcome in outcomes)
            self._storage.stands.update({(self._run_id, partition): offset for partition, offset in following.items()})
            self._storage.version += 1
            return CommitInfo(self._storage.version, len(outcomes), following, 0.0)

    def _stand(self, partition: TopicPartition) -> int | None:
        return self._storage.stands.get((self._run_id, partition))


@dataclass(frozen=True)
class Message:
    """A message somebody has sent."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class MemoryProducer:
    """A `Producer` in memory: messages reach the log at `flush`, or at once with `instant`; `away` is a broker that is down."""

    def __init__(self, *, instant: bool = False) -> None:
        self.log: list[Message] = []
        self.away = False
        self._instant = instant
        self._pending: list[Message] = []
        self._lock = threading.Lock()

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> None:
        with self._lock:
            if self.away:
                raise self._no_answer()
            self._pending.append(Message(topic, key, value, tuple(headers)))
            if self._instant:
                self._deliver()

    def flush(self, timeout_s: float) -> None:
        with self._lock:
            if self.away and self._pending:
                raise self._no_answer()
            self._deliver()

    def _deliver(self) -> None:
        self.log.extend(self._pending)
        self._pending.clear()

    def _no_answer(self) -> RetryLater:
        return RetryLater(expected="a broker", got="silence", where="memory", action="Wait.")
