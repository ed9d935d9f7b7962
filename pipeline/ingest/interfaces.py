"""Interfaces of the block source and of the read coordinator of a generation.

Kafka read by Ray Data (`kafka_source`, `ray_coordinator`) is the real pair; a topic in memory read by threads (`memory_source`,
`local_coordinator`) is the other. Both pass the tests of `tests/pipeline/ingest/test_source_contract.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from contracts.errors import IrstreamError
from contracts.limits import InputLimits
from pipeline.ingest.read_coordinator import ReadStatus
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
        selected_offsets: of a bounded read, the only offsets to read per partition, ascending; empty for all.
    """

    topic: str
    topic_id: str
    starts: Mapping[int, int]
    stop_at: Mapping[int, int]
    stream: StreamSettings
    limits: InputLimits
    selected_offsets: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def partitions(self) -> tuple[int, ...]:
        """Partitions that are read, ascending."""
        return tuple(sorted(self.starts))


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

    def claim(self, epoch: int, partition: int) -> int | None:
        """The offset to read from, as soon as the epoch before has finished the partition; None when there is nothing to read any more."""
        ...

    def admit(self, *, holds_slot: bool) -> bool:
        """Wait for room for one more block; False when the task must stop."""
        ...

    def charge(self, num_bytes: int, num_messages: int = 0) -> None:
        """Count bytes and messages that are now on their way; does not wait."""
        ...

    def finish(self, epoch: int, partition: int, stop: int, *, holds_slot: bool) -> None:
        """Everything before `stop` was handed on."""
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
