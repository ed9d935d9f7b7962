"""Text: numbers with their noun, and text that can be written as UTF-8 whatever a file system or a hostile message put into it."""

from __future__ import annotations

import re

# C0 but for the end of a line and the tabulator, DEL, C1, and what turns the direction of text: a terminal obeys them.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def well_formed(text: str) -> str:
    """The text with lone surrogates written as backslash escapes: one bad name must not stop its own row, letter or message."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def escaped(text: str) -> str:
    """The text with control characters and lone surrogates written as backslash escapes, so that a terminal shows and does not obey them.

    Ends of lines and tabulators stay.
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def counted(number: float, noun: str) -> str:
    """A number with its noun, `1 step`, `2 steps`, `0.5 epochs`; of nouns whose plural ends with s."""
    digits = str(number) if isinstance(number, int) else f"{number:g}"
    return f"{digits} {noun}{'s' * (number != 1)}"
