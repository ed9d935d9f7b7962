"""Numbers with their noun, and text that can be written."""

from __future__ import annotations

import pytest

from contracts.text import counted, well_formed


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (1.0, "1 step"), (0.5, "0.5 steps"), (1234567, "1234567 steps"), (-1, "-1 steps")],
)
def test_one_of_something_has_no_s(number: float, text: str) -> None:
    assert counted(number, "step") == text


def test_lone_surrogates_become_escapes() -> None:
    assert well_formed("a\udcffb") == "a\\udcffb"
    assert well_formed("ä") == "ä"
