"""Waiting for what must come. However slow the machine is: the guard is only against waiting for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

GUARD_S = 120.0


def wait_until(done: Callable[[], object], what: str, guard_s: float = GUARD_S) -> None:
    """Look again and again until it is so.

    Args:
        done: asked ten times a second.
        what: is waited for, as the error names it.
        guard_s: seconds after which it will never come.

    Raises:
        TimeoutError: it has not come.
    """
    deadline = time.monotonic() + guard_s
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"expected {what}, got none in {guard_s:g} s")
        time.sleep(0.1)
