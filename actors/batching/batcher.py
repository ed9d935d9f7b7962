"""DynamicBatcher: batches across blocks and sensors, asyncio only.

A batch holds items of one bucket (same key, that is same padded shape), oldest first, and is closed as soon as one holds:

- `full`: it has `max_batch_size` items (less for a while after the bucket ran out of memory), the next item would pass
  `max_batch_pixels`, or the queue itself is full while the network is idle, so that nothing can join.
- `drained`: nothing more is coming: `drain()` or `close()` is under way, or the newest `submit` said `more_coming=False`.
- `deadline`: started later, one of its items would miss its deadline (by the measured time per item of the bucket).
- `waited`: its oldest item was submitted `max_wait_s` ago.

A closed batch starts when the network is free; of several, the one that was due first. Time only matters while the network
is idle, so under load batches fill up by themselves. There is no polling: one timer is armed for the next due time.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol

import structlog

from actors.batching.buckets import Batch, Buckets, CloseReason, Entry, ItemSize, Served, Submission
from actors.batching.recovery import Item, Probe, Recovered, Recovery, Result, RunBatch, describe
from actors.reply import FramePoison
from actors.settings import BatchPolicy

_log = structlog.get_logger(__name__)


class Clock(Protocol):
    """Clock of the batcher; an asyncio event loop is one."""

    def time(self) -> float:
        """Seconds, monotonic."""

    def call_at(self, when: float, callback: Callable[[], object], /) -> asyncio.TimerHandle:
        """Call back once at `when`."""


@dataclass(frozen=True, slots=True)
class BatcherStats:
    """Counts since the start, and what is held now.

    Attributes:
        items: items whose batch has ended well (poisoned ones included).
        closed_by: batches by reason.
        batch_sizes: batches by number of items.
        attempts: runs of the network; more than batches only after trouble.
        queued_items: let in, not yet started.
        waiting_items: not yet let in because the queue is full.
        held_items: let in, without a result (queued and running).
        held_bytes: bytes of those.
        failure: text of the newest failure of the network itself; None once a batch went through again.
    """

    items: int
    batches: int
    closed_by: dict[str, int]
    batch_sizes: dict[int, int]
    attempts: int
    out_of_memory: int
    poisoned: int
    queued_items: int
    waiting_items: int
    held_items: int
    held_bytes: int
    running_batches: int
    failure: str | None


@dataclass(slots=True)
class _Counts:
    items: int = 0
    attempts: int = 0
    out_of_memory: int = 0
    poisoned: int = 0
    failure: str | None = None
    reasons: Counter[CloseReason] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)


class DynamicBatcher(Generic[Item, Result]):
    """Collects items of many callers into batches for one network.

    All methods belong to one event loop; only `run_batch` and `probe` run in the executor's threads.
    """

    def __init__(
        self,
        run_batch: RunBatch[Item, Result],
        measure: Callable[[Item], ItemSize],
        policy: BatchPolicy,
        executor: Executor,
        *,
        is_out_of_memory: Callable[[BaseException], bool] = lambda error: isinstance(error, MemoryError),
        probe: Probe | None = None,
        clock: Clock | None = None,
        max_running: int = 1,
        ceiling_s: float = 60.0,
    ) -> None:
        """Set up an empty queue.

        Args:
            run_batch: computes one batch in a thread; one result per item, in order.
            measure: bucket and weight of an item.
            policy: when to close and how much to hold.
            executor: where `run_batch` runs; stays the caller's to shut down.
            is_out_of_memory: which errors a smaller batch may cure.
            probe: see `Recovery`.
            clock: None for the running event loop.
            max_running: batches in the executor at a time.
            ceiling_s: how long a bucket is kept small after running out of memory.
        """
        self._recovery = Recovery(run_batch, is_out_of_memory, probe)
        self._measure = measure
        self._policy = policy
        self._executor = executor
        self._given_clock = clock
        self._max_running = max_running
        self._ceiling_s = ceiling_s
        self._waiting: deque[Entry[Item, Result]] = deque()
        self._buckets = Buckets[Item, Result]()
        self._open: set[Submission[Result]] = set()
        self._running: set[asyncio.Future[Recovered[Result]]] = set()
        self._held_items = 0
        self._held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._more_coming = True
        self._drains = 0
        self._closed = False
        self._counts = _Counts()

    async def submit(self, items: Sequence[Item], *, age_s: float = 0.0, more_coming: bool = True) -> list[Served[Result]]:
        """Have a block of items computed; waits while the queue is full.

        A caller that is cancelled takes back what has not started; what runs already is computed and dropped.

        Args:
            items: any number, of any buckets.
            age_s: how much of their latency budget (`deadline_s` of the policy) is gone already.
            more_coming: False when the caller knows that nothing follows soon; holds until the next call.

        Returns:
            One entry per item, in order.

        Raises:
            RunnerFailed: the network itself is sick; nothing of this block is delivered.
            RuntimeError: after `close()`.
        """
        if self._closed:
            raise RuntimeError("expected an open batcher, got submit() after close()")
        sizes = [self._measure(item) for item in items]
        self._more_coming = more_coming
        now_s = self._clock.time()
        budget_s = self._policy.deadline_s
        deadline_s = math.inf if budget_s is None else now_s + budget_s - max(0.0, age_s)
        submission = Submission[Result](asyncio.get_running_loop().create_future(), [None] * len(items), len(items))
        for index, (item, size) in enumerate(zip(items, sizes, strict=True)):
            self._waiting.append(Entry(item, size, now_s, deadline_s, submission, index))
        if items:
            self._open.add(submission)
        else:
            submission.done.set_result(None)
        self._pump()
        try:
            await submission.done
        finally:
            if submission in self._open:
                self._withdraw({submission})
                self._pump()
        return [served for served in submission.served if served is not None]

    def reconfigure(self, policy: BatchPolicy) -> None:
        """Take another policy from the next batch on."""
        self._policy = policy
        self._pump()

    async def drain(self) -> None:
        """Close every batch at once until all that was submitted before is done."""
        self._drains += 1
        try:
            self._pump()
            if self._open:
                await asyncio.wait([submission.done for submission in self._open])
        finally:
            self._drains -= 1

    async def close(self) -> None:
        """Refuse new items and finish all in hand, also those not yet let in."""
        self._closed = True
        self._pump()
        while self._running or self._open:
            pending: list[asyncio.Future[Any]] = [*self._running, *(submission.done for submission in self._open)]
            await asyncio.wait(pending)

    def stats(self) -> BatcherStats:
        """Counts for people and metrics."""
        counts = self._counts
        return BatcherStats(
            items=counts.items,
            batches=counts.sizes.total(),
            closed_by={reason.value: counts.reasons[reason] for reason in CloseReason},
            batch_sizes=dict(sorted(counts.sizes.items())),
            attempts=counts.attempts,
            out_of_memory=counts.out_of_memory,
            poisoned=counts.poisoned,
            queued_items=len(self._buckets),
            waiting_items=len(self._waiting),
            held_items=self._held_items,
            held_bytes=self._held_bytes,
            running_batches=len(self._running),
            failure=counts.failure,
        )

    @property
    def _clock(self) -> Clock:
        return self._given_clock or asyncio.get_running_loop()

    def _pump(self) -> None:
        """Let in what fits, start what is closed, arm the timer for what is not. Called whenever anything changed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._let_in()
        now_s = self._clock.time()
        while len(self._running) < self._max_running:
            drained = self._closed or self._drains > 0 or not self._more_coming
            heads = self._buckets.heads(self._policy, now_s, drained)
            batch = next((head for head in heads if head.reason is not None), None)
            if batch is None and heads and self._waiting and not self._running:
                batch = heads[0]
                batch.reason = CloseReason.FULL
            if batch is None:
                if heads:
                    self._timer = self._clock.call_at(heads[0].due_s, self._pump)
                return
            self._start(batch, now_s)

    def _let_in(self) -> None:
        while self._waiting:
            num_bytes = self._waiting[0].size.num_bytes
            over = self._held_items >= self._policy.max_queue_frames or self._held_bytes + num_bytes > self._policy.max_queue_bytes
            if over and self._held_items:
                return
            self._held_items += 1
            self._held_bytes += num_bytes
            self._buckets.add(self._waiting.popleft())

    def _release(self, entries: Sequence[Entry[Item, Result]]) -> None:
        self._held_items -= len(entries)
        self._held_bytes -= sum(entry.size.num_bytes for entry in entries)

    def _start(self, batch: Batch[Item, Result], now_s: float) -> None:
        self._buckets.take(batch)
        items = [entry.item for entry in batch.entries]
        try:
            running = asyncio.wrap_future(self._executor.submit(self._recovery.run, batch.key, items))
        except RuntimeError as error:  # the executor was shut down: callers must hear of it, not wait for ever
            self._release(batch.entries)
            self._fail({entry.submission for entry in batch.entries}, error)
            self._let_in()
            return
        self._running.add(running)
        running.add_done_callback(partial(self._finish, batch, now_s))

    def _finish(self, batch: Batch[Item, Result], started_s: float, running: asyncio.Future[Recovered[Result]]) -> None:
        self._running.discard(running)
        self._release(batch.entries)
        error = asyncio.CancelledError() if running.cancelled() else running.exception()
        if error is None:
            self._deliver(batch, started_s, running.result())
        else:
            self._counts.failure = describe(error)
            self._fail({entry.submission for entry in batch.entries}, error)
        self._pump()

    def _deliver(self, batch: Batch[Item, Result], started_s: float, recovered: Recovered[Result]) -> None:
        now_s = self._clock.time()
        size = len(batch.entries)
        assert batch.reason is not None  # only closed batches start
        self._count(batch, batch.reason, recovered)
        if recovered.fits is not None:
            _log.warning("batch_out_of_memory", shape=str(batch.key), size=size, kept_to=recovered.fits, for_s=self._ceiling_s)
            self._buckets.learn_ceiling(batch.key, recovered.fits, now_s + self._ceiling_s)
        if recovered.attempts == 1:
            self._buckets.learn_time(batch.key, (now_s - started_s) / size)
        compute_ms = (now_s - started_s) * 1000 / size
        for entry, value in zip(batch.entries, recovered.results, strict=True):
            submission = entry.submission
            submission.served[entry.index] = Served(value, size, batch.reason, (started_s - entry.submitted_s) * 1000, compute_ms)
            submission.missing -= 1
            # A caller that was just cancelled has not run yet: it is still open, but its future is done.
            if not submission.missing and submission in self._open and not submission.done.done():
                self._open.discard(submission)
                submission.done.set_result(None)

    def _count(self, batch: Batch[Item, Result], reason: CloseReason, recovered: Recovered[Result]) -> None:
        counts = self._counts
        counts.items += len(batch.entries)
        counts.attempts += recovered.attempts
        counts.out_of_memory += recovered.out_of_memory
        counts.poisoned += sum(isinstance(result, FramePoison) for result in recovered.results)
        counts.reasons[reason] += 1
        counts.sizes[len(batch.entries)] += 1
        counts.failure = None

    def _fail(self, submissions: set[Submission[Result]], error: BaseException) -> None:
        failed = submissions & self._open
        self._withdraw(failed)
        for submission in failed:
            if not submission.done.done():
                submission.done.set_exception(error)

    def _withdraw(self, submissions: set[Submission[Result]]) -> None:
        self._open -= submissions
        self._release(self._buckets.withdraw(submissions))
        self._waiting = deque(entry for entry in self._waiting if entry.submission not in submissions)
