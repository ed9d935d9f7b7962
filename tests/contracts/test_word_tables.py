"""docs/frame-message.md lists every word we know under another name."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from contracts.words import BAND_WORDS, CONTENT_TYPE_WORDS, DTYPE_WORDS, PLATFORM_WORDS
from tests.pinned import DOCS

TABLES: dict[str, Mapping[str, str]] = {
    "ir_platform": PLATFORM_WORDS,
    "ir_band": BAND_WORDS,
    "ir_dtype": DTYPE_WORDS,
    "content-type": CONTENT_TYPE_WORDS,
}


def table() -> str:
    """The section's table as Markdown."""
    lines = ["| header | taken as | words |", "|---|---|---|"]
    for header, words in TABLES.items():
        for meant in dict.fromkeys(words.values()):
            others = [word for word, value in words.items() if value == meant and word != str(meant)]
            if others:
                lines.append(f"| `{header}` | `{meant}` | {', '.join(f'`{word}`' for word in others)} |".replace("`|u1`", "`\\|u1`"))
    return "\n".join(lines) + "\n"


def test_the_page_lists_every_word() -> None:
    assert table() in (DOCS / "frame-message.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", TABLES.values(), ids=TABLES)
def test_no_word_is_written_so_that_it_is_never_found(words: Mapping[str, str]) -> None:
    """Words are looked up in lower case, and without blanks, hyphens and underscores where they are not there as they are."""
    assert [word for word in words if word != word.lower() or word != word.strip()] == []
