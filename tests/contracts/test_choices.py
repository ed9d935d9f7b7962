"""Choosing by name."""

from __future__ import annotations

import pytest

from contracts.choices import chosen
from contracts.errors import SettingsError

SHAPES = {"square": 4, "triangle": 3}


def test_a_known_name_gives_what_it_stands_for() -> None:
    assert chosen(SHAPES, "triangle", "shape") == 3


@pytest.mark.parametrize(("name", "action"), [("squere", "Did you mean 'square'?"), ("lion", "Draw one."), ("", "Draw one.")])
def test_an_unknown_name_is_told_the_known_ones_and_the_likely_one(name: str, action: str) -> None:
    with pytest.raises(SettingsError) as caught:
        chosen(SHAPES, name, "shape", "Draw one.")
    assert str(caught.value) == f"shape: expected one of square, triangle, got {name!r}. {action}"
