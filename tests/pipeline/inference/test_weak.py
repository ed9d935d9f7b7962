"""Rows keep what alerts do not: weak and double boxes lie behind the targets and change nothing of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.outputs import Detections, Segmentation
from contracts.result import DOUBLE, WEAK
from pipeline.inference.fusion import Targets, name_targets
from pipeline.inference.weak import join_all
from tests.pipeline.inference.test_fusion import SIZE_PX, Box, box_lists, fuse, regions

CARD = 0.5
_scores = st.lists(st.floats(0.0625, 1, width=32), min_size=12, max_size=12)


def found(items: list[Box], scores: list[float]) -> Detections:
    return Detections(np.array(items, np.float32).reshape(-1, 4), np.array(scores[: len(items)], np.float32))


def rows(detections: Detections, segmented: Segmentation, max_weak: int = 100, min_score: float = 0.05) -> Targets:
    return join_all(
        detections,
        segmented,
        SIZE_PX,
        match_iou=0.1,
        match_distance_px=3.0,
        max_targets=100,
        finder_score=CARD,
        max_weak=max_weak,
        min_score=min_score,
    )


@settings(max_examples=60)
@given(box_lists, box_lists, _scores, st.integers(0, 4))
def test_targets_are_as_without_weak_boxes_and_no_box_is_lost(
    items: list[Box], segmented: list[Box], scores: list[float], most: int
) -> None:
    detections, areas = found(items, scores), regions(*segmented, score=0.7)
    sure = detections.scores > CARD
    expected = fuse(Detections(detections.boxes_xyxy_px[sure], detections.scores[sure]), areas, min_score=0.05)
    target = rows(detections, areas, most)
    num = len(expected)
    assert target.boxes_xyxy_px[:num].tolist() == expected.boxes_xyxy_px.tolist()
    assert target.scores[:num].tolist() == expected.scores.tolist()
    assert target.found_by[:num] == expected.found_by
    assert len(target) == num + len(target.marks)
    assert len(target.marks) <= most
    assert (target.weak_left_out == 0) or len(target.marks) == most
    kept = {tuple(box) for box in rows(detections, areas).boxes_xyxy_px.tolist()}
    lost = [box for box in detections.boxes_xyxy_px.tolist() if tuple(box) not in kept]
    alone = expected.boxes_xyxy_px[[finders == ("segmenter",) for finders in expected.found_by]]
    assert all(any(_iou(box, other) >= 0.5 for other in alone.tolist()) for box in lost)
    marked = [each.suppressed_by for each in name_targets(target, None, 0.5)]
    assert marked == [None] * num + list(target.marks)


def _iou(box: list[float], other: list[float]) -> float:
    width, height = (min(box[2 + axis], other[2 + axis]) - max(box[axis], other[axis]) for axis in (0, 1))
    shared = max(0.0, width) * max(0.0, height)
    area, area_of_other = ((each[2] - each[0]) * (each[3] - each[1]) for each in (box, other))
    return shared / (area + area_of_other - shared)


def test_of_too_many_the_best_are_kept_weak_ones_first_and_the_others_counted() -> None:
    car, bonnet, far, fainter, faintest = (10, 10, 40, 30), (12, 11, 22, 20), (60, 40, 66, 46), (80, 5, 84, 9), (80, 40, 84, 44)
    detections = found([faintest, bonnet, far, car, fainter], [0.06, 0.45, 0.4, 0.8, 0.3])
    target = rows(detections, Segmentation.empty(), 3)
    assert target.boxes_xyxy_px.tolist() == [list(each) for each in (car, far, fainter, bonnet)]
    assert target.marks == (WEAK, WEAK, DOUBLE)
    assert target.weak_left_out == 1
    assert target.num_named == 1, "what is kept beside targets is not worth a class"
    assert len(rows(detections, Segmentation.empty(), 3, min_score=0.35)) == 3, "what scores less than rows want is not counted"


def test_a_weak_box_round_a_region_stays_and_the_regions_own_box_does_not() -> None:
    area = regions((12, 12, 16, 16), score=0.7)
    target = rows(found([(8, 8, 20, 20), (12, 12, 16, 17)], [0.3, 0.2]), area)
    assert target.boxes_xyxy_px.tolist() == [[12, 12, 16, 16], [8, 8, 20, 20]]
    assert target.found_by == (("segmenter",), ("detector",))
    assert target.marks == (WEAK,)


def test_a_loose_box_round_two_targets_goes_and_they_stay() -> None:
    loose, boats = (10, 10, 40, 30), [(12, 12, 20, 20), (28, 18, 38, 28)]
    for scores in ([0.8, 0.7, 0.7], [0.8, 0.9, 0.66], [0.9, 0.75, 0.73]):
        target = rows(found([loose, *boats], scores), Segmentation.empty())
        assert sorted(target.boxes_xyxy_px[:2].tolist()) == [list(map(float, box)) for box in boats], scores
        assert (target.boxes_xyxy_px[2].tolist(), target.marks) == (list(map(float, loose)), (DOUBLE,))


def test_a_box_round_parts_that_are_less_sure_or_not_apart_stays() -> None:
    car = (10, 10, 40, 30)
    for parts, scores in (
        ([(12, 12, 20, 20), (28, 18, 38, 28)], [0.9, 0.6, 0.6]),
        ([(12, 12, 26, 26), (20, 18, 38, 28)], [0.8, 0.75, 0.75]),
        ([(12, 12, 20, 20)], [0.8, 0.75]),
    ):
        target = rows(found([car, *parts], scores), Segmentation.empty())
        assert target.boxes_xyxy_px[0].tolist() == list(map(float, car))
        assert target.marks == (DOUBLE,) * len(parts)
