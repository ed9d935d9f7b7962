"""Places to write to: stdout holds the answer, stderr what is said on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

_PIPE_COLUMNS = 240


def answer_console(*, stdout_is_json: bool = False) -> Console:
    """For the answer as people read it, in lines that are never wrapped: stdout, or stderr when a program reads stdout."""
    return Console(stderr=stdout_is_json, soft_wrap=True)


def table_console() -> Console:
    """For tables on stdout: as wide as the terminal, and wide enough for whole lines where there is none, for `grep` and `less -S`."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_COLUMNS)


def note_console() -> Console:
    """For what is said while a command works: stderr."""
    return Console(stderr=True)


@contextmanager
def status(text: str, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """A line on stderr with what is being done, while the block runs; nothing where no terminal is.

    Args:
        text: what is being done first.
        console: where to show it, stderr by default.

    Yields:
        A function that takes what is being done next.
    """
    with (console or note_console()).status(Text(text)) as shown:  # names of files may hold brackets, which are no markup
        yield lambda now: shown.update(Text(now))
