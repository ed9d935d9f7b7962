"""Boxes of the detector that are no targets of their own, behind the targets of a frame: rows keep what alerts do not.

Average precision needs them, and whoever looks for what was nearly found; they change nothing of the targets. Two kinds, by the word in
`suppressed_by`: `weak` is what the detector found below the score from which its card calls it a detection; `double` is another box of a
target that has one, because it lies in it, or round it or several. Round a region that only the segmenter found a weak box stays weak:
which of the two has the right size nobody knows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from contracts.outputs import Detections, Segmentation
from contracts.result import DOUBLE, WEAK
from models.boxes import iou_matrix
from pipeline.inference.fusion import Targets, are_nested, join, not_nested

_SAME_IOU = 0.5


def join_all(
    detections: Detections,
    segmentation: Segmentation,
    size_px: tuple[int, int],
    *,
    match_iou: float,
    match_distance_px: float,
    max_targets: int,
    finder_score: float | None,
    max_weak: int,
    min_score: float = 0.0,
) -> Targets:
    """Join the two findings of one frame as `join` does, and put weak and double boxes behind.

    Args:
        detections: boxes of the frame, weak ones too.
        segmentation: regions of the frame.
        size_px: height, width of the frame.
        match_iou: see `join`, as for all that follow.
        match_distance_px: likewise.
        max_targets: likewise; weak and double boxes do not count.
        finder_score: boxes up to it are weak; None: none is.
        max_weak: weak and double boxes that are kept at most, best scores first; `weak_left_out` counts the others.
        min_score: what scores lower is left out uncounted.
    """
    sure_N = detections.scores > np.float32(-1.0 if finder_score is None else finder_score)
    sure_N[sure_N] = not_nested(_of(detections, sure_N))
    targets = join(
        _of(detections, sure_N),
        segmentation,
        size_px,
        match_iou=match_iou,
        match_distance_px=match_distance_px,
        max_targets=max_targets,
        min_score=min_score,
    )
    others = _of(detections, ~sure_N & (detections.scores >= min_score))
    return _with_others(targets, others, finder_score, max_weak) if len(others) else targets


def _with_others(targets: Targets, others: Detections, finder_score: float | None, most: int) -> Targets:
    by_detector_N = np.array(["detector" in finders for finders in targets.found_by], bool)
    seen_N4, regions_N4 = targets.boxes_xyxy_px[by_detector_N], targets.boxes_xyxy_px[~by_detector_N]
    weak, doubles = list[int](), list[int]()
    of_regions_N = np.asarray((iou_matrix(others.boxes_xyxy_px, regions_N4) >= _SAME_IOU).any(axis=1))
    left = [index for index in np.argsort(-others.scores, kind="stable").tolist() if not of_regions_N[index]]
    for index in left[:most]:  # what is left out here is not looked at: a large frame has thousands
        box_14 = others.boxes_xyxy_px[index : index + 1]
        if (
            (finder_score is not None and others.scores[index] > np.float32(finder_score))
            or are_nested(box_14, seen_N4).any()
            or are_nested(box_14, others.boxes_xyxy_px[weak]).any()
        ):
            doubles.append(index)
        else:
            weak.append(index)
    left_out = max(0, len(left) - most)
    marks = (*[WEAK] * len(weak), *[DOUBLE] * len(doubles))
    return _behind(targets, _of(others, [*weak, *doubles]), marks, left_out)


def _behind(targets: Targets, others: Detections, marks: tuple[str, ...], left_out: int) -> Targets:
    boxes_K4, num = others.boxes_xyxy_px, len(others)
    return replace(
        targets,
        boxes_xyxy_px=np.concatenate([targets.boxes_xyxy_px, boxes_K4]),
        scores=np.concatenate([targets.scores, others.scores]),
        centroids_xy_px=np.concatenate([targets.centroids_xy_px, (boxes_K4[:, :2] + boxes_K4[:, 2:]) / 2]),
        areas_px=np.concatenate([targets.areas_px, (boxes_K4[:, 2:] - boxes_K4[:, :2]).prod(axis=1)]),
        mask_rles=(*targets.mask_rles, *[None] * num),
        found_by=(*targets.found_by, *[("detector",)] * num),
        scrs=np.concatenate([targets.scrs, np.full(num, np.nan, np.float32)]),
        marks=marks,
        weak_left_out=left_out,
    )


def _of(detections: Detections, chosen: NDArray[np.bool_] | list[int]) -> Detections:
    return Detections(detections.boxes_xyxy_px[chosen], detections.scores[chosen])
