"""Counts on their way to the browser."""

from __future__ import annotations

import json

import numpy as np
import pytest

from contracts.frame import Pixels
from contracts.limits import InputLimits
from deploy.viewing.pictures import Counts, cut, decode, packed, smaller
from tests.deploy.viewing.messages import record


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_bit_arrives(dtype: str) -> None:
    counts_HW = np.random.default_rng(0).integers(0, 2**16, (33, 47))
    pixels_HW: Pixels = counts_HW.astype(np.uint16) if dtype == "uint16" else (counts_HW % 256).astype(np.uint8)
    counts = decode(record(0, pixels_HW=pixels_HW), InputLimits(), 4096)
    assert isinstance(counts, Counts)
    body = packed([({"key": 1}, None), (counts.about | {"key": 2}, counts.pixels_HW)])
    length = int.from_bytes(body[:4], "little")
    head = json.loads(body[4 : 4 + length])["frames"][1]
    start = 4 + length + head["blob_at"]
    assert start % 8 == 0
    found = np.frombuffer(body[start : start + head["bytes"]], head["dtype"]).reshape(head["height"], head["width"])
    assert np.array_equal(found, pixels_HW)


def test_what_cannot_be_decoded_says_why() -> None:
    broken = record(0)
    assert decode(type(broken)(broken.position, b"cam", b"\x89PNG\r\n\x1a\n", (), 0), InputLimits(), 320).startswith("corrupt_image")  # type: ignore[union-attr]


def test_small_frames_keep_their_kind_and_mean() -> None:
    pixels_HW = np.random.default_rng(0).integers(1000, 16000, (200, 400), np.uint16)
    small_HW = smaller(pixels_HW, 100)
    assert (small_HW.shape, small_HW.dtype.name) == ((50, 100), "uint16")
    assert abs(small_HW.mean() - pixels_HW.mean()) < 1


@pytest.mark.parametrize(
    ("box", "corner", "shape"),
    [
        pytest.param((10, 10, 14, 12), (7, 6), (10, 10), id="inside"),
        pytest.param((0, 0, 2, 2), (0, 0), (8, 8), id="at a corner"),
        pytest.param((0, 0, 40, 30), (0, 0), (30, 40), id="larger than the frame"),
    ],
)
def test_a_cut_stays_within_the_frame(box: tuple[float, float, float, float], corner: tuple[int, int], shape: tuple[int, int]) -> None:
    part_HW, found = cut(np.zeros((30, 40), np.uint8), box, 3)
    assert (part_HW.shape, found) == (shape, corner)
