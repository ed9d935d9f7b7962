"""Sizes and costs that are written down are those of the networks."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

import pytest
from torch import Tensor, nn

from models.cost import SKETCHES, counted, gmacs, sketch
from models.interface import MetadataBatch
from models.segmentation.base import SegmentationModel
from models.zoo import list_models


class Looks(SegmentationModel):
    """Computes more where its frame is bright: what it does follows from values, which the meta device does not have."""

    paper = "none"

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, pixels_B1HW: Tensor, metadata: MetadataBatch) -> Tensor:
        answer: Tensor = self.layer(pixels_B1HW)
        return self.layer(answer) if float(pixels_B1HW.max()) > 1 else answer


def test_a_network_that_looks_at_its_pixels_is_counted_too() -> None:
    assert gmacs(Looks(), 64) == pytest.approx(9 * 64 * 64 / 1e9)


@pytest.mark.slow
def test_what_is_written_down_is_what_is_counted() -> None:
    ours = [name for name in list_models() if not name.startswith("toy_")]  # those of other tests, counted in a stream of theirs
    text = json.dumps([asdict(counted(name)) for name in ours], indent=1) + "\n"
    if os.environ.get("UPDATE_PINNED") == "1":
        SKETCHES.write_text(text, encoding="utf-8")
    assert SKETCHES.read_text(encoding="utf-8") == text, "a network has changed; if that is meant: UPDATE_PINNED=1 pytest"
    assert [sketch(name) for name in ours] == [counted(name) for name in ours]
