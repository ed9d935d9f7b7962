"""Sizes and costs that are written down are those of the networks."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import pytest

from models.cost import SKETCHES, counted, sketch
from models.zoo import list_models
from tests.training.toy_networks import TOYS


@pytest.mark.slow
def test_what_is_written_down_is_what_is_counted() -> None:
    text = json.dumps([asdict(counted(name)) for name in list_models() if name not in TOYS], indent=1) + "\n"
    if os.environ.get("UPDATE_PINNED") == "1":
        SKETCHES.write_text(text, encoding="utf-8")
    assert SKETCHES.read_text(encoding="utf-8") == text, "a network has changed; if that is meant: UPDATE_PINNED=1 pytest"


@pytest.mark.parametrize("name", TOYS)
def test_a_network_of_ones_own_is_counted(name: str) -> None:
    assert name not in SKETCHES.read_text(encoding="utf-8")
    assert sketch(name) == counted(name)
    assert sketch(name).parameters > 0
