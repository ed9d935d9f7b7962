"""Interfaces of the block source and of the read coordinator of a generation.

Kafka read by Ray Data (`kafka_source`, `ray_coordinator`) is the real pair; a topic in memory read by threads (`memory_source`,
`local_coordinator`) is the other. Both pass the tests of `tests/pipeline/ingest/test_source_contract.py`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pyarrow as pa

from contracts.errors import IrstreamError
from contracts.limits import InputLimits
from contracts.position import OffsetRange
from pipeline.ingest.read_coordinator import ReadOrder, ReadStatus
from pipeline.ingest.splits import Splits
from pipeline.settings import StreamSettings


class ReadingEnded(Exception):  # noqa: N818 - no failure: the end of a generation reaches a read task this way
    """The coordinator is gone: the generation is over, and nobody waits for its read tasks."""


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """Plan of reading for one generation.

    Attributes:
        topic: its name.
        topic_id: Kafka's id of it; offsets count in this topic only.
        starts: first offset to read per partition; one read task each.
        stop_at: exclusive end per partition for a bounded read, empty for a continuous one.
        limits: messages beyond these are rejected unread.
        selected_offsets: of a bounded read, the only offsets to read per partition, ascending; of partitions that are not in it, all.
        splits: of a bounded read, the pieces it is cut into, each with a read task of its own; None: one task a partition.
    """

    topic: str
    topic_id: str
    starts: Mapping[int, int]
    stop_at: Mapping[int, int]
    stream: StreamSettings
    limits: InputLimits
    selected_offsets: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    splits: Splits | None = None

    @property
    def partitions(self) -> tuple[int, ...]:
        """Partitions that are read, ascending."""
        return tuple(sorted(self.starts))

    @property
    def num_epochs(self) -> int | None:
        """Epochs of a bounded read; None for a continuous one, which has no last."""
        if self.splits is not None:
            return len(self.splits.epochs)
        return 1 if self.stop_at else None

    @property
    def num_readers(self) -> int:
        """Read tasks of an epoch that run at once."""
        return len(self.starts) if self.splits is None else self.splits.num_readers

    def parts(self, epoch: int) -> tuple[ReadPart, ...]:
        """Parts that the read tasks of an epoch read, one each, in the order in which they begin."""
        if self.splits is None:
            return tuple(ReadPart(number, number, self.stop_at.get(number)) for number in self.partitions)
        numbers, spans = self.splits.epochs[epoch], self.splits.spans
        return tuple(ReadPart(number, spans[number].partition, spans[number].stop) for number in numbers)

    def part_of(self, span: OffsetRange) -> int:
        """Number of the part that a block of these offsets is of."""
        return span.partition if self.splits is None else self.splits.number_of(span)

    @property
    def part_starts(self) -> Mapping[int, int]:
        """First offset of each part, by its number."""
        return self.starts if self.splits is None else {number: span.start for number, span in enumerate(self.splits.spans)}

    @property
    def order(self) -> ReadOrder | None:
        """Order in which parts may be read; None: each partition by itself."""
        return None if self.splits is None else self.splits.order

    def for_part(self, part: ReadPart) -> ReadPlan:
        """The plan as a read task needs it: without the other parts and their offsets, which may be many."""
        if part.partition not in self.selected_offsets:
            return replace(self, splits=None, selected_offsets={})
        offsets = self.selected_offsets[part.partition]
        first = bisect_left(offsets, self.part_starts[part.number])
        # With the one behind them, where the reader stands when it has read its part.
        last = len(offsets) if part.stop_at is None else bisect_left(offsets, part.stop_at) + 1
        return replace(self, splits=None, selected_offsets={part.partition: offsets[first:last] or offsets[-1:]})


@dataclass(frozen=True, slots=True)
class ReadPart:
    """Part of a plan that one read task reads.

    Attributes:
        number: by which the coordinator knows it.
        partition: where it lies.
        stop_at: exclusive end; None: until the epoch is over.
    """

    number: int
    partition: int
    stop_at: int | None


@dataclass(frozen=True, slots=True, eq=False)
class BlockRef:
    """A decoded block, wherever it lies.

    Attributes:
        ref: what the networks are given: an ObjectRef of a one-row table (`contracts.block.BLOCK_SCHEMA`), or the table itself.
        num_bytes: size of the table.
    """

    ref: Any
    num_bytes: int


class ReadTaskCoordinator(Protocol):
    """The coordinator as a read task sees it; the rules are those of `ReadCoordinator`. Every call may raise `ReadingEnded`."""

    def claim(self, epoch: int, part: int) -> int | None:
        """The offset to read a part from, as soon as its turn has come; None when there is nothing to read any more."""
        ...

    def admit(self, *, holds_slot: bool) -> bool:
        """Wait for room for one more block; False when the task must stop."""
        ...

    def charge(self, num_bytes: int, num_messages: int = 0) -> None:
        """Count bytes and messages that are now on their way; does not wait."""
        ...

    def finish(self, epoch: int, part: int, stop: int, *, holds_slot: bool) -> None:
        """Everything of the part before `stop` was handed on."""
        ...

    def fail(self, error: IrstreamError) -> None:
        """The task cannot go on; the generation acts by the class of the error."""
        ...


class Coordinator(ReadTaskCoordinator, Protocol):
    """The coordinator as its generation sees it."""

    def credit(self, num_blocks: int, num_bytes: int) -> None:
        """Room for new blocks; does not wait."""
        ...

    def stop(self) -> None:
        """Ask all read tasks to end after what they have in hand."""
        ...

    def status(self) -> ReadStatus:
        """A snapshot: what has finished, a fault, counts."""
        ...

    def close(self) -> None:
        """End it: every call of a read task, waiting or to come, raises `ReadingEnded`."""
        ...


class BlockSource(Protocol):
    """Source of the blocks of one generation."""

    def blocks(self, epoch: int) -> Iterator[BlockRef]:
        """Begin an epoch: its blocks in the order they come, of one partition in the order of the log.

        The iteration ends with the epoch. It raises what ended a read task, unless that has told the coordinator (`fail`).
        """
        ...

    async def fetch(self, ref: Any) -> pa.Table:
        """The table behind `BlockRef.ref` (a view where it lies in shared memory)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A generation's own source and coordinator; whoever opens one closes the coordinator."""

    source: BlockSource
    coordinator: Coordinator
