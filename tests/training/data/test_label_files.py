"""Masks as people save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.errors import SettingsError
from tests.image_builders import ihdr, png, png_bomb
from training.data.label_files import read_mask

TRUTH_HW = np.zeros((9, 12), np.uint8)
TRUTH_HW[2:5, 3:7] = 1


def written(path: Path, image: NDArray[np.integer[Any]] | NDArray[np.float32]) -> Path:
    cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize("value", [1, 2, 38, 76, 127, 128, 255])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_two_values_are_background_and_target(value: int, dtype: str, tmp_path: Path) -> None:
    path = written(tmp_path / "mask.png", (TRUTH_HW * value).astype(dtype))
    np.testing.assert_array_equal(read_mask(path, (9, 12), "image.png"), TRUTH_HW)


def test_the_whole_range_of_16_bits_is_fine(tmp_path: Path) -> None:
    path = written(tmp_path / "mask.png", TRUTH_HW.astype(np.uint16) * 65535)
    np.testing.assert_array_equal(read_mask(path, (9, 12), "image.png"), TRUTH_HW)


def test_smoothed_edges_count_from_the_middle(tmp_path: Path) -> None:
    mask = TRUTH_HW * 255
    mask[2, 3:7] = (1, 127, 128, 254)
    found = read_mask(written(tmp_path / "mask.png", mask), (9, 12), "image.png")
    assert found[2, 3:7].tolist() == [0, 0, 1, 1]


def test_an_empty_mask_has_no_target(tmp_path: Path) -> None:
    assert not read_mask(written(tmp_path / "mask.png", TRUTH_HW * 0), (9, 12), "image.png").any()


def test_numbers_of_targets_are_refused(tmp_path: Path) -> None:
    mask = TRUTH_HW.copy()
    mask[3, 3:7] = 2
    with pytest.raises(SettingsError, match=r"mask\.png: expected a mask of two values, or greys up to 255 .*, got 3 values: 0, 1, 2\. "):
        read_mask(written(tmp_path / "mask.png", mask), (9, 12), "image.png")


def test_another_size_names_both_files_and_sizes(tmp_path: Path) -> None:
    path = written(tmp_path / "mask.png", TRUTH_HW)
    with pytest.raises(SettingsError, match=r"mask\.png: expected .* size of its image, 20 x 9 px \(image\.png\), got 12 x 9 px"):
        read_mask(path, (9, 20), "image.png")


def test_what_is_no_image_of_counts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(SettingsError, match=r"text\.png: expected an image \(PNG, JPEG, .*\), got 74 65 78 74"):
        read_mask(tmp_path / "text.png", (9, 12), "image.png")
    with pytest.raises(SettingsError, match=r"gone\.png: expected a readable image, got No such file"):
        read_mask(tmp_path / "gone.png", (9, 12), "image.png")
    with pytest.raises(SettingsError, match=r"float\.tiff: expected a mask of 8 or 16 bits, got float32"):
        read_mask(written(tmp_path / "float.tiff", TRUTH_HW.astype(np.float32)), (9, 12), "image.png")


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_masks_of_few_bits_are_fine(bits: int, tmp_path: Path) -> None:
    wide = np.repeat(TRUTH_HW, 2, axis=1)[:, :16]  # rows of whole bytes
    packed = np.packbits(np.repeat(wide, bits, axis=1), axis=1)
    height, width = wide.shape
    (tmp_path / "mask.png").write_bytes(png(ihdr(width, height, bits=bits), b"".join(b"\0" + row.tobytes() for row in packed)))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", (height, width), "image.png"), wide)


def test_a_large_empty_mask_is_no_bomb(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(png_bomb(6000))
    assert not read_mask(tmp_path / "mask.png", (6000, 6000), "image.png").any()
