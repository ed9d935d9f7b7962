"""Regions of probability maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from models.regions import answer_of, boxes_shown, regions_of

# pycocotools' own array type predates numpy 2's copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def decode(rle: str, height: int, width: int) -> np.ndarray:
    return np.asarray(coco.decode({"size": [height, width], "counts": rle.encode()}), bool)


def test_two_regions_with_all_their_figures() -> None:
    map_HW = np.zeros((8, 10), np.float32)
    map_HW[1:3, 2:5] = 0.8
    map_HW[6, 9] = 0.6
    found = regions_of(map_HW, 0.5)
    np.testing.assert_array_equal(found.boxes_xyxy_px, [[2, 1, 5, 3], [9, 6, 10, 7]])
    np.testing.assert_allclose(found.scores, [0.8, 0.6], rtol=1e-6)
    np.testing.assert_allclose(found.centroids_xy_px, [[3.5, 2.0], [9.5, 6.5]])
    np.testing.assert_array_equal(found.areas_px, [6, 1])
    np.testing.assert_array_equal(decode(found.mask_rles[0], 8, 10), map_HW == np.float32(0.8))


def test_diagonal_neighbours_are_one_region() -> None:
    assert len(regions_of(np.eye(5, dtype=np.float32), 0.5)) == 1


def test_threshold_is_exclusive_and_small_regions_are_dropped() -> None:
    map_HW = np.zeros((6, 6), np.float32)
    map_HW[0, 0] = 0.5
    map_HW[3:5, 3:5] = 0.9
    assert len(regions_of(map_HW, 0.5)) == 1
    assert len(regions_of(map_HW, 0.4)) == 2
    assert len(regions_of(map_HW, 0.4, min_area_px=2)) == 1


@given(arrays(np.float32, (9, 11), elements=st.floats(0, 1, width=32)), st.integers(1, 6))
def test_the_answer_is_the_pixels_of_all_regions(map_HW: np.ndarray, min_area_px: int) -> None:
    found = regions_of(map_HW, 0.6, min_area_px)
    masks = [decode(rle, 9, 11) for rle in found.mask_rles]
    np.testing.assert_array_equal(answer_of(map_HW, 0.6, min_area_px), np.any([np.zeros((9, 11), bool), *masks], axis=0))


def test_an_empty_map_has_no_region() -> None:
    assert len(regions_of(np.zeros((4, 4), np.float32), 0.5)) == 0


def test_noise_cannot_flood_the_table_and_the_best_are_kept() -> None:
    map_HW = np.zeros((20, 20), np.float32)
    map_HW[::2, ::2] = np.linspace(0.6, 0.9, 100).reshape(10, 10)
    found = regions_of(map_HW, 0.5, max_regions=10)
    assert len(found) == 10
    np.testing.assert_allclose(found.scores, np.linspace(0.6, 0.9, 100)[:-11:-1], rtol=1e-6)


@settings(max_examples=60)
@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_masks_boxes_and_areas_describe_the_same_pixels(mask: np.ndarray) -> None:
    found = regions_of(mask.astype(np.float32), 0.5)
    union = np.zeros(mask.shape, bool)
    for index, rle in enumerate(found.mask_rles):
        region = decode(rle, *mask.shape)
        rows, columns = np.nonzero(region)
        assert region.sum() == found.areas_px[index]
        assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == found.boxes_xyxy_px[index].tolist()
        np.testing.assert_allclose(found.centroids_xy_px[index], [columns.mean() + 0.5, rows.mean() + 0.5], rtol=1e-5)
        assert not (union & region).any()
        union |= region
    np.testing.assert_array_equal(union, mask)


def test_what_comes_from_void_pixels_is_no_region_and_a_dead_column_through_a_target_costs_nothing() -> None:
    map_HW, void_HW = np.zeros((20, 20), np.float32), np.zeros((20, 20), bool)
    map_HW[2:5, 2:5] = map_HW[10:13, 10:13] = 0.9
    void_HW[:8, :8] = void_HW[:, 11] = True
    found = regions_of(map_HW, 0.5, void_HW=void_HW)
    np.testing.assert_array_equal(found.boxes_xyxy_px, [[10, 10, 13, 13]])
    np.testing.assert_array_equal(answer_of(map_HW, 0.5, void_HW=void_HW), decode(found.mask_rles[0], 20, 20))
    assert len(regions_of(map_HW, 0.5)) == 2


def test_boxes_in_the_void_are_not_shown() -> None:
    void_HW = np.zeros((20, 30), bool)
    void_HW[:6] = void_HW[:, 20] = True
    boxes = np.array([[3, 1, 6, 4], [3, 4, 6, 9], [18, 10, 23, 14], [-4, -4, 2, 2], [28, 18, 35, 25], [20, 10, 20, 10]], np.float32)
    assert boxes_shown(boxes, void_HW).tolist() == [False, True, True, False, True, False]
    assert boxes_shown(np.zeros((0, 4), np.float32), void_HW).shape == (0,)
