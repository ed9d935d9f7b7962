"""A topic in memory: what a reader and a watch of Kafka see of it, and sentinels that make things go wrong at one place.

It stands in for Kafka where a test or a trial wants a stream without a broker; `MemoryReader` passes the tests of `LogReader`,
`MemoryTopic` those of `ClusterWatch` (tests/pipeline/kafka/test_topic_contract.py).
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeAlias

from contracts.errors import RetryLater, SettingsError, StopPipeline
from contracts.frame import RawRecord
from contracts.position import KafkaPosition, TopicPartition
from pipeline.kafka.reader import GapFound
from pipeline.kafka.topics import TopicInfo, recreated


class Sentinel(enum.Enum):
    """Happens when a reader gets there: once, but for `DAMAGE`, which stays. Takes up no offset."""

    CRASH = "the worker of the read task dies"
    REPLAY = "the worker dies, and the read task is started a second time"
    EOF = "the read task ends without a word, although there is more to read"
    DROP = "the block with the next record gets lost on its way"
    STALL = "no data until `go_on`, although there is more to read"
    DAMAGE = "what is stored here cannot be read"


CRASH: Final = Sentinel.CRASH
REPLAY: Final = Sentinel.REPLAY
EOF: Final = Sentinel.EOF
DROP: Final = Sentinel.DROP
STALL: Final = Sentinel.STALL
DAMAGE: Final = Sentinel.DAMAGE


class Message(NamedTuple):
    """A message as a producer gives it; `timestamp_ms` is Kafka's, Unix time."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int = 0


# None: an offset without a record, as transaction markers leave it.
Item: TypeAlias = Message | Sentinel | None


class Interruption(Exception):  # noqa: N818 - a stroke of fate that a sentinel asks for, not an error of the reader
    """A reader has met a sentinel that ends its task."""

    def __init__(self, sentinel: Sentinel) -> None:
        """End a task with the sentinel that was met."""
        super().__init__(sentinel)
        self.sentinel = sentinel


class _Partition:
    def __init__(self) -> None:
        self.begin = 0
        self.messages: list[Message | None] = []
        self.sentinels: dict[int, list[Sentinel]] = {}
        self.stalled = False

    def append(self, items: Iterable[Item]) -> None:
        for item in items:
            if isinstance(item, Sentinel):
                self.sentinels.setdefault(len(self.messages), []).append(item)
            else:
                self.messages.append(item)


