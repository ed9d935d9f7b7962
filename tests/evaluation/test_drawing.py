"""Pictures for people's eyes: where things are drawn, and in what colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask

from evaluation.drawing import (
    FOUND,
    TRUTH,
    WORDS_PX,
    decode_mask,
    draw_boxes,
    draw_outlines,
    draw_words,
    encode_png,
    enlarged,
    grey_picture,
    in_rows,
    stretched,
    write_small_png,
)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_stretch_uses_the_whole_range_and_keeps_order(kind: type[Any]) -> None:
    ramp_HW: NDArray[Any] = np.linspace(100, 200, 10_000).reshape(100, 100).astype(kind)
    shown = stretched(ramp_HW)
    assert (int(shown.min()), int(shown.max()), shown.dtype.name) == (0, 255, "uint8")
    assert (np.diff(shown.reshape(-1).astype(int)) >= 0).all()


def test_stretch_of_flat_and_of_one_bright_pixel() -> None:
    flat = np.full((20, 20), 7, np.uint16)
    assert (stretched(flat) == 127).all()
    flat[3, 3] = 60_000
    assert stretched(flat)[3, 3] == 255
    assert stretched(flat)[0, 0] == 0


def test_floats_of_a_small_range_are_seen() -> None:
    """A float frame may span less than one count."""
    ramp_HW = np.linspace(0.1, 0.2, 400, dtype=np.float32).reshape(20, 20)
    assert np.ptp(stretched(ramp_HW)) == 255


def test_not_finite_pixels_are_dark() -> None:
    ramp_HW = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    ramp_HW[10, 10] = np.nan
    assert stretched(ramp_HW)[10, 10] == 0
    assert (stretched(np.full((3, 4), np.nan, np.float32)) == 127).all()


def test_a_mask_comes_back_as_drawn() -> None:
    drawn = np.zeros((10, 12), np.uint8, order="F")
    drawn[5:7, 3:5] = 1
    assert (decode_mask(mask.encode(drawn)["counts"].decode(), 10, 12) == drawn).all()


def places(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> set[tuple[int, int]]:
    """Row and column of each pixel of a colour."""
    return {(int(row), int(column)) for row, column in np.argwhere((picture == colour).all(2))}


def test_boxes_and_outlines_stand_where_the_target_is() -> None:
    picture = grey_picture(np.full((12, 16), 9, np.uint8))
    draw_boxes(picture, np.array([[4, 5, 7, 8]], np.float32), FOUND)
    ring = {(row, column) for row in range(4, 9) for column in range(3, 8) if row in (4, 8) or column in (3, 7)}
    assert places(picture, FOUND) == ring
    target_HW = np.zeros((12, 16), np.uint8)
    target_HW[5:8, 4:7] = 1
    draw_outlines(picture, target_HW, TRUTH)
    assert places(picture, TRUTH) == {(row, column) for row in range(5, 8) for column in range(4, 7)} - {(6, 5)}


def test_words_stay_in_their_strip() -> None:
    picture = draw_words(grey_picture(np.full((60, 120), 9, np.uint8)), "target 0.9")
    assert picture[:WORDS_PX].max() > 200
    assert (picture[WORDS_PX:] == 127).all()


def test_tiles_stand_in_rows() -> None:
    tiles = [np.full((2, 3, 3), number, np.uint8) for number in range(4)]
    assert in_rows(tiles, 2)[:, :, 0].tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2
    assert in_rows(tiles[:3], 2)[:, :, 0].tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 0, 0, 0]] * 2
    assert in_rows(tiles[3:], 2)[:, :, 0].tolist() == [[3, 3, 3]] * 2
    assert enlarged(np.eye(2, dtype=np.uint8), 4).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]


def test_red_stays_red_in_a_file(tmp_path: Path) -> None:
    red = np.zeros((4, 5, 3), np.uint8)
    red[..., 0] = 203
    write_small_png(red, tmp_path / "red.png")
    for encoded, level in ((encode_png(red), 203), ((tmp_path / "red.png").read_bytes(), 200)):
        blue_green_red = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
        assert blue_green_red is not None
        assert (blue_green_red == (0, 0, level)).all()
