"""Masks of other conventions: read as they are meant, or refused with the values found; no target is lost without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from contracts.errors import SettingsError
from training.data.label_files import boxes_of_mask, read_mask, read_mask_labels
from training.data.label_values import voc_palette
from training.data.samples import read_folder

SHAPE = (48, 64)


def squares(num: int, first: int = 1, step: int = 1, dtype: str = "uint8") -> NDArray[Any]:
    numbers_HW = np.zeros(SHAPE, dtype)
    for index in range(num):
        row, column = 4 * (index // 16), 4 * (index % 16)
        numbers_HW[row : row + 3, column : column + 2] = first + step * index
    return numbers_HW


def saved(path: Path, numbers: NDArray[Any], palette: NDArray[np.uint8] | None = None, bits: int = 8) -> Path:
    image = Image.fromarray(numbers)
    if palette is not None:
        image = image.convert("P") if numbers.ndim == 3 else Image.fromarray(numbers, "P")
        image.putpalette(palette.tobytes())
    image.save(path, **({} if palette is None else {"bits": bits}))  # type: ignore[arg-type]
    return path


def target(path: Path) -> NDArray[np.uint8]:
    return read_mask(path, SHAPE, "image.png")


@pytest.mark.parametrize(
    ("num", "first", "step", "dtype"),
    [
        (3, 1, 1, "uint8"),
        (150, 1, 1, "uint8"),
        (190, 60, 1, "uint8"),
        (40, 255, -1, "uint8"),
        (190, 1, 300, "uint16"),
        (2, 100, 27, "uint8"),
    ],
)
def test_numbers_of_instances_are_all_targets(tmp_path: Path, num: int, first: int, step: int, dtype: str) -> None:
    numbers_HW = squares(num, first, step, dtype)
    path = saved(tmp_path / "mask.png", numbers_HW)
    np.testing.assert_array_equal(target(path), numbers_HW > 0)
    assert len(boxes_of_mask(path)) == num


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_numbers_in_a_palette_are_targets_whatever_their_colour(tmp_path: Path, bits: int) -> None:
    numbers_HW = squares(3)
    path = saved(tmp_path / "mask.png", numbers_HW, voc_palette()[: 2**bits], bits)
    np.testing.assert_array_equal(target(path), numbers_HW > 0)
    assert read_mask_labels(path, SHAPE, "image.png").ignored_HW is None


@pytest.mark.parametrize("as_colours", [False, True])
def test_the_border_of_pascal_voc_is_neither_target_nor_background(tmp_path: Path, as_colours: bool) -> None:
    numbers_HW = squares(3)
    numbers_HW[20:30, 10:20] = 255
    numbers_HW[22:28, 12:18] = 15
    stored = voc_palette()[numbers_HW] if as_colours else numbers_HW
    path = saved(tmp_path / "mask.png", stored, None if as_colours else voc_palette())
    np.testing.assert_array_equal(target(path), (numbers_HW > 0) & (numbers_HW < 255))
    np.testing.assert_array_equal(read_mask_labels(path, SHAPE, "image.png").ignored_HW, numbers_HW == 255)
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "image.png")
    (tmp_path / "index.jsonl").write_text(json.dumps({"file": "image.png", "mask": "mask.png"}))
    (sample,) = read_folder(tmp_path)
    assert len(sample.boxes_xyxy_px) == 4
    np.testing.assert_array_equal(sample.unknown_HW, numbers_HW == 255)


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_no_colour_is_lost(tmp_path: Path, suffix: str) -> None:
    numbers_HW = squares(6)
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 40], [255, 255, 0], [9, 9, 9]], np.uint8)
    path = saved(tmp_path / f"mask.{suffix}", colours[numbers_HW])
    np.testing.assert_array_equal(target(path), numbers_HW > 0)


def with_values(*values: int) -> NDArray[np.uint8]:
    """Regions that hold all of the values beside each other, so that they are no numbers of instances."""
    numbers_HW = np.zeros(SHAPE, np.uint8)
    for index, value in enumerate(values):
        numbers_HW[10:16, 8 + 2 * index : 10 + 2 * index] = numbers_HW[30:36, 8 + 2 * index : 10 + 2 * index] = value
    return numbers_HW


@pytest.mark.parametrize(
    ("numbers_HW", "found"),
    [
        pytest.param(with_values(1, 255), "3 values: 0, 1, 255", id="a class and an ignored border, without a palette"),
        pytest.param(with_values(1, 2, 3, 255), "5 values: 0, 1, 2, 3, 255", id="classes and an ignored border"),
        pytest.param(with_values(1, 2), "3 values: 0, 1, 2", id="classes"),
        pytest.param(
            np.where(np.indices(SHAPE)[1] < 4, 90, with_values(200, 255)).astype(np.uint8), "values: 0, 90, 200, 255", id="a faint region"
        ),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_with_its_values(tmp_path: Path, numbers_HW: NDArray[np.uint8], found: str) -> None:
    with pytest.raises(SettingsError, match=found):
        target(saved(tmp_path / "mask.png", numbers_HW))


def test_an_ignored_number_of_another_palette_is_refused(tmp_path: Path) -> None:
    palette = np.random.default_rng(1).integers(0, 255, (256, 3)).astype(np.uint8)
    palette[0] = 0
    with pytest.raises(SettingsError, match=r"PASCAL VOC only.*3 values: 0, 1, 255"):
        target(saved(tmp_path / "mask.png", with_values(1, 255), palette))


def test_what_compression_leaves_around_an_edge_is_no_target(tmp_path: Path) -> None:
    mask_HW = np.zeros(SHAPE, np.uint8)
    mask_HW[11:29, 13:40] = 255
    path = tmp_path / "mask.jpg"
    Image.fromarray(mask_HW).save(path, quality=90)
    np.testing.assert_array_equal(target(path), mask_HW > 0)


@pytest.mark.parametrize("box", [[10, 12, 40, 45], [60, 10, 6, 3], [-3, 2, 5, 5], [3, 46, 2, 5]])
def test_boxes_beyond_their_image_are_refused_with_file_and_line(tmp_path: Path, box: list[int]) -> None:
    for name in ("a.png", "b.jpg", "c.bmp"):
        Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / name)
        good, bad = ({"file": name, "boxes": [each]} for each in ([0, 0, 64, 48], box))
        (tmp_path / "index.jsonl").write_text("\n".join([json.dumps(good), "", json.dumps(bad)]))
        with pytest.raises(SettingsError, match=rf"index\.jsonl:3: expected boxes inside {name}, 64 x 48 px"):
            read_folder(tmp_path)


def test_coordinates_that_begin_at_one_are_taken(tmp_path: Path) -> None:
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "index.jsonl").write_text(json.dumps({"file": "a.png", "boxes": [[1, 1, 64, 48]]}))
    assert len(read_folder(tmp_path)) == 1
