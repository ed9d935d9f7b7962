"""An asyncio loop that runs in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

_END_S = 10.0


class LoopThread:
    """Runs from the start until `close`; coroutines are handed to `loop` with `asyncio.run_coroutine_threadsafe`."""

    def __init__(self, name: str) -> None:
        """Start it.

        Args:
            name: of the thread.
        """
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cancel what still runs on it, wait for that (10 s at most), and end it."""
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(_cancel_others(), self.loop).result(_END_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_END_S)
        if not self._thread.is_alive():
            self.loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
