"""The coordinator of a generation within this process: the same rules on an asyncio loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from contracts.errors import IrstreamError
from pipeline.ingest.interfaces import ReadingEnded
from pipeline.ingest.loop_thread import LoopThread
from pipeline.ingest.read_coordinator import ReadCoordinator, ReadOrder, ReadStatus

Answer = TypeVar("Answer")


class LocalCoordinator:
    """A `Coordinator` for threads; may be called from any of them."""

    def __init__(self, starts: Mapping[int, int], max_blocks: int, max_bytes: int, order: ReadOrder | None = None) -> None:
        """Start the thread; arguments as `ReadCoordinator`."""
        self._rules = ReadCoordinator(starts, max_blocks, max_bytes, order)
        self._lock = threading.Lock()
        self._closed = False
        self._thread = LoopThread("read-coordinator")

    def claim(self, epoch: int, part: int) -> int | None:
        """See `ReadTaskCoordinator`."""
        return self._answer(self._rules.claim(epoch, part))

    def admit(self, *, holds_slot: bool) -> bool:
        """See `ReadTaskCoordinator`."""
        return self._answer(self._rules.admit(holds_slot=holds_slot))

    def charge(self, num_bytes: int, num_messages: int = 0) -> None:
        """See `ReadTaskCoordinator`."""
        self._submit(self._rules.charge(num_bytes, num_messages))

    def finish(self, epoch: int, part: int, stop: int, *, holds_slot: bool) -> None:
        """See `ReadTaskCoordinator`."""
        self._answer(self._rules.finish(epoch, part, stop, holds_slot=holds_slot))

    def fail(self, error: IrstreamError) -> None:
        """See `ReadTaskCoordinator`."""
        self._answer(self._rules.fail(error))

    def credit(self, num_blocks: int, num_bytes: int) -> None:
        """See `Coordinator`."""
        self._submit(self._rules.credit(num_blocks, num_bytes))

    def stop(self) -> None:
        """See `Coordinator`."""
        self._answer(self._rules.stop())

    def status(self) -> ReadStatus:
        """See `Coordinator`."""
        return self._answer(self._rules.status())

    def close(self) -> None:
        """End it; who waits for an answer gets `ReadingEnded`."""
        with self._lock:
            if self._closed:
                return
            self._closed = True  # whatever came before is on the loop by now
        self._thread.close()

    def _submit(self, call: Coroutine[Any, Any, Answer]) -> Future[Answer] | None:
        with self._lock:
            if self._closed:
                call.close()
                return None
            return asyncio.run_coroutine_threadsafe(call, self._thread.loop)

    def _answer(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        pending = self._submit(call)
        if pending is None:
            raise ReadingEnded
        try:
            return pending.result()
        except CancelledError:
            raise ReadingEnded from None
