"""Text of others, shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.text import escaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cam\x1b[2J", "cam\\x1b[2J"),
        ("\x9b31m \x07 \x08 \x7f \r", "\\x9b31m \\x07 \\x08 \\x7f \\r"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("\u2028\u2066x\u2069", "\\u2028\\u2066x\\u2069"),
        ("\udcff", "\\udcff"),
        ("heiß ① 漢字 \u05e9\n\tnext", "heiß ① 漢字 \u05e9\n\tnext"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert escaped(text) == shown


@given(st.text())
def test_escaped_text_is_stable_and_can_be_written(text: str) -> None:
    once = escaped(text)
    assert escaped(once) == once
    once.encode()
    assert all(char.isprintable() or char in "\n\t" or ord(char) > 0x9F for char in once)
