"""Errors on stderr: one line each."""

from __future__ import annotations

import sys


def show_error(text: str) -> None:
    """One message on stderr, coloured on a terminal."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True).print(Text("error: ", style="bold red") + Text(text))
    else:
        sys.stderr.write(f"error: {text}\n")
