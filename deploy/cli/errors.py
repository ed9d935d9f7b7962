"""Errors as the person who typed the command sees them."""

from __future__ import annotations

import os
import sys

# 0 done, 1 the answer is no
EXIT_WRONG_USE = 2  # wrong use or settings
EXIT_FAULT = 70  # EX_SOFTWARE: a fault of irstream itself
EXIT_INTERRUPTED = 130


def debugging() -> bool:
    """True when errors shall show their traceback (`--debug` or IRSTREAM_DEBUG=1)."""
    return os.environ.get("IRSTREAM_DEBUG", "") not in ("", "0")


def show_error(text: str) -> None:
    """One message on stderr, coloured on a terminal."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True).print(Text("error: ", style="bold red") + Text(text))
    else:
        sys.stderr.write(f"error: {text}\n")
