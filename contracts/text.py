"""Text that can be written as UTF-8, whatever a file system or a hostile message put into it."""

from __future__ import annotations


def well_formed(text: str) -> str:
    """The text with lone surrogates written as backslash escapes: one bad name must not stop its own row, letter or message."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
