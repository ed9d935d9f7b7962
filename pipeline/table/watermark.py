"""Watermark: spans of offsets finish in any order, the table takes them in the order of the log."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from contracts.errors import GenerationFailed, StopPipeline
from contracts.position import OffsetRange, TopicPartition
from contracts.result import Gap, Outcome

Item = TypeVar("Item")


class CommitRefused(StopPipeline):
    """The table does not stand where our rows begin: somebody else has moved it. Nothing of ours was written."""


@dataclass(frozen=True, slots=True)
class Ready(Generic[Item]):
    """A span whose predecessors are all ready, with what came with it."""

    span: OffsetRange
    item: Item


@dataclass(slots=True)
class _Partition(Generic[Item]):
    next_offset: int
    waiting: dict[int, Ready[Item]] = field(default_factory=dict)


class Watermark(Generic[Item]):
    """Per partition, the first offset not yet accounted for; spans behind a hole wait.

    Not thread-safe: its owner holds the lock.
    """

    def __init__(self, starts: Mapping[TopicPartition, int], max_waiting_spans: int = 10_000) -> None:
        """Begin where the table stands.

        Args:
            starts: first offset each partition of this generation was read from.
            max_waiting_spans: more spans than this behind holes mean that one got lost.
        """
        self._partitions = {partition: _Partition[Item](start) for partition, start in starts.items()}
        self._max_waiting_spans = max_waiting_spans
        self._num_waiting = 0
        self._ready: list[Ready[Item]] = []

    @property
    def num_waiting(self) -> int:
        """Spans behind a hole."""
        return self._num_waiting

    def next_offset(self, partition: TopicPartition) -> int:
        """First offset that no ready span covers."""
        return self._partitions[partition].next_offset

    def add(self, span: OffsetRange, item: Item) -> None:
        """Account for a span, in any order; an empty span is ready at once.

        Raises:
            GenerationFailed: the partition is none of ours, the span overlaps one that was added before, or too many
                spans wait behind a hole.
        """
        partition = self._partitions.get(span.topic_partition)
        if partition is None:
            raise _distrust(f"a span of {', '.join(map(str, self._partitions)) or 'no partition'}", str(span))
        entry = Ready(span, item)
        if not len(span):
            self._ready.append(entry)
            return
        if span.start < partition.next_offset:
            raise _distrust(f"nothing before {span.topic_partition}/{partition.next_offset}: that is accounted for", str(span))
        for other in partition.waiting.values():
            if span.start < other.span.stop and other.span.start < span.stop:
                raise _distrust(f"spans that do not overlap, after {other.span}", str(span))
        partition.waiting[span.start] = entry
        self._num_waiting += 1
        self._advance(partition)
        if self._num_waiting > self._max_waiting_spans:
            raise _distrust(
                f"at most {self._max_waiting_spans} spans behind a hole",
                f"{self._num_waiting}; {span.topic_partition} stands at {partition.next_offset}",
            )

    def take_ready(self) -> list[Ready[Item]]:
        """Take the ready spans: per partition in the order of the log."""
        taken, self._ready = self._ready, []
        return taken

    def require_no_hole(self) -> None:
        """Check, once everything that was read has been added, that nothing got lost.

        Raises:
            GenerationFailed: spans still wait behind a hole.
        """
        for name, partition in self._partitions.items():
            if partition.waiting:
                first = min(partition.waiting)
                raise _distrust(f"a span that starts at {name}/{partition.next_offset}", f"the next one starts at {first}")

    def _advance(self, partition: _Partition[Item]) -> None:
        while (entry := partition.waiting.pop(partition.next_offset, None)) is not None:
            partition.next_offset = entry.span.stop
            self._num_waiting -= 1
            self._ready.append(entry)


def continue_from(next_offsets: Mapping[TopicPartition, int | None], spans: Iterable[OffsetRange], where: str) -> dict[TopicPartition, int]:
    """Check that spans continue exactly where the table stands; this is what refuses a zombie's rows.

    Args:
        next_offsets: next offset of every partition in the table, None where it has none yet.
        spans: what a commit accounts for; several of one partition follow each other.
        where: the table, for the text.

    Returns:
        The next offset of every partition after the commit.

    Raises:
        CommitRefused: a span does not begin where its partition stands.
    """
    following: dict[TopicPartition, int] = {}
    for span in spans:
        next_offset = following.get(span.topic_partition, next_offsets[span.topic_partition])
        if next_offset is not None and span.start != next_offset:
            raise CommitRefused(
                expected=f"rows of {span.topic_partition} from offset {next_offset} on, where the table stands",
                got=f"rows for {span}",
                where=where,
                action="Another process writes this run; only one may own a partition. Stop one of them or give it another run_id.",
            )
        following[span.topic_partition] = span.stop
    return following


def require_outcomes_in_spans(outcomes: Iterable[Outcome], spans: Iterable[OffsetRange]) -> None:
    """Check that every outcome lies in a span, in log order, each position once.

    Raises:
        ValueError: one does not.
    """
    by_partition: dict[TopicPartition, list[OffsetRange]] = {}
    for span in sorted(spans):
        by_partition.setdefault(span.topic_partition, []).append(span)
    last: dict[TopicPartition, int] = {}
    for outcome in outcomes:
        partition, offset = outcome.position.topic_partition, outcome.position.offset
        stop = outcome.stop if isinstance(outcome, Gap) else offset + 1
        candidates = by_partition.get(partition, [])
        index = bisect_right(candidates, offset, key=lambda span: span.start) - 1
        if index < 0 or stop > candidates[index].stop:
            raise ValueError(f"expected outcomes inside the spans, got {outcome.position}")
        if offset < last.get(partition, 0):
            raise ValueError(f"expected one outcome per position in log order, got {outcome.position} too late")
        last[partition] = stop


def _distrust(expected: str, got: str) -> GenerationFailed:
    return GenerationFailed(
        expected=expected,
        got=got,
        where="offset watermark",
        action="What is in flight is dropped and read again from the table.",
    )
