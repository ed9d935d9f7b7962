"""Signals that wait for the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM act at the end of the block: weights, average and step count then belong together.

    The second of them acts at once: a block may hang. Only where Python code handles them, and in the main thread, the only one that may
    change that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    held = {number: handler for number, handler in before.items() if callable(handler)}

    def release() -> None:
        for number, handler in held.items():
            signal.signal(number, handler)

    def hold(number: int, frame: FrameType | None) -> None:
        if came:
            release()
            held[signal.Signals(number)](number, frame)
        came.append((number, frame))

    for number in held:
        signal.signal(number, hold)
    try:
        yield
    finally:
        release()
    for came_number, frame in came[:1]:
        held[signal.Signals(came_number)](came_number, frame)
