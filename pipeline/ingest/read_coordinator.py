"""The coordinator of one generation: who may read what, how much may be in flight, and when to stop.

Ray Data replays a killed read task silently and splices its blocks in by index, which
loses or doubles frames, and it lets a backlog run away into the object store. So a read task must *claim* its
partition (a second claim of the same epoch and partition is a replay: the generation is over) and must be *admitted*
before each poll (credits bound the blocks and bytes between Kafka and their results; they return when the rows of a block are
routed).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contracts.errors import IrstreamError, RetryLater


@dataclass(frozen=True, slots=True)
class ReadStatus:
    """State of a generation's reading, which the driver polls.

    Attributes:
        finished: `(epoch, part)` of each read task that ended, with the offsets it began and ended at.
        fault: why this generation must end, or None.
        messages: messages read so far.
        blocks_in_flight: admitted blocks without a credit, and slots of readers that wait for messages.
        bytes_in_flight: bytes charged and not credited.
    """

    finished: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    fault: IrstreamError | None = None
    messages: int = 0
    blocks_in_flight: int = 0
    bytes_in_flight: int = 0


@dataclass(frozen=True, slots=True)
class ReadOrder:
    """Order in which the parts of a bounded read may be read.

    Attributes:
        num_readers: read tasks that run at once.
        first_epochs: the epoch of each part.
        in_order: parts whose rows wait for those of others, in the order in which they are wanted.
        window: how many of these may be begun, counted from the first that is not finished: rows behind it wait in memory.
    """

    num_readers: int
    first_epochs: Mapping[int, int]
    in_order: Sequence[int]
    window: int


class ReadCoordinator:
    """Claims, credits and the stop flag of one generation; plain asyncio (`RayCoordinator` and `LocalCoordinator` run it)."""

    def __init__(self, starts: Mapping[int, int], max_blocks: int, max_bytes: int, order: ReadOrder | None = None) -> None:
        """Begin a generation.

        Args:
            starts: first offset to read, per part: a partition (from where the table stands), or a piece of one.
            max_blocks: most blocks in flight, beside the one slot that each waiting reader may hold.
            max_bytes: most bytes in flight; one block may exceed it alone, or nothing larger would ever pass.
            order: of pieces; None: partitions, one reader each.
        """
        self._next_offset = dict(starts)
        self._ready_epoch = dict.fromkeys(starts, 0) if order is None else dict(order.first_epochs)
        self._places = {} if order is None else {part: place for place, part in enumerate(order.in_order)}
        self._in_order = () if order is None else tuple(order.in_order)
        self._window = 0 if order is None else order.window
        self._front = 0
        self._over: set[int] = set()
        self._claims: set[tuple[int, int]] = set()
        self._finished: dict[tuple[int, int], tuple[int, int]] = {}
        self._fault: IrstreamError | None = None
        # Every reader may hold one slot while it waits for messages: quiet partitions must not starve busy ones.
        self._max_blocks = max_blocks + (len(starts) if order is None else order.num_readers)
        self._max_bytes = max_bytes
        self._blocks = 0
        self._bytes = 0
        self._messages = 0
        self._stopping = False
        self._changed = asyncio.Condition()

    async def claim(self, epoch: int, part: int) -> int | None:
        """Ask for a part; waits until the epoch before has finished it, and until it is not too far ahead of the others.

        Returns:
            The offset to read from, or None when there is nothing to read any more (stopping, or this is a replay).
        """
        async with self._changed:
            if (epoch, part) in self._claims:
                self._fault = self._fault or RetryLater(
                    expected="each read task to run once",
                    got="a second start: its worker died",
                    where=f"read task of epoch {epoch}, {'piece' if self._in_order else 'partition'} {part}",
                    action="The generation restarts from the table.",
                )
                self._stopping = True
                self._changed.notify_all()
                return None
            self._claims.add((epoch, part))
            await self._changed.wait_for(lambda: self._stopping or (self._ready_epoch[part] == epoch and self._has_turn(part)))
            return None if self._stopping else self._next_offset[part]

    def _has_turn(self, part: int) -> bool:
        place = self._places.get(part)
        return place is None or place < self._front + self._window

    async def admit(self, *, holds_slot: bool) -> bool:
        """Wait for room for one more block; True when the reader now holds a slot, False when it must stop.

        Args:
            holds_slot: the reader still holds the slot of its last admission, because that poll found nothing.
        """
        async with self._changed:
            if not holds_slot:
                await self._changed.wait_for(lambda: self._stopping or self._has_room())
                if not self._stopping:
                    self._blocks += 1
            elif self._stopping:
                self._blocks -= 1
            return not self._stopping

    def _has_room(self) -> bool:
        return self._blocks < self._max_blocks and (self._bytes < self._max_bytes or self._blocks == 0)

    async def charge(self, num_bytes: int, num_messages: int = 0) -> None:
        """Count bytes and messages that are now on their way."""
        async with self._changed:
            self._bytes += num_bytes
            self._messages += num_messages

    async def credit(self, num_blocks: int, num_bytes: int) -> None:
        """Blocks whose rows are routed make room for new ones, although these rows may wait for their commit a while."""
        async with self._changed:
            self._blocks -= num_blocks
            self._bytes -= num_bytes
            self._changed.notify_all()

    async def finish(self, epoch: int, part: int, stop: int, *, holds_slot: bool) -> None:
        """A read task ends: everything of the part before `stop` was handed on; the next epoch may go on from there."""
        async with self._changed:
            if holds_slot:
                self._blocks -= 1
            self._finished[epoch, part] = (self._next_offset[part], stop)
            self._next_offset[part] = stop
            self._ready_epoch[part] = epoch + 1
            self._over.add(part)
            while self._front < len(self._in_order) and self._in_order[self._front] in self._over:
                self._front += 1
            self._changed.notify_all()

    async def fail(self, error: IrstreamError) -> None:
        """A read task cannot go on; the driver acts by the class of the error."""
        async with self._changed:
            self._fault = self._fault or error
            self._stopping = True
            self._changed.notify_all()

    async def stop(self) -> None:
        """Ask all read tasks to end after what they have in hand."""
        async with self._changed:
            self._stopping = True
            self._changed.notify_all()

    async def status(self) -> ReadStatus:
        """A snapshot for the driver."""
        return ReadStatus(
            finished=dict(self._finished),
            fault=self._fault,
            messages=self._messages,
            blocks_in_flight=self._blocks,
            bytes_in_flight=self._bytes,
        )
