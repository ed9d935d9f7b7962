"""The committer: takes finished spans in any order and makes them visible in log order, about once a second.

Per commit: what depends on the order (tracks) is done to its spans, alerts and dead letters of its rows are acknowledged by Kafka,
then rows and offsets become visible in one Delta commit, then their owner hears of it
(statistics, and credits that were held back while rows piled up). A crash anywhere in between leads to the same rows once more from
the table's offsets: messages at least once, rows exactly once. While Kafka or the table is away the rows wait here: computing them
again would not bring it back sooner.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import structlog

from contracts.errors import GenerationFailed, IrstreamError, RetryLater
from contracts.position import OffsetRange, TopicPartition
from contracts.result import DeadLetter, Outcome
from pipeline.table.beside import BesideRows
from pipeline.table.results_table import OutcomeTable
from pipeline.table.settings import SinkSettings
from pipeline.table.watermark import Ready, Watermark

_CLOSE_TIMEOUT_S = 60.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 5.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _SpanRows:
    outcomes: tuple[Outcome, ...]
    beside: BesideRows | None


_ReadyRows: TypeAlias = Ready[_SpanRows]


class DeadLetters(Protocol):
    """Reports rejected messages, at least once each; `DeadLetterPublisher` is the real one."""

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Hand over; may raise RetryLater."""
        ...

    def flush(self, timeout_s: float) -> None:
        """Return when everything sent is acknowledged; raises RetryLater when it is not within the time."""
        ...


