"""Fusion: where a joined target lies, how large it is, and which of several candidates is joined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from contracts.outputs import Classification, Segmentation
from contracts.result import Detection
from pipeline.inference.fusion import name_targets
from tests.pipeline.inference.test_fusion import SIZE_PX, boxes, fuse, regions, rle_of


def test_what_both_found_takes_centroid_and_area_of_the_mask() -> None:
    target = fuse(boxes((10, 10, 16, 16)), regions((11, 11, 14, 15)))
    assert target.centroids_xy_px.tolist() == [[12.5, 13]]
    assert target.areas_px.tolist() == [12]


def test_what_one_found_has_its_own_centroid() -> None:
    target = fuse(boxes((10, 10, 16, 20), score=0.6), regions((40, 30, 44, 32)))
    assert target.centroids_xy_px.tolist() == [[13, 15], [42, 31]]


def test_fragments_count_by_their_area() -> None:
    found = boxes((10, 10, 30, 30), score=0.5)
    small, large = (11, 11, 14, 14), (20, 20, 26, 26)  # 9 and 36 px
    both = regions(small, large)
    scores = np.array([0.9, 0.4], np.float32)
    both = Segmentation(both.boxes_xyxy_px, scores, both.centroids_xy_px, both.areas_px, both.mask_rles, both.scrs)
    target = fuse(found, both)
    assert target.scores[0] == pytest.approx(1 - 0.5 * (1 - (9 * 0.9 + 36 * 0.4) / 45))
    np.testing.assert_allclose(target.centroids_xy_px, [[(9 * 12.5 + 36 * 23) / 45] * 2], rtol=1e-6)
    assert target.scrs[0] == pytest.approx((9 * 2 + 36 * 3) / 45)
    rle = target.mask_rles[0]
    assert rle is not None
    mask_HW = coco_mask.decode({"size": list(SIZE_PX), "counts": rle.encode()})
    expected = np.zeros(SIZE_PX, np.uint8)
    expected[11:14, 11:14] = 1
    expected[20:26, 20:26] = 1
    np.testing.assert_array_equal(mask_HW, expected)


def test_overlap_alone_joins() -> None:
    assert len(fuse(boxes((10, 10, 20, 20)), regions((15, 10, 35, 20)))) == 1  # IoU 0.2, centre outside, 10 px away


def test_overlap_decides_before_distance() -> None:
    # Nearer to the centre of the small box, but by IoU a part of the large one.
    target = fuse(boxes((10, 10, 40, 40), (30, 20, 44, 24)), regions((20, 12, 40, 34)))
    assert target.found_by == (("detector", "segmenter"), ("detector",))
    assert target.boxes_xyxy_px[0].tolist() == [10, 10, 40, 40]


def test_of_equal_overlap_the_nearer_box_is_taken() -> None:
    target = fuse(boxes((9, 10, 10, 11), (12, 10, 13, 11)), regions((11, 10, 12, 11)))
    assert target.found_by[0] == ("detector", "segmenter")
    assert target.boxes_xyxy_px[0].tolist() == [12, 10, 13, 11]


@pytest.mark.parametrize(
    ("min_score", "kept"),
    [(0, [0.88, 0.7, 0.6]), (0.6, [0.88, 0.7, 0.6]), (0.61, [0.88, 0.7]), (0.7, [0.88, 0.7]), (0.75, [0.88]), (0.9, [])],
)
def test_a_target_below_the_least_score_is_left_out_by_the_score_of_both(min_score: float, kept: list[float]) -> None:
    """0.6 and 0.7 of one target are 0.88; 0.7 as float32, as the table has it, is no less than 0.7."""
    target = fuse(
        boxes((10, 10, 16, 16), (60, 10, 66, 16), score=0.6), regions((11, 11, 15, 15), (40, 40, 44, 44), score=0.7), 9, min_score
    )
    np.testing.assert_allclose(target.scores, kept, rtol=1e-6)
    assert len(target.boxes_xyxy_px) == len(target.mask_rles) == len(target.found_by) == len(kept)


def test_every_field_of_a_detection() -> None:
    score: Any = pytest.approx(1 - 0.4 * 0.5)
    (found,) = name_targets(
        fuse(boxes((10, 20, 16, 30), score=0.6), regions((11, 21, 14, 26), score=0.5)),
        Classification(("car", "bus"), np.array([[0.25, 0.75]], np.float32)),
        0.75,
    )
    assert found == Detection(
        "bus",
        score,
        10,
        20,
        16,
        30,
        12.5,
        23.5,
        15,
        {"car": 0.25, "bus": 0.75},
        rle_of((11, 21, 14, 26)),
        ("detector", "segmenter"),
        2.0,
        label_score=0.75,
    )