class MemoryTopic:
    """Partitions in memory; every method may be called from any thread."""

    def __init__(self, partitions: Mapping[int, Iterable[Item]], *, name: str = "frames", topic_id: str = "memory-1") -> None:
        """A topic with these partitions.

        Args:
            partitions: what each holds, in log order; sentinels take up no offset.
            name: of the topic.
            topic_id: another one is another topic.
        """
        self.name = name
        self.topic_id: str | None = topic_id
        self.away = False
        self.hinted: dict[TopicPartition, int] = {}
        self._changed = threading.Condition()
        self._partitions: dict[int, _Partition] = {}
        for number, items in partitions.items():
            self.append(number, items)

    def append(self, partition: int, items: Iterable[Item]) -> None:
        """Produce; a partition that does not exist yet is added."""
        with self._changed:
            self._partitions.setdefault(partition, _Partition()).append(items)
            self._changed.notify_all()

    def delete_before(self, partition: int, offset: int) -> None:
        """Delete records as retention does."""
        with self._changed:
            self._partitions[partition].begin = offset
            self._changed.notify_all()

    def recreate(self, topic_id: str | None) -> None:
        """Delete the topic; with an id, create another one of this name and size."""
        with self._changed:
            self.topic_id = topic_id
            self._partitions = {number: _Partition() for number in self._partitions}
            self._changed.notify_all()

    def go_on(self) -> None:
        """End every `STALL` that was met; harmless where there is none."""
        with self._changed:
            for found in self._partitions.values():
                found.stalled = False
            self._changed.notify_all()

    def take_drop(self, partition: int, start: int, stop: int) -> bool:
        """True when a `DROP` lies in `[start, stop)`; once for each."""
        with self._changed:
            dropped = self._partitions[partition].sentinels
            for offset in range(start, stop):
                if DROP in dropped.get(offset, ()):
                    dropped[offset].remove(DROP)
                    return True
        return False

    def read(self, partition: int, topic_id: str, at: int, max_records: int, max_wait_s: float) -> tuple[list[RawRecord], int]:
        """Records from offset `at` on and the offset behind them; errors as `PartitionReader.poll`."""
        deadline = time.monotonic() + max_wait_s
        with self._changed:
            while True:
                self._require_readable(topic_id)
                found = self._partitions[partition]
                if at < found.begin:
                    raise GapFound(at, found.begin)
                records, behind = self._take(partition, found, at, max_records)
                left_s = deadline - time.monotonic()
                if behind > at or left_s <= 0:
                    return records, behind
                self._changed.wait(left_s)

    def _take(self, number: int, found: _Partition, at: int, max_records: int) -> tuple[list[RawRecord], int]:
        records: list[RawRecord] = []
        while len(records) < max_records and not found.stalled:
            waiting = [each for each in found.sentinels.get(at, ()) if each is not DROP]
            if waiting and records:
                break  # what comes before it is handed over first
            if waiting:
                if waiting[0] is DAMAGE:
                    raise _damaged(KafkaPosition(self.name, number, at))
                found.sentinels[at].remove(waiting[0])
                if waiting[0] is not STALL:
                    raise Interruption(waiting[0])
                found.stalled = True
                break
            if at >= len(found.messages):
                break
            message = found.messages[at]
            if message is not None:
                position = KafkaPosition(self.name, number, at)
                records.append(RawRecord(position, message.key, message.value, message.headers, message.timestamp_ms))
            at += 1
        return records, at

    def _require_readable(self, topic_id: str | None = None) -> None:
        if self.away:
            raise RetryLater(expected="an answer", got="none", where=f"topic {self.name} in memory", action="It comes back by itself.")
        if topic_id is not None and topic_id != self.topic_id:
            raise recreated(self.name, topic_id, self.topic_id)

    # The questions of `ClusterWatch`; the context manager closes nothing.

    def __enter__(self) -> Self:
        """For one question or several."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to close."""

    def find(self, topic: str) -> TopicInfo | None:
        """As `ClusterWatch.find`."""
        with self._changed:
            self._require_readable()
            if topic != self.name or self.topic_id is None:
                return None
            return TopicInfo(self.topic_id, tuple(sorted(self._partitions)))

    def verify(self, topic: str, topic_id: str) -> None:
        """As `ClusterWatch.verify`."""
        found = self.find(topic)
        if found is None or found.topic_id != topic_id:
            raise recreated(topic, topic_id, None if found is None else found.topic_id)

    def begin_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """As `ClusterWatch.begin_offsets`."""
        self._require(topic)
        with self._changed:
            return {TopicPartition(topic, number): found.begin for number, found in sorted(self._partitions.items())}

    def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """As `ClusterWatch.end_offsets`."""
        self._require(topic)
        with self._changed:
            return {TopicPartition(topic, number): len(found.messages) for number, found in sorted(self._partitions.items())}

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[TopicPartition, int]:
        """As `ClusterWatch.offsets_at`."""
        self._require(topic)
        with self._changed:
            found = {}
            for number, partition in sorted(self._partitions.items()):
                young = (
                    at for at, each in enumerate(partition.messages) if each and at >= partition.begin and each.timestamp_ms >= timestamp_ms
                )
                found[TopicPartition(topic, number)] = next(young, len(partition.messages))
            return found

    def hint(self, offsets: Mapping[TopicPartition, int]) -> None:
        """As `ClusterWatch.hint`; kept in `hinted`."""
        self.hinted |= offsets

    def _require(self, topic: str) -> None:
        if self.find(topic) is None:
            raise SettingsError(
                expected=f"a topic named {topic}", got="none of this name", where="topics in memory", action="Check the spelling."
            )


class MemoryReader:
    """Reads one partition of a `MemoryTopic` in order."""

    def __init__(self, topic: MemoryTopic, partition: int, start_offset: int, topic_id: str | None = None) -> None:
        """Begin at `start_offset`; arguments and errors as `LogReader`."""
        self._topic = topic
        self._partition = partition
        self._topic_id = topic_id or topic.topic_id or ""
        self._at = start_offset
        topic.verify(topic.name, self._topic_id)

    @property
    def position(self) -> int:
        """Next offset to read."""
        return self._at

    def seek_to(self, offset: int) -> None:
        """Continue at another offset."""
        self._at = offset

    def poll(self, max_records: int, max_wait_s: float) -> list[RawRecord]:
        """The next records in offset order, as soon as there are any; none after `max_wait_s`. Errors as `LogReader.poll`.

        Raises:
            Interruption: a sentinel ends the task.
        """
        records, self._at = self._topic.read(self._partition, self._topic_id, self._at, max_records, max_wait_s)
        return records

    def close(self) -> None:
        """Nothing to close."""


def _damaged(position: KafkaPosition) -> StopPipeline:
    return StopPipeline(
        expected="a stored batch that can be read",
        got="damage",
        where=f"{position.topic_partition} at offset {position.offset}",
        action="Delete the records up to it, or restore them.",
    )
