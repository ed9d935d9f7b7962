"""Positions in a Kafka log, and half-open ranges of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class TopicPartition:
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        """`topic/partition`, as people and the Delta transaction ids write it."""
        return f"{self.topic}/{self.partition}"


@dataclass(frozen=True, slots=True, order=True)
class KafkaPosition:
    """One message: topic, partition, offset."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """`topic/partition/offset`, the public spelling (`irstream explain`, alert ids)."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition this message stands in."""
        return TopicPartition(self.topic, self.partition)

    @classmethod
    def parse(cls, text: str) -> KafkaPosition:
        """Read `topic/partition/offset`.

        Raises:
            ValueError: not three parts, or partition or offset is no number >= 0.
        """
        parts = text.rsplit("/", 2)
        if len(parts) != 3 or not parts[0] or not all(part.isascii() and part.isdigit() for part in parts[1:]):
            raise ValueError(f"expected TOPIC/PARTITION/OFFSET such as frames/0/17, got {text!r}")
        return cls(parts[0], int(parts[1]), int(parts[2]))


@dataclass(frozen=True, slots=True, order=True)
class OffsetRange:
    """Half-open range `[start, stop)` of one partition."""

    topic: str
    partition: int
    start: int
    stop: int

    def __post_init__(self) -> None:
        """Refuse a range that runs backwards."""
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"expected 0 <= start <= stop, got [{self.start}, {self.stop}) of {self.topic}/{self.partition}")

    def __len__(self) -> int:
        """Number of offsets it spans."""
        return self.stop - self.start

    def __str__(self) -> str:
        """`topic/partition [start, stop)`."""
        return f"{self.topic}/{self.partition} [{self.start}, {self.stop})"

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition it lies in."""
        return TopicPartition(self.topic, self.partition)
