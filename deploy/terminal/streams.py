"""The standard streams of a command."""

from __future__ import annotations

import io
import os
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def never_fail_for_a_character() -> None:
    """Write what the encoding of a standard stream lacks (an ASCII locale) as backslash escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def last_words() -> Iterator[None]:
    """Write to stdout behind the work: where nobody reads it any more (`| true`), the work is done all the same."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # the latter is how Rich says the former
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # what is still held back would fail again at the end of the process
        os.close(nowhere)


@contextmanager
def no_echo_of_control_keys() -> Iterator[None]:
    """While the block runs, the terminal writes no `^C` into what is drawn on it; nothing where there is none."""
    try:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
    except (OSError, ValueError, AttributeError, termios.error):
        yield
        return
    if not _in_front(terminal):
        yield
        return
    quiet = list(before)
    quiet[3] &= ~termios.ECHOCTL  # the local flags
    with suppress(termios.error):
        termios.tcsetattr(terminal, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        if _in_front(terminal):  # no longer, where it was sent to the background or is a child in a group of its own
            with suppress(termios.error):
                termios.tcsetattr(terminal, termios.TCSANOW, before)


def _in_front(terminal: int) -> bool:
    """True where the terminal listens to this process; a process behind that sets it is stopped by the kernel."""
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
