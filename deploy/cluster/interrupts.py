"""SIGTERM as Ctrl-C: how service managers and clusters end a process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGTERM end the block as Ctrl-C does: what it has started is put away, and the exit code says interrupted.

    Only in the main thread, the only one that may say what a signal does.

    Raises:
        KeyboardInterrupt: SIGTERM came.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except SystemExit as error:
        # Of the handler that Ray installs while it starts.
        if error.code != signal.SIGTERM:
            raise
        raise KeyboardInterrupt from error
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
