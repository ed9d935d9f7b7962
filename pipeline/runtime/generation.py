"""One generation of the stream: from where the table stands until it is caught up, stopped, or anything fails.

Any failure ends a generation: what is in flight is dropped and the next one starts from the table.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from contracts.errors import IrstreamError, RetryLater, StopPipeline
from contracts.position import OffsetRange
from pipeline.events.alerts import AlertPublisher
from pipeline.inference.patience import Patience
from pipeline.inference.router import ModelHandles, Router
from pipeline.inference.rules import LiveRules
from pipeline.inference.shadow import LiveShadow
from pipeline.ingest.epochs import EpochThread
from pipeline.ingest.interfaces import BlockRef, Reading, ReadPart, ReadPlan
from pipeline.ingest.read_coordinator import ReadStatus
from pipeline.runtime.stats import StreamStats
from pipeline.table.beside import BesideRows
from pipeline.table.committer import Committer

_POLL_S = 0.2
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class GenerationParts:
    """Parts of a generation; plan, reading and committer are its own, all else outlives it.

    Attributes:
        plan: what to read.
        reading: its block source and its coordinator.
        loop: the asyncio loop (in a thread of its own) the router runs on.
        patience: what is known of the networks' slowness.
    """

    plan: ReadPlan
    reading: Reading
    models: ModelHandles
    rules: LiveRules
    shadow: LiveShadow
    committer: Committer
    alerts: AlertPublisher
    stats: StreamStats
    loop: asyncio.AbstractEventLoop
    patience: Patience


class Generation:
    """Runs epochs, routes their blocks, and watches everything that can fail."""

    def __init__(self, parts: GenerationParts) -> None:
        """Reading begins with `run`, which also closes what is the generation's own."""
        self._parts = parts
        self._stream = parts.plan.stream
        self._router = Router(parts.models, parts.plan.stream, parts.rules, parts.patience)
        self._source, self._coordinator = parts.reading.source, parts.reading.coordinator
        self._epochs: list[EpochThread] = []
        self._tasks: dict[Future[None], int] = {}
        self._covered: Counter[tuple[int, int]] = Counter()
        self._checked: set[int] = set()
        self._held: dict[OffsetRange, int] = {}
        self._uncommitted_rows = 0
        self._routed_blocks = 0
        self._moved = (0, 0, 0)
        self._moved_at = time.monotonic()
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._draining = False
        self._closed = False

    def run(self, should_end: Callable[[], bool]) -> None:
        """Read until the plan's end or until `should_end`; returns with everything read visible in the table.

        Raises:
            StopPipeline: going on makes no sense.
            Exception: anything else: drop this generation and start another.
        """
        try:
            self._start_epoch()
            next_epoch_at = self._next_epoch_at()
            while not should_end():
                self._wait()
                ended = self._ended_epochs()
                status = self._status()
                if status.fault is not None:
                    break
                self._check_epochs(ended, status)
                self._check_hole(status)
                if (num_epochs := self._parts.plan.num_epochs) is not None:
                    # Not as soon as all have ended: while it drains, a reader that never began is no fault any more.
                    if len(self._checked) == num_epochs:
                        break
                    if len(self._epochs) < num_epochs and self._newest_is_almost_read(status):
                        self._start_epoch()
                elif time.monotonic() >= next_epoch_at or self._somebody_finished(status):
                    self._start_epoch()
                    next_epoch_at = self._next_epoch_at()
            self._drain()
        finally:
            self._close()

    def on_committed(self, spans: Sequence[OffsetRange]) -> None:
        """Rows are visible (called by the committer's thread): the table has room again."""
        with self._lock:
            self._uncommitted_rows -= sum(len(span) for span in spans)
            # Rows behind a hole wait for others to be read: what they hold must come back before they are committed.
            whose = spans if self._uncommitted_rows > self._stream.uncommitted_rows else tuple(self._held)
            held = [self._held.pop(span) for span in whose if span in self._held]
        if held and not self._closed:
            self._coordinator.credit(len(held), sum(held))

    def fail(self, error: BaseException) -> None:
        """Something of this generation failed (any thread); the first error counts."""
        with self._lock:
            self._failure = self._failure or error
        self._wake.set()

    def _next_epoch_at(self) -> float:
        return time.monotonic() + max(0.0, self._stream.epoch_s - self._stream.epoch_overlap_s)

    def _start_epoch(self) -> None:
        number = len(self._epochs)
        thread = EpochThread(number, self._source.blocks(number), lambda block: self._on_block(number, block), self._on_epoch_end)
        self._epochs.append(thread)
        thread.start()

    def _on_epoch_end(self, thread: EpochThread) -> None:
        if thread.error is not None:
            self.fail(thread.error)
        self._wake.set()

    def _on_block(self, epoch: int, block: BlockRef) -> None:
        self._coordinator.charge(block.num_bytes)
        task = asyncio.run_coroutine_threadsafe(self._route(epoch, block), self._parts.loop)
        with self._lock:
            self._tasks[task] = epoch
        task.add_done_callback(self._on_routed)

    async def _route(self, epoch: int, block: BlockRef) -> None:
        routed = await self._router.route(block.ref, self._source.fetch)
        span, outcomes, num_bytes = routed.span, routed.outcomes, block.num_bytes + routed.read_bytes
        self._parts.alerts.publish(outcomes)
        begun = self._parts.shadow.begin(routed)
        del routed  # and with it the block's memory, whose credits go back now
        with self._lock:
            self._covered[epoch, self._parts.plan.part_of(span)] += len(span)
        self._credit(span, num_bytes)
        shadow = None if begun is None else await begun
        beside = None if shadow is None else BesideRows(shadow.run_id, span, shadow.outcomes, shadow.passed_over)
        self._parts.committer.add(span, outcomes, beside)

    def _credit(self, span: OffsetRange, num_bytes: int) -> None:
        """The rows are routed and the pixels no longer needed: the readers may read on, unless rows pile up before a slow table."""
        with self._lock:
            self._uncommitted_rows += len(span)
            self._routed_blocks += 1
            if self._uncommitted_rows > self._stream.uncommitted_rows:
                self._held[span] = num_bytes
                return
        self._coordinator.credit(1, num_bytes)

    def _on_routed(self, task: Future[None]) -> None:
        with self._lock:
            self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def _wait(self) -> None:
        self._wake.wait(_POLL_S)
        self._wake.clear()
        if self._failure is not None:
            raise self._failure

    def _status(self) -> ReadStatus:
        status = self._coordinator.status()
        self._parts.stats.on_read(status.messages)
        # What makes going on senseless is raised when everything read before it has its rows.
        if status.fault is not None and not isinstance(status.fault, StopPipeline):
            raise status.fault
        return status

    def _somebody_finished(self, status: ReadStatus) -> bool:
        """A partition whose part of the newest epoch is over would idle until the next epoch."""
        newest = len(self._epochs) - 1
        return any(epoch == newest for epoch, _ in status.finished)

    def _newest_is_almost_read(self, status: ReadStatus) -> bool:
        """The last pieces of the newest epoch are being read: readers would idle until the next one."""
        newest = len(self._epochs) - 1
        finished = sum(epoch == newest for epoch, _ in status.finished)
        return finished + self._parts.plan.num_readers > len(self._parts.plan.parts(newest))

    def _ended_epochs(self) -> list[EpochThread]:
        """Ended and not checked yet. Ask before `_status`: only then has the coordinator heard from all of their readers."""
        return [
            each for each in self._epochs if each.epoch not in self._checked and each.ended.is_set() and not self._in_flight(each.epoch)
        ]

    def _check_epochs(self, ended: Sequence[EpochThread], status: ReadStatus) -> None:
        """Compare what an ended epoch's readers say they read with what arrived (Ray Data can end short without an error)."""
        for thread in ended:
            if self._failure is not None:
                raise self._failure
            for part in self._parts.plan.parts(thread.epoch):
                self._check_part(thread.epoch, part, status)
            self._checked.add(thread.epoch)

    def _check_part(self, epoch: int, part: ReadPart, status: ReadStatus) -> None:
        start, stop = status.finished.get((epoch, part.number), (None, None))
        got = self._covered[epoch, part.number]
        if start is None or stop is None:
            # A reader that never began is right only when it was told to stop.
            complete, expected = self._draining and got == 0, "its reader to finish"
        else:
            complete, expected = got == stop - start, f"the {stop - start} offsets [{start}, {stop})"
        if not complete:
            raise RetryLater(
                expected=expected,
                got=f"{got} offsets",
                where=f"partition {part.partition}, epoch {epoch}",
                action="Ray Data lost or doubled blocks; the generation restarts from the table.",
            )

    def _check_hole(self, status: ReadStatus) -> None:
        """Nothing moves, and rows wait for others: these got lost, and readers may wait for what those rows hold, for ever."""
        moved = (status.messages, len(status.finished), self._routed_blocks)
        if moved != self._moved or self._tasks or self._parts.committer.num_waiting == 0:
            self._moved, self._moved_at = moved, time.monotonic()
        elif time.monotonic() - self._moved_at > self._stream.drain_timeout_s:
            raise RetryLater(
                expected="the rows before those that are finished",
                got=f"none for {self._stream.drain_timeout_s:g} s, with nothing in flight",
                where="reading",
                action="A block got lost; the generation restarts from the table.",
            )

    def _in_flight(self, epoch: int) -> int:
        with self._lock:
            return sum(number == epoch for number in self._tasks.values())

    def _drain(self) -> None:
        """Let everything that was read become visible.

        Gives up when nothing moves for `drain_timeout_s`; while networks compute, when they are silent for as long as the router lets them.
        """
        cut_short = len(self._checked) != self._parts.plan.num_epochs
        self._draining = True
        self._parts.stats.on_state("draining")
        self._coordinator.stop()
        moved_at, routed = time.monotonic(), self._routed_blocks
        while len(self._checked) < len(self._epochs):
            self._wait()
            ended = self._ended_epochs()
            self._check_epochs(ended, self._status())
            if self._routed_blocks != routed:
                moved_at, routed = time.monotonic(), self._routed_blocks
            patience_s = self._stream.drain_timeout_s
            if self._router.computing:
                patience_s = max(patience_s, self._router.patience_s)
            if time.monotonic() - max(moved_at, self._router.answered_at) > patience_s:
                raise _stuck("a block in flight to get its rows", patience_s)
        # A piece that was cut short leaves a hole: the rows behind it are made again.
        self._parts.committer.drain(self._stream.drain_timeout_s, holes=cut_short and self._parts.plan.splits is not None)
        if (fault := self._status().fault) is not None:
            raise fault

    def _close(self) -> None:
        """End everything of this generation; nothing of it reaches the table afterwards."""
        self._closed = True
        with self._lock:
            tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        self._parts.committer.close()
        # Every read task ends at its next call of the coordinator, and with them the epochs.
        self._coordinator.close()
        for thread in self._epochs:
            thread.join(timeout=self._stream.drain_timeout_s)
            if thread.is_alive():
                log.warning("epoch_still_running", epoch=thread.epoch, waited_s=self._stream.drain_timeout_s)


def _stuck(what: str, waited_s: float) -> IrstreamError:
    return RetryLater(
        expected=f"{what} within {waited_s:g} s",
        got="none",
        where="draining",
        action="What is not visible yet is read again at the next start; raise stream.drain_timeout_s if this is normal here.",
    )
