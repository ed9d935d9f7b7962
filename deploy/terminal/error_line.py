"""Errors and warnings on stderr: one line each."""

from __future__ import annotations

import sys

from contracts.text import escaped


def show_error(text: str) -> None:
    """One message on stderr, coloured on a terminal."""
    _show("error: ", "bold red", text)


def show_warning(text: str) -> None:
    """The same of something that goes on."""
    _show("warning: ", "bold yellow", text)


def _show(word: str, style: str, text: str) -> None:
    if sys.stderr is None or sys.stderr.closed:  # `2>&-`: nobody listens
        return
    if sys.stderr.isatty():
        from rich.text import Text

        from deploy.terminal.consoles import note_console

        note_console().print(Text(word, style=style) + Text(text))
    else:
        sys.stderr.write(f"{word}{escaped(text)}\n")
        sys.stderr.flush()
