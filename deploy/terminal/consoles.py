"""Places to write to: stdout holds the answer, stderr what is said on the way.

What cameras, files and brokers call themselves is text of others: none of its control characters reaches the terminal, whichever view
shows it. Where there is no terminal nothing is fitted to one: lines are as long as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from contracts.text import escaped

_PIPE_COLUMNS = 100_000  # tables are as wide as what is in them


class SafeConsole(Console):
    """Shows control characters in text as escapes; its own (colours, cursor) are no text and stay."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, cells of tables escaped before their columns get a width: an escape is longer than what it stands for."""
        for table in objects:
            if isinstance(table, Table):
                for column in table.columns:
                    column._cells = [_safe_cell(cell) for cell in column.cells]  # noqa: SLF001 - it has no other way in
        super().print(*objects, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments of what is to be shown."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(escaped(segment.text), segment.style)


def _safe_cell(cell: RenderableType) -> RenderableType:
    plain = cell.plain if isinstance(cell, Text) else cell
    if not isinstance(plain, str) or escaped(plain) == plain:
        return cell
    return Text(escaped(plain), style=cell.style if isinstance(cell, Text) else "")


def answer_console(*, stdout_is_json: bool = False) -> Console:
    """For the answer as people read it, in lines that are never wrapped: stdout, or stderr when a program reads stdout."""
    console = SafeConsole(stderr=stdout_is_json, soft_wrap=True)
    return console if console.is_terminal else SafeConsole(stderr=stdout_is_json, soft_wrap=True, width=_PIPE_COLUMNS)


def table_console() -> Console:
    """For tables on stdout: as wide as the terminal, and as wide as they are where there is none, for `grep` and `less -S`."""
    console = SafeConsole(highlight=False)
    return console if console.is_terminal else SafeConsole(highlight=False, width=_PIPE_COLUMNS)


def note_console() -> Console:
    """For what is said while a command works: stderr."""
    return SafeConsole(stderr=True)


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
