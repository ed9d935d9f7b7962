"""Health of a stream: whether it lives and is ready, by its snapshots."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.runtime.progress import StreamProgress

_AT_WORK = ("streaming", "standby")


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer, and why."""

    good: bool
    why: str


class Health:
    """Live: rows are written while messages wait. Thread-safe.

    An orchestrator that restarts a stream because Kafka is away makes nothing better: then it is live and not ready.
    """

    def __init__(self, stall_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A start; it is live, however long it takes.

        Args:
            stall_s: a stream that writes no row for so long although messages wait is not live, nor one that says nothing.
            clock: seconds.
        """
        self._stall_s = stall_s
        self._clock = clock
        self._lock = threading.Lock()
        self._progress: StreamProgress | None = None
        self._seen_s = self._moved_s = clock()
        self._fault = ""

    def saw(self, progress: StreamProgress) -> None:
        """Take the newest snapshot."""
        with self._lock:
            now_s, before = self._clock(), self._progress
            moved = before is None or progress.frames_out != before.frames_out
            if moved or progress.away or not progress.lag:
                self._moved_s = now_s
            self._progress, self._seen_s = progress, now_s

    def failed(self, why: str) -> None:
        """The stream has ended by an error."""
        with self._lock:
            self._fault = why

    def live(self) -> Verdict:
        """Good while a restart is of no use."""
        with self._lock:
            progress, now_s = self._progress, self._clock()
            if self._fault:
                return Verdict(False, self._fault)
            if progress is None:
                return Verdict(True, "starting")
            if progress.state == "done":
                return Verdict(True, "done")
            if (silent_s := now_s - self._seen_s) > self._stall_s:
                return Verdict(False, f"no word of the stream for {silent_s:.0f} s")
            if progress.lag and (still_s := now_s - self._moved_s) > self._stall_s:
                return Verdict(False, f"{progress.lag} messages wait and no row was written for {still_s:.0f} s")
            return Verdict(True, progress.state)

    def ready(self) -> Verdict:
        """Good while frames that come now get their rows."""
        live = self.live()
        with self._lock:
            progress = self._progress
        if not live.good or progress is None:
            return Verdict(False, live.why)
        if progress.away:
            return Verdict(False, f"{progress.away} does not answer for {progress.away_s:.0f} s")
        return Verdict(progress.state in _AT_WORK, progress.state)
