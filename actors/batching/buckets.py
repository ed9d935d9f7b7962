"""The queue behind the batcher: items by bucket, oldest first, and which of them form the next batch."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic

from actors.batching.recovery import Item, Result
from actors.reply import FramePoison
from actors.settings import BatchPolicy

MAX_REMEMBERED_BUCKETS = 256
NEW_TIME_WEIGHT = 0.2


class CloseReason(StrEnum):
    """Reasons to close a batch (column `batch.closed_by`); `actors.batching.batcher` says when each applies."""

    FULL = "full"
    WAITED = "waited"
    DRAINED = "drained"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class ItemSize:
    """Weight of an item: its bucket, its padded pixels, its bytes."""

    key: Hashable
    pixels: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Served(Generic[Result]):
    """The result of one item and how it came about.

    Attributes:
        value: the result, or the poison mark of an item that cannot be computed.
        batch_size: items in its batch when that was closed.
        closed_by: why the batch was closed.
        wait_ms: from `submit` to the start of the batch.
        compute_ms: time of the batch, retries included, divided by its size.
    """

    value: Result | FramePoison
    batch_size: int
    closed_by: CloseReason
    wait_ms: float
    compute_ms: float


@dataclass(slots=True, eq=False)
class Submission(Generic[Result]):
    """One call of `submit`: filled item by item, done when nothing is missing."""

    done: asyncio.Future[None]
    served: list[Served[Result] | None]
    missing: int


@dataclass(slots=True, eq=False)
class Entry(Generic[Item, Result]):
    """One item on its way; times on the clock, in seconds."""

    item: Item
    size: ItemSize
    submitted_s: float
    deadline_s: float
    submission: Submission[Result]
    index: int


@dataclass(slots=True, eq=False)
class Batch(Generic[Item, Result]):
    """The head of one bucket: what would run together now.

    Attributes:
        reason: why it is closed; None while it stays open.
        due_s: when it is closed at the latest, by `waited` or `deadline`.
    """

    key: Hashable
    entries: list[Entry[Item, Result]]
    reason: CloseReason | None
    due_s: float


@dataclass(slots=True)
class _Memory:
    """Figures learnt about a bucket: seconds per item, and a size limit while memory is short."""

    item_s: float | None = None
    ceiling: int | None = None
    ceiling_until_s: float = 0.0


class Buckets(Generic[Item, Result]):
    """Items that were let in and have not started, first in, first out within a bucket."""

    def __init__(self) -> None:
        """Start empty."""
        self._entries: dict[Hashable, deque[Entry[Item, Result]]] = {}
        self._memory: OrderedDict[Hashable, _Memory] = OrderedDict()

    def __len__(self) -> int:
        """Number of items."""
        return sum(map(len, self._entries.values()))

    def add(self, entry: Entry[Item, Result]) -> None:
        """Queue one item behind the others of its bucket."""
        self._entries.setdefault(entry.size.key, deque()).append(entry)

    def heads(self, policy: BatchPolicy, now_s: float, drained: bool) -> list[Batch[Item, Result]]:
        """The next batch of every bucket, the one that is due first in front."""
        batches = [self._head(key, entries, policy, now_s, drained) for key, entries in self._entries.items()]
        return sorted(batches, key=lambda batch: batch.due_s)

    def take(self, batch: Batch[Item, Result]) -> None:
        """Remove a batch just given out by `heads`."""
        entries = self._entries[batch.key]
        for _ in batch.entries:
            entries.popleft()
        if not entries:
            del self._entries[batch.key]

    def withdraw(self, submissions: set[Submission[Result]]) -> list[Entry[Item, Result]]:
        """Remove and return what these submissions still have queued."""
        removed: list[Entry[Item, Result]] = []
        for key, entries in list(self._entries.items()):
            kept: deque[Entry[Item, Result]] = deque()
            for entry in entries:
                (removed if entry.submission in submissions else kept).append(entry)
            if kept:
                self._entries[key] = kept
            else:
                del self._entries[key]
        return removed

    def learn_time(self, key: Hashable, item_s: float) -> None:
        """Note the time per item of a batch that went well (smoothed)."""
        memory = self._remember(key)
        memory.item_s = item_s if memory.item_s is None else memory.item_s + NEW_TIME_WEIGHT * (item_s - memory.item_s)

    def learn_ceiling(self, key: Hashable, fits: int, until_s: float) -> None:
        """Keep a bucket's batches this small for a while."""
        memory = self._remember(key)
        memory.ceiling, memory.ceiling_until_s = fits, until_s

    def _remember(self, key: Hashable) -> _Memory:
        memory = self._memory.setdefault(key, _Memory())
        self._memory.move_to_end(key)
        if len(self._memory) > MAX_REMEMBERED_BUCKETS:
            self._memory.popitem(last=False)
        return memory

    def _head(
        self, key: Hashable, queued: deque[Entry[Item, Result]], policy: BatchPolicy, now_s: float, drained: bool
    ) -> Batch[Item, Result]:
        memory = self._memory.get(key, _Memory())
        limit = policy.max_batch_size
        if memory.ceiling is not None and now_s < memory.ceiling_until_s:
            limit = min(limit, memory.ceiling)
        entries: list[Entry[Item, Result]] = []
        pixels = 0
        full = False
        for entry in queued:
            pixels += entry.size.pixels
            if entries and pixels > policy.max_batch_pixels:
                full = True
                break
            entries.append(entry)
            if len(entries) == limit or pixels >= policy.max_batch_pixels:
                full = True
                break
        oldest_s = entries[0].submitted_s
        waited_s = oldest_s + policy.max_wait_s
        deadline_s = min(entry.deadline_s for entry in entries) - (memory.item_s or 0.0) * len(entries)
        # Not before the oldest came: else items that are late already would overtake for ever.
        due_s = max(oldest_s, min(waited_s, deadline_s))
        reason = None
        if full:
            reason = CloseReason.FULL
        elif drained:
            reason = CloseReason.DRAINED
        elif now_s >= due_s:
            reason = CloseReason.DEADLINE if deadline_s < waited_s else CloseReason.WAITED
        return Batch(key, entries, reason, due_s)
