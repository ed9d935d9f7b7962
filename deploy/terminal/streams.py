"""The standard streams of a command."""

from __future__ import annotations

import io
import sys


def never_fail_for_a_character() -> None:
    """Write what the encoding of a standard stream lacks (an ASCII locale) as backslash escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
