"""Masks of NUDT-SIRST keep their place beside the light through every flip."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.augmentation.geometry import apply_symmetry
from training.data.catalogue import KNOWN
from training.data.label_conventions import OFFSET, PLAIN, flip_marked, mark_of, marked
from training.data.samples import Role, read_samples

SIDE_PX = 40


def mask_of(*squares: tuple[int, int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Squares: top, left, side."""
    mask_HW = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    for top, left, side in squares:
        mask_HW[top : top + side, left : left + side] = 1
    return mask_HW


def test_targets_of_some_sizes_of_one_set_are_marked() -> None:
    mask_HW = mask_of((2, 2, 3), (10, 10, 5), (25, 25, 7))
    marks_HW = marked(mask_HW, "nudt-sirst")
    assert (marks_HW[3, 3], marks_HW[12, 12], marks_HW[27, 27]) == (PLAIN, OFFSET, PLAIN), "9, 25 and 49 px"
    np.testing.assert_array_equal(marks_HW > 0, mask_HW > 0)
    np.testing.assert_array_equal(marked(mask_HW, "irstd-1k"), mask_HW)


def test_sizes_with_the_offset_are_in_the_catalogue() -> None:
    assert KNOWN["nudt-sirst"].offset_areas_px == (13, 37)
    assert [mark_of(area_px, "nudt-sirst") for area_px in (12, 13, 37, 38)] == [PLAIN, OFFSET, OFFSET, PLAIN]
    assert {mark_of(20, name) for name in ("irstd-1k", "sirst-v2", "a folder of one's own")} == {PLAIN}


@pytest.mark.parametrize(("rows", "columns"), list(product((False, True), repeat=2)))
def test_marked_targets_move_back_by_a_pixel_and_no_others_do(rows: bool, columns: bool) -> None:
    mask_HW = mask_of((2, 2, 3), (10, 12, 5))
    flipped_HW = flip_marked(marked(mask_HW, "nudt-sirst"), rows, columns)
    plain_HW, offset_HW = (np.asarray(apply_symmetry(each, (rows, columns, False))) for each in (mask_of((2, 2, 3)), mask_of((10, 12, 5))))
    np.testing.assert_array_equal(flipped_HW == PLAIN, plain_HW > 0)
    np.testing.assert_array_equal(flipped_HW == OFFSET, np.roll(offset_HW, (-int(rows), -int(columns)), (0, 1)) > 0)


def test_what_leaves_the_mask_does_not_come_back_on_the_other_side() -> None:
    marks_HW = marked(mask_of((10, SIDE_PX - 5, 5)), "nudt-sirst")
    flipped_HW = flip_marked(marks_HW, rows=False, columns=True)
    assert int((flipped_HW == OFFSET).sum()) == 20
    assert not flipped_HW[:, 4:].any()


@pytest.mark.slow
@pytest.mark.parametrize("flips", list(product((False, True), repeat=2)))
def test_the_light_of_the_real_set_stays_right_of_and_below_its_masks(flips: tuple[bool, bool], shared_data: Path) -> None:
    """The median over some 60 training targets, through every flip; without the move it turns over."""
    rows, columns = flips
    offsets, unmoved = [], []
    for sample in read_samples(("nudt-sirst",), Role.TRAIN, shared_data)[:120]:
        pixels_HW = np.asarray(apply_symmetry(sample.pixels_HW, (rows, columns, False)), np.float64)
        marks_HW = marked(sample.mask_HW, sample.dataset)
        offsets += light_offsets(pixels_HW, flip_marked(marks_HW, rows, columns) == OFFSET)
        unmoved += light_offsets(pixels_HW, np.asarray(apply_symmetry(marks_HW, (rows, columns, False))) == OFFSET)
    assert len(offsets) >= 30
    np.testing.assert_allclose(np.median(offsets, axis=0), (0.5, 0.5), atol=0.25)
    expected = [-0.5 if flip else 0.5 for flip in flips]
    np.testing.assert_allclose(np.median(unmoved, axis=0), expected, atol=0.25)


def light_offsets(
    pixels_HW: np.ndarray[tuple[int, ...], np.dtype[np.float64]], offset_HW: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> list[tuple[float, float]]:
    """From the middle of each target's mask to its light: rows and columns of the centre of what stands out of the surroundings."""
    found = []
    num, labels_HW, stats_N5, middles_N2 = cv2.connectedComponentsWithStats(offset_HW.astype(np.uint8), connectivity=8)
    for index in range(1, num):
        left, top, width, height, area = (int(value) for value in stats_N5[index])
        rows, columns = slice(top - 3, top + height + 3), slice(left - 3, left + width + 3)
        inside = top >= 3 and left >= 3 and rows.stop <= labels_HW.shape[0] and columns.stop <= labels_HW.shape[1]
        if not inside or mark_of(area, "nudt-sirst") == PLAIN:
            continue
        window = pixels_HW[rows, columns]
        light = np.abs(window - np.median(window))
        light[light < 0.4 * light.max()] = 0
        row_HW, column_HW = np.mgrid[rows, columns]
        middle = np.array(((row_HW * light).sum(), (column_HW * light).sum())) / light.sum()
        found.append((middle[0] - middles_N2[index][1], middle[1] - middles_N2[index][0]))
    return found
