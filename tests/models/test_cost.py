"""Sizes and costs that are written down are those of the networks."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import pytest

from models.cost import SKETCHES, counted, sketch
from models.zoo import list_models


@pytest.mark.slow
def test_what_is_written_down_is_what_is_counted() -> None:
    ours = [name for name in list_models() if not name.startswith("toy_")]  # those of other tests, counted in a stream of theirs
    text = json.dumps([asdict(counted(name)) for name in ours], indent=1) + "\n"
    if os.environ.get("UPDATE_PINNED") == "1":
        SKETCHES.write_text(text, encoding="utf-8")
    assert SKETCHES.read_text(encoding="utf-8") == text, "a network has changed; if that is meant: UPDATE_PINNED=1 pytest"
    assert [sketch(name) for name in ours] == [counted(name) for name in ours]