class Committer:
    """One generation's way into the table, in a thread of its own. `add` may be called from any thread."""

    def __init__(
        self,
        table: OutcomeTable,
        *,
        topic_ids: Mapping[str, str],
        settings: SinkSettings,
        dead_letters: DeadLetters,
        starts: Mapping[TopicPartition, int],
        on_committed: Callable[[Sequence[OffsetRange], Sequence[Outcome]], None],
        on_failure: Callable[[BaseException], None],
        before_commit: Callable[[float], None] | None = None,
        in_order: Callable[[OffsetRange, Sequence[Outcome]], tuple[Outcome, ...]] | None = None,
        on_beside: Callable[[Sequence[BesideRows]], None] | None = None,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            table: opened; from now on used by this committer only.
            topic_ids: Kafka's id of each topic, kept with the offsets.
            settings: pace and bounds.
            dead_letters: sent before the rows they belong to.
            starts: first offset of each partition this generation reads.
            on_committed: given what has become visible, from the committer's thread.
            on_failure: given, once, why the committer has stopped, from the committer's thread.
            before_commit: called with a time limit in seconds before every commit; returns when everything that
                belongs to the rows (alerts) is acknowledged, or raises.
            in_order: given each span once, in the order of its partition's log, when its commit begins; its answer are the rows.
                Called from the committer's thread, without any lock: it may take its time.
            on_beside: given the rows of other runs that have become visible, from the committer's thread.
        """
        self._table = table
        self._topic_ids = dict(topic_ids)
        self._settings = settings
        self._dead_letters = dead_letters
        self._on_committed = on_committed
        self._on_failure = on_failure
        self._before_commit = before_commit
        self._in_order = in_order
        self._on_beside = on_beside
        self._changed = threading.Condition()  # guards everything below
        self._watermark: Watermark[_SpanRows] = Watermark(starts, settings.max_waiting_spans)
        self._ready: deque[_ReadyRows] = deque()
        self._ready_rows = 0
        self._committing = False
        self._draining = False
        self._closed = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        """Begin to commit."""
        self._thread.start()

    def add(self, span: OffsetRange, outcomes: Sequence[Outcome], beside: BesideRows | None = None) -> None:
        """Hand over a finished span; it never blocks: credits bound what is in flight, and a bound here is an error.

        Args:
            span: the offsets accounted for.
            outcomes: their rows in log order; offsets without one hold no record.
            beside: rows of another run for this span: they become visible in the same commit, and nobody is told of them by messages.

        Raises:
            GenerationFailed: the span overlaps another, too many spans wait behind a hole, or the committer is closed.
            IrstreamError: why the committer has stopped: the generation must end.
        """
        with self._changed:
            self._raise_failure()
            if self._closed:
                raise GenerationFailed(
                    expected="spans of a running generation", got=f"{span} after its end", where="committer", action="It is read again."
                )
            self._watermark.add(span, _SpanRows(tuple(outcomes), beside))
            ready = self._watermark.take_ready()
            self._ready.extend(ready)
            self._ready_rows += sum(len(entry.item.outcomes) for entry in ready)
            self._changed.notify_all()

    @property
    def num_waiting(self) -> int:
        """Finished spans behind one that is missing."""
        with self._changed:
            return self._watermark.num_waiting

    def drain(self, timeout_s: float, *, holes: bool = False) -> None:
        """Commit everything that was added, at once; returns when it is visible.

        Args:
            timeout_s: seconds that it may take.
            holes: what waits behind a hole is dropped, which is no fault: pieces of a partition were read side by side, and stopped.

        Raises:
            RetryLater: not within the time.
            GenerationFailed: a span is missing in between.
            IrstreamError: why the committer has stopped.
        """
        with self._changed:
            self._draining = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._failure is not None or not (self._ready or self._committing), timeout_s)
            self._draining = False
            self._raise_failure()
            if self._ready or self._committing:
                raise RetryLater(
                    expected=f"every finished row visible within {timeout_s:g} s",
                    got=f"{self._ready_rows} rows left",
                    where="committer",
                    action="They are computed again at the next start; raise stream.drain_timeout_s if this is normal here.",
                )
            if not holes:
                self._watermark.require_no_hole()

    def close(self) -> None:
        """Stop; a commit that is under way ends, nothing new begins. What is not committed is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(_CLOSE_TIMEOUT_S)
            if self._thread.is_alive():
                log.warning("commit_still_running", waited_s=_CLOSE_TIMEOUT_S, consequence="it ends without a row")

    def _in_log_order(self, entry: _ReadyRows) -> Sequence[Outcome]:
        return entry.item.outcomes if self._in_order is None else self._in_order(entry.span, entry.item.outcomes)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        due_at = time.monotonic()
        try:
            while batch := self._next_batch(due_at):
                due_at = time.monotonic() + self._settings.commit_interval_s
                self._commit(batch)
        except IrstreamError as error:
            self._fail(error)
        except Exception as error:
            log.exception("committer_failed")
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self._failure = error
            self._committing = False
            self._changed.notify_all()
        self._on_failure(error)

    def _next_batch(self, due_at: float) -> list[_ReadyRows]:
        """Wait for the next commit's spans; none when closed."""
        with self._changed:
            self._committing = False
            self._changed.notify_all()
            while not self._closed:
                wait_s = 0.0 if self._draining or self._ready_rows >= self._settings.max_rows_per_commit else due_at - time.monotonic()
                if self._ready and wait_s <= 0:
                    self._committing = True
                    return self._take()
                self._changed.wait(wait_s if self._ready else None)
            return []

    def _take(self) -> list[_ReadyRows]:
        batch: list[_ReadyRows] = []
        num_rows = 0
        while self._ready and (not batch or num_rows + len(self._ready[0].item.outcomes) <= self._settings.max_rows_per_commit):
            batch.append(self._ready.popleft())
            num_rows += len(batch[-1].item.outcomes)
        self._ready_rows -= num_rows
        return batch

    def _commit(self, batch: list[_ReadyRows]) -> None:
        spans = [entry.span for entry in batch]
        outcomes = [outcome for entry in batch for outcome in self._in_log_order(entry)]
        beside = [entry.item.beside for entry in batch if entry.item.beside is not None and len(entry.span)]
        letters = [outcome for outcome in outcomes if isinstance(outcome, DeadLetter)]
        self._dead_letters.send(letters)
        self._patiently(lambda again: self._acknowledged(bool(letters)))
        if accounted := [span for span in spans if len(span)]:
            self._patiently(lambda again: self._append(outcomes, accounted, beside, again=again))
        self._on_committed(spans, outcomes)
        if beside and self._on_beside is not None:
            self._on_beside(beside)

    def _acknowledged(self, has_letters: bool) -> None:
        """Everything that belongs to the rows is written in Kafka."""
        if self._before_commit is not None:
            self._before_commit(self._settings.publish_timeout_s)
        if has_letters:
            self._dead_letters.flush(self._settings.publish_timeout_s)

    def _append(self, outcomes: Sequence[Outcome], spans: Sequence[OffsetRange], beside: Sequence[BesideRows], *, again: bool) -> None:
        if again and self._stands_behind(spans):
            return  # the attempt whose answer was lost did take place
        info = self._table.append(outcomes, spans, self._topic_ids, beside)
        log.debug("committed", rows=info.num_rows, version=info.version, commit_ms=round(info.commit_ms, 1))

    def _stands_behind(self, spans: Sequence[OffsetRange]) -> bool:
        following = {span.topic_partition: span.stop for span in spans}
        return all(self._table.next_offsets(name.topic, [name.partition]).get(name.partition) == stop for name, stop in following.items())

    def _patiently(self, work: Callable[[bool], None]) -> None:
        """Do one step of a commit, again and again while what it needs is away; `work` is given whether it is tried again.

        Raises:
            GenerationFailed: the generation has ended: a commit after that would race with the next one, which reads its offsets again.
            IrstreamError: the step cannot succeed.
        """
        wait_s, again = _FIRST_WAIT_S, False
        while True:
            with self._changed:
                if self._closed:
                    raise GenerationFailed(
                        expected="a commit of a running generation", got="its end", where="committer", action="Its rows are made again."
                    )
            try:
                return work(again)
            except GenerationFailed:
                raise
            except RetryLater as error:
                log.warning("commit_waits", again_in_s=wait_s, error=str(error))
            with self._changed:
                self._changed.wait_for(lambda: self._closed, wait_s)
            wait_s, again = min(2 * wait_s, _LONGEST_WAIT_S), True
