"""One target, one detection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from contracts.outputs import Classification, Detections, Segmentation
from models.boxes import areas, intersections
from pipeline.inference.fusion import Targets, join, name_targets

SIZE_PX = (64, 96)
Box = tuple[int, int, int, int]


def rle_of(box: Box) -> str:
    mask = np.zeros(SIZE_PX, np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    counts: bytes = coco_mask.encode(np.asfortranarray(mask))["counts"]
    return counts.decode()


def pixels_of(rle: str | None) -> int:
    assert rle is not None
    return int(coco_mask.area({"size": list(SIZE_PX), "counts": rle.encode()}))


def boxes(*items: Box, score: float = 0.5) -> Detections:
    return Detections(np.array(items, np.float32).reshape(-1, 4), np.full(len(items), score, np.float32))


def regions(*items: Box, score: float = 0.5) -> Segmentation:
    xyxy = np.array(items, np.float32).reshape(-1, 4)
    areas = np.prod(xyxy[:, 2:] - xyxy[:, :2], axis=1).astype(np.float32)
    centroids = ((xyxy[:, :2] + xyxy[:, 2:]) / 2).astype(np.float32)
    scrs = np.arange(2, len(items) + 2, dtype=np.float32)
    return Segmentation(xyxy, np.full(len(items), score, np.float32), centroids, areas, tuple(rle_of(item) for item in items), scrs)


def fuse(found: Detections, segmented: Segmentation, max_targets: int = 100, min_score: float = 0.0) -> Targets:
    return join(found, segmented, SIZE_PX, match_iou=0.1, match_distance_px=3.0, max_targets=max_targets, min_score=min_score)


def test_what_both_found_is_one_target_with_box_and_mask() -> None:
    target = fuse(boxes((10, 10, 16, 16), score=0.6), regions((11, 11, 15, 15), score=0.5))
    assert len(target) == 1
    assert target.boxes_xyxy_px.tolist() == [[10, 10, 16, 16]]
    assert target.found_by == (("detector", "segmenter"),)
    assert target.areas_px.tolist() == [16]
    assert target.centroids_xy_px.tolist() == [[13, 13]]
    assert target.scores[0] == pytest.approx(1 - 0.4 * 0.5)
    assert pixels_of(target.mask_rles[0]) == 16
    assert target.scrs.tolist() == [2]


def test_what_one_found_stays_and_says_so() -> None:
    target = fuse(boxes((10, 10, 16, 16), score=0.6), regions((40, 40, 44, 44)))
    assert target.found_by == (("detector",), ("segmenter",))
    assert target.mask_rles[0] is None
    assert pixels_of(target.mask_rles[1]) == 16
    assert target.areas_px.tolist() == [36, 16]
    assert np.isnan(target.scrs[0])
    assert target.scrs[1] == 2


def test_tiny_targets_match_by_distance_although_they_do_not_overlap() -> None:
    target = fuse(boxes((10, 10, 11, 11)), regions((12, 10, 13, 11)))
    assert len(target) == 1


def test_tiny_targets_farther_apart_are_two() -> None:
    target = fuse(boxes((10, 10, 11, 11)), regions((13, 10, 14, 11)))
    assert len(target) == 2


def test_fragments_in_one_box_become_one_mask() -> None:
    target = fuse(boxes((10, 10, 30, 30)), regions((11, 11, 14, 14), (20, 20, 25, 25)))
    assert len(target) == 1
    assert pixels_of(target.mask_rles[0]) == 9 + 25
    assert target.areas_px.tolist() == [34]


def test_a_region_between_two_boxes_goes_to_the_one_it_overlaps_best() -> None:
    target = fuse(boxes((10, 10, 20, 20), (18, 10, 28, 20)), regions((19, 11, 27, 19)))
    assert target.found_by == (("detector", "segmenter"), ("detector",))
    assert target.boxes_xyxy_px[0].tolist() == [18, 10, 28, 20]


def test_nothing_found_is_no_target() -> None:
    assert len(fuse(Detections.empty(), Segmentation.empty())) == 0


corner = st.tuples(st.integers(0, 80), st.integers(0, 50), st.integers(1, 14), st.integers(1, 12))
box_lists = st.lists(corner.map(lambda c: (c[0], c[1], c[0] + c[2], c[1] + c[3])), max_size=6)


@given(box_lists, box_lists)
def test_no_box_is_lost_and_no_region_counted_twice(found: list[Box], segmented: list[Box]) -> None:
    target = fuse(boxes(*found), regions(*segmented))
    both = sum(len(found_by) == 2 for found_by in target.found_by)
    only_segmented = sum(found_by == ("segmenter",) for found_by in target.found_by)
    assert only_segmented <= len(target) <= len(found) + only_segmented
    given_N4 = np.array(found, np.float32).reshape(-1, 4)
    shared_NM = intersections(given_N4, target.boxes_xyxy_px)
    assert (shared_NM >= 0.9 * np.minimum(areas(given_N4)[:, None], areas(target.boxes_xyxy_px))).any(1).all()
    assert both <= len(found)
    assert only_segmented + both <= len(segmented)
    kept = [tuple(box) for box, found_by in zip(target.boxes_xyxy_px.tolist(), target.found_by, strict=True) if "detector" in found_by]
    assert set(kept) <= {tuple(map(float, box)) for box in found}
    assert bool((np.diff(target.scores) <= 0).all()), "best score first"
    with_mask = [area for area, rle in zip(target.areas_px, target.mask_rles, strict=True) if rle is not None]
    assert sum(with_mask) == pytest.approx(sum((box[2] - box[0]) * (box[3] - box[1]) for box in segmented))


def test_names_come_best_score_first_and_only_when_sure() -> None:
    target = fuse(boxes((1, 1, 5, 5), (20, 20, 30, 30)), regions((20, 20, 30, 30)))
    classes = Classification(("car", "person"), np.array([[0.9, 0.1], [0.45, 0.55]], np.float32))
    sure, unsure = name_targets(target, classes, label_min_score=0.6)
    assert (sure.label, unsure.label) == ("car", "target")
    assert sure.score > unsure.score
    assert unsure.class_scores == pytest.approx({"car": 0.45, "person": 0.55})


def test_without_a_classifier_everything_is_a_target() -> None:
    (detection,) = name_targets(fuse(boxes((1, 1, 5, 5)), Segmentation.empty()), None, 0.5)
    assert detection.label == "target"
    assert detection.class_scores == {}


def test_class_scores_of_another_number_of_targets_are_refused() -> None:
    classes = Classification(("car",), np.ones((2, 1), np.float32))
    with pytest.raises(ValueError, match="1 targets, got 2"):
        name_targets(fuse(boxes((1, 1, 5, 5)), Segmentation.empty()), classes, 0.5)


def test_of_too_many_targets_the_best_are_kept() -> None:
    found = Detections(
        np.array([[10 * i, 0, 10 * i + 5, 5] for i in range(5)], np.float32), np.array([0.1, 0.9, 0.3, 0.8, 0.2], np.float32)
    )
    target = fuse(found, Segmentation.empty(), max_targets=2)
    assert target.scores.tolist() == pytest.approx([0.9, 0.8])
    assert target.boxes_xyxy_px[:, 0].tolist() == [10, 30]
