"""Virtual time: an event loop that jumps to the next timer instead of sleeping, and an executor that takes as long as told.

A test runs in microseconds whatever times it speaks of, always in the same order, and a hang is an error at once.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")


class NothingWillHappenError(Exception):
    """The loop waits for something that can never come: without virtual time this test would hang."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Look at what is ready; when nothing is, let the time pass that the loop wanted to wait."""
        ready = super().select(0)
        if not ready and timeout is None:
            raise NothingWillHappenError("no timer is armed and nothing is ready")
        if not ready:
            self.now_s += max(0.0, timeout or 0.0)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` starts at 0 and moves only from timer to timer."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now_s


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


class VirtualExecutor(Executor):
    """Runs one call at a time; each takes `duration_s(*args)` of virtual time and is computed at its end."""

    def __init__(self, duration_s: Callable[..., float], num_workers: int = 1) -> None:
        self._duration_s = duration_s
        self._queue: deque[tuple[Future[Any], Callable[[], Any], float]] = deque()
        self._free = num_workers
        self._shut_down = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Queue a call."""
        if self._shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()
        self._queue.append((future, lambda: fn(*args, **kwargs), self._duration_s(*args)))
        self._next()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Refuse further calls."""
        self._shut_down = True

    def _next(self) -> None:
        if self._free and self._queue:
            self._free -= 1
            job = self._queue.popleft()
            asyncio.get_running_loop().call_later(job[2], self._complete, job)

    def _complete(self, job: tuple[Future[Any], Callable[[], Any], float]) -> None:
        future, call, _ = job
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - an executor hands every error to its future
            future.set_exception(error)
        self._free += 1
        self._next()
