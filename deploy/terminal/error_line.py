"""Errors on stderr: one line each."""

from __future__ import annotations

import sys

from contracts.text import escaped


def show_error(text: str) -> None:
    """One message on stderr, coloured on a terminal."""
    if sys.stderr.isatty():
        from rich.text import Text

        from deploy.terminal.consoles import note_console

        note_console().print(Text("error: ", style="bold red") + Text(text))
    else:
        sys.stderr.write(f"error: {escaped(text)}\n")
