"""Text: numbers with their noun, and text that can be written as UTF-8 whatever a file system or a hostile message put into it."""

from __future__ import annotations


def well_formed(text: str) -> str:
    """The text with lone surrogates written as backslash escapes: one bad name must not stop its own row, letter or message."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def counted(number: float, noun: str) -> str:
    """A number with its noun, `1 step`, `2 steps`, `0.5 epochs`; of nouns whose plural ends with s."""
    digits = str(number) if isinstance(number, int) else f"{number:g}"
    return f"{digits} {noun}{'s' * (number != 1)}"
