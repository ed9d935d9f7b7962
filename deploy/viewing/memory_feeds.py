"""Feeds in memory: they stand in for Kafka and the table, and pass the same tests (tests/deploy/viewing/test_feeds.py)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from contracts.frame import RawRecord
from contracts.position import KafkaPosition, TopicPartition
from contracts.result import Gap, Outcome
from pipeline.kafka.memory_topic import Message


class MemoryLog:
    """Messages of topics in memory; may be added to from any thread."""

    def __init__(self) -> None:
        """No messages yet."""
        self.changed = threading.Condition()
        self.partitions: dict[TopicPartition, list[RawRecord]] = {}

    def append(self, topic: str, partition: int, messages: Iterable[Message]) -> None:
        """Produce."""
        with self.changed:
            mine = self.partitions.setdefault(TopicPartition(topic, partition), [])
            for key, value, headers, timestamp_ms in messages:
                mine.append(RawRecord(KafkaPosition(topic, partition, len(mine)), key, value, headers, timestamp_ms))
            self.changed.notify_all()


class MemoryTail:
    """A `Tail` of a `MemoryLog`."""

    def __init__(self, log: MemoryLog, topics: Iterable[str], backlog: int, most_behind: int = 2_000) -> None:
        """Stand near the ends; arguments as of `KafkaTail`."""
        self._log, self._topics = log, frozenset(topics)
        self._backlog, self._most_behind = backlog, most_behind
        self._at: dict[TopicPartition, int] = {}
        self.skipped = 0
        self._take(0)  # joins

    def poll(self, max_wait_s: float) -> list[RawRecord]:
        """See `Tail`."""
        with self._log.changed:
            if not (found := self._take()):
                self._log.changed.wait(max_wait_s)
                found = self._take()
        return found

    def end_offsets(self) -> dict[TopicPartition, int]:
        """See `Tail`."""
        with self._log.changed:
            return {each: len(records) for each, records in self._log.partitions.items() if each.topic in self._topics}

    def close(self) -> None:
        """Nothing to close."""

    def _take(self, most: int = 200) -> list[RawRecord]:
        found: list[RawRecord] = []
        for each, records in self._log.partitions.items():
            if each.topic not in self._topics:
                continue
            end = len(records)
            at = self._at.setdefault(each, max(0, end - self._backlog))
            found += records[at : at + most]
            at += len(records[at : at + most])
            if end - at > self._most_behind:
                self.skipped += end - self._backlog - at
                at = end - self._backlog
            self._at[each] = at
        return found


class MemoryRows:
    """A `RowFeed` whose rows are handed to it; may be added to from any thread."""

    def __init__(self) -> None:
        """No rows yet."""
        self._lock = threading.Lock()
        self._waiting: list[Outcome] = []
        self._next: dict[TopicPartition, int] = {}

    def append(self, outcomes: Iterable[Outcome]) -> None:
        """Make rows visible."""
        with self._lock:
            for each in outcomes:
                self._waiting.append(each)
                stop = each.stop if isinstance(each, Gap) else each.position.offset + 1
                self._next[each.position.topic_partition] = stop

    def poll(self) -> list[Outcome]:
        """See `RowFeed`."""
        with self._lock:
            found, self._waiting = self._waiting, []
        return found

    @property
    def next_offsets(self) -> Mapping[TopicPartition, int]:
        """See `RowFeed`."""
        with self._lock:
            return dict(self._next)
