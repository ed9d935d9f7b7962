"""The newest messages of topics in Kafka: joins near their end, and jumps ahead where it cannot keep up."""

from __future__ import annotations

import time
from collections.abc import Sequence

import kafka
from kafka.errors import KafkaError, OffsetOutOfRangeError

from contracts.frame import RawRecord
from contracts.position import KafkaPosition, TopicPartition
from pipeline.kafka.client import connect_consumer, while_running
from pipeline.kafka.settings import KafkaSettings

_MOST_RECORDS = 200
_LOOK_S = 5.0


class KafkaTail:
    """A `Tail` of all partitions of some topics, by one connection. Topics and partitions that come later are noticed."""

    def __init__(self, settings: KafkaSettings, topics: Sequence[str], backlog: int, most_behind: int = 2_000) -> None:
        """Connect and stand near the ends.

        Args:
            settings: where Kafka is.
            topics: of which; one that does not exist (yet) is left out.
            backlog: so many offsets before the end of each partition come first.
            most_behind: further behind the end, a partition goes on `backlog` offsets before it.

        Raises:
            RetryLater: no answer.
            StopPipeline: not allowed to.
        """
        self._settings, self._topics = settings, tuple(topics)
        self._backlog, self._most_behind = backlog, most_behind
        self._where = f"reading the end of {', '.join(topics)}"
        self._looked_at = 0.0
        self._assigned: set[kafka.TopicPartition] = set()
        self.skipped = 0
        try:
            self._consumer = connect_consumer(settings)
            self._look()
        except KafkaError as error:
            raise while_running(settings, error, self._where) from error

    def poll(self, max_wait_s: float) -> list[RawRecord]:
        """See `Tail`."""
        try:
            if time.monotonic() - self._looked_at > _LOOK_S:
                self._look()
            if not self._assigned:
                time.sleep(max_wait_s)
                return []
            found = self._consumer.poll(timeout_ms=round(max_wait_s * 1000), max_records=_MOST_RECORDS)
            self._jump()
        except OffsetOutOfRangeError:
            self._join(self._assigned)  # retention, or another topic of this name
            return []
        except KafkaError as error:
            raise while_running(self._settings, error, self._where) from error
        return [
            RawRecord(KafkaPosition(each.topic, each.partition, each.offset), each.key, each.value, tuple(each.headers), each.timestamp)
            for records in found.values()
            for each in records
        ]

    def end_offsets(self) -> dict[TopicPartition, int]:
        """See `Tail`."""
        if not self._assigned:
            return {}
        try:
            ends = self._consumer.end_offsets(list(self._assigned), timeout_ms=self._settings.probe_timeout_ms)
        except KafkaError as error:
            raise while_running(self._settings, error, self._where) from error
        return {TopicPartition(each.topic, each.partition): int(offset) for each, offset in ends.items()}

    def close(self) -> None:
        """See `Tail`."""
        self._consumer.close(autocommit=False, timeout_ms=1000)

    def _look(self) -> None:
        """Take up partitions that were added."""
        self._looked_at = time.monotonic()
        there = {
            kafka.TopicPartition(topic, number) for topic in self._topics for number in self._consumer.partitions_for_topic(topic) or ()
        }
        if there == self._assigned:
            return
        stands = {each: self._consumer.position(each, timeout_ms=self._settings.probe_timeout_ms) for each in self._assigned & there}
        self._consumer.assign(sorted(there))
        for each, offset in stands.items():
            self._consumer.seek(each, offset)
        new, self._assigned = there - self._assigned, there
        self._join(new)

    def _join(self, partitions: set[kafka.TopicPartition]) -> None:
        if not partitions:
            return
        wanted, timeout_ms = list(partitions), self._settings.probe_timeout_ms
        begins = self._consumer.beginning_offsets(wanted, timeout_ms=timeout_ms)
        for each, end in self._consumer.end_offsets(wanted, timeout_ms=timeout_ms).items():
            self._consumer.seek(each, max(begins[each], end - self._backlog))

    def _jump(self) -> None:
        """A viewer wants the newest: what it cannot keep up with is stepped over."""
        for each in self._assigned:
            end = self._consumer.highwater(each)
            if end is None:
                continue
            at = self._consumer.position(each, timeout_ms=self._settings.probe_timeout_ms)
            if end - at > self._most_behind:
                self._consumer.seek(each, end - self._backlog)
                self.skipped += end - self._backlog - at
