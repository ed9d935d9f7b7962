"""One target, one detection: what the detector and the segmenter found is joined, then named by the classifier.

A region belongs to the box it overlaps best (IoU, or its centre in the box, or centres closer than a few pixels: tiny
targets have tiny IoU). Several regions in one box are fragments of one target and become one mask. What only one of
the two found stays, and `found_by` says so. A box in a surer box, or around one (the bonnet in the car, the car around it), is the same
target. Weak boxes that rows keep must not cost what the segmenter is sure of: one that is far larger than a much surer region is
not its box, and of a target that both found the box of the much surer finder stays.
A box round several others that are apart and nearly as sure is drawn round a group: it goes, and they stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from contracts.outputs import Classification, Detections, Float32, Segmentation
from contracts.result import Detection, label_of
from models.boxes import areas as box_areas
from models.boxes import intersections, iou_matrix

_NESTED_SHARE = 0.9
_NESTED_AREAS = 36.0
"""A box whose area is less than this part of another's is no part of it: a person before a house."""
_SEVERAL, _NEARLY = 2, 0.8
"""A box round so many others that are apart, each at least this part as sure, is drawn round a group: two boats in one box."""
_MUCH_SURER = 2.0
_LIKE_AREAS = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """The targets of one frame before they are named, best score first; behind them what its row keeps beside them.

    Attributes:
        boxes_xyxy_px: `(n, 4)` float32, pixel edges of the frame; also what the classifier crops.
        scores: `(n,)` float32.
        centroids_xy_px: `(n, 2)` float32, of the mask, or of the box where there is none.
        areas_px: `(n,)` float32, of the mask, or of the box where there is none.
        mask_rles: n compressed RLE strings or None.
        found_by: n tuples of `detector`, `segmenter`.
        scrs: `(n,)` float32, signal-to-clutter ratios; NaN where there is no mask.
        marks: of the last ones, `weak` first, then `double`; they are no targets.
        weak_left_out: such ones that there was no place for.
    """

    boxes_xyxy_px: Float32
    scores: Float32
    centroids_xy_px: Float32
    areas_px: Float32
    mask_rles: tuple[str | None, ...]
    found_by: tuple[tuple[str, ...], ...]
    scrs: Float32
    marks: tuple[str, ...] = ()
    weak_left_out: int = 0

    def __len__(self) -> int:
        """Number of targets."""
        return len(self.scores)

    @property
    def num_named(self) -> int:
        """Number of those, from the first on, that are worth a class: all but what is kept beside them."""
        return len(self) - len(self.marks)


def join(
    detections: Detections,
    segmentation: Segmentation,
    size_px: tuple[int, int],
    *,
    match_iou: float,
    match_distance_px: float,
    max_targets: int,
    min_score: float = 0.0,
) -> Targets:
    """Join the two findings of one frame.

    A target that both found keeps the detector's box, unless the segmenter is much surer, and the segmenter's mask; its score is
    `1 - (1 - a)(1 - b)`: both would have to be wrong.

    Args:
        detections: boxes of the frame.
        segmentation: regions of the frame.
        size_px: height, width of the frame (for the union of masks).
        match_iou: a box and a region with at least this IoU are one target.
        match_distance_px: so are those whose centres are closer than this.
        max_targets: of more targets than this, those with the best scores are kept.
        min_score: targets with a lower score, of both together where both found it, are left out.
    """
    kept_N = not_nested(detections)
    detections = Detections(detections.boxes_xyxy_px[kept_N], detections.scores[kept_N])
    owner = _owners(detections, segmentation, match_iou, match_distance_px)
    num_boxes = len(detections)
    boxes = list(detections.boxes_xyxy_px)
    scores = [float(score) for score in detections.scores]
    centroids = [_centre(box) for box in boxes]
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in boxes]
    rles: list[str | None] = [None] * num_boxes
    found_by: list[tuple[str, ...]] = [("detector",)] * num_boxes
    scrs = [math.nan] * num_boxes
    for box in range(num_boxes):
        regions = np.flatnonzero(owner == box)
        if len(regions) == 0:
            continue
        weights = segmentation.areas_px[regions]
        of_regions = float(np.average(segmentation.scores[regions], weights=weights))
        if _MUCH_SURER * scores[box] < of_regions:
            own = segmentation.boxes_xyxy_px[regions]
            boxes[box] = np.concatenate([own[:, :2].min(0), own[:, 2:].max(0)])
        scores[box] = 1 - (1 - scores[box]) * (1 - of_regions)
        centroids[box] = np.average(segmentation.centroids_xy_px[regions], axis=0, weights=weights)
        areas[box] = float(weights.sum())
        rles[box] = _union([segmentation.mask_rles[region] for region in regions], size_px)
        found_by[box] = ("detector", "segmenter")
        scrs[box] = float(np.average(segmentation.scrs[regions], weights=weights))
    for region in np.flatnonzero(owner < 0):
        boxes.append(segmentation.boxes_xyxy_px[region])
        scores.append(float(segmentation.scores[region]))
        centroids.append(segmentation.centroids_xy_px[region])
        areas.append(float(segmentation.areas_px[region]))
        rles.append(segmentation.mask_rles[region])
        found_by.append(("segmenter",))
        scrs.append(float(segmentation.scrs[region]))
    rounded = np.asarray(scores, np.float32)  # as the table has them: what reads 0.9 there must not be below 0.9 here
    best = [index for index in np.argsort(-np.asarray(scores), kind="stable")[:max_targets] if rounded[index] >= min_score]
    return Targets(
        boxes_xyxy_px=np.asarray([boxes[index] for index in best], np.float32).reshape(-1, 4),
        scores=rounded[best],
        centroids_xy_px=np.asarray([centroids[index] for index in best], np.float32).reshape(-1, 2),
        areas_px=np.asarray([areas[index] for index in best], np.float32),
        mask_rles=tuple(rles[index] for index in best),
        found_by=tuple(found_by[index] for index in best),
        scrs=np.asarray([scrs[index] for index in best], np.float32),
    )


def name_targets(targets: Targets, classes: Classification | None, label_min_score: float) -> tuple[Detection, ...]:
    """Give every target its class.

    Args:
        targets: n targets.
        classes: scores of their crops in the same order, of all targets and perhaps of some behind them; None when no classifier ran.
        label_min_score: a target whose best class scores lower is labelled `target`; `clutter` is no class of targets.

    Raises:
        ValueError: not one row of class scores per target that needs one.
    """
    if classes is not None and not len(targets) - len(targets.marks) <= len(classes) <= len(targets):
        raise ValueError(f"expected class scores for {len(targets)} targets, got {len(classes)}")
    return tuple(_detection(targets, index, classes, label_min_score) for index in range(len(targets)))


def _detection(targets: Targets, index: int, classes: Classification | None, label_min_score: float) -> Detection:
    class_scores: dict[str, float] = {}
    if classes is not None and index < len(classes):
        class_scores = {name: float(score) for name, score in zip(classes.class_names, classes.scores[index], strict=True)}
    label, label_score = label_of(class_scores, label_min_score)
    x_min, y_min, x_max, y_max = (float(edge) for edge in targets.boxes_xyxy_px[index])
    return Detection(
        label=label,
        score=float(targets.scores[index]),
        x_min_px=x_min,
        y_min_px=y_min,
        x_max_px=x_max,
        y_max_px=y_max,
        centroid_x_px=float(targets.centroids_xy_px[index, 0]),
        centroid_y_px=float(targets.centroids_xy_px[index, 1]),
        area_px=float(targets.areas_px[index]),
        class_scores=class_scores,
        mask_rle=targets.mask_rles[index],
        found_by=targets.found_by[index],
        scr=None if math.isnan(targets.scrs[index]) else float(targets.scrs[index]),
        label_score=label_score,
        suppressed_by=targets.marks[beside] if (beside := index - len(targets) + len(targets.marks)) >= 0 else None,
    )


def are_nested(box_14: Float32, boxes_N4: Float32) -> NDArray[np.bool_]:
    """True for boxes in which another one lies, or which lie in it, `(n,)`; neither is far smaller than the other."""
    area, areas_N = box_areas(box_14), box_areas(boxes_N4)
    smaller_N, larger_N = np.minimum(area, areas_N), np.maximum(area, areas_N)
    shared_N = intersections(box_14, boxes_N4)[0]
    nested_N: NDArray[np.bool_] = (shared_N >= _NESTED_SHARE * smaller_N) & (smaller_N * _NESTED_AREAS >= larger_N)
    return nested_N


def not_nested(detections: Detections) -> NDArray[np.bool_]:
    """False for boxes that lie in a surer one, or around it, and for loose ones, round several that are nearly as sure; `(n,)`."""
    loose: set[int] = set()
    while True:
        kept, inside = _greedy(detections, loose)
        round_several = {index for index, others in inside.items() if len(others) >= _SEVERAL}
        if not round_several:
            return np.isin(np.arange(len(detections)), kept)
        loose |= round_several


def _greedy(detections: Detections, loose: set[int]) -> tuple[list[int], dict[int, list[int]]]:
    """Boxes that are kept, the surest first, and of each those in it that would be targets of their own without it."""
    boxes_N4, scores_N = detections.boxes_xyxy_px, detections.scores
    areas_N = box_areas(boxes_N4)
    kept, inside = list[int](), dict[int, list[int]]()
    # Row by row: a large frame of many tiles has thousands.
    for index in np.argsort(-scores_N, kind="stable").tolist():
        if index in loose:
            continue
        box_14 = boxes_N4[index : index + 1]
        around = [kept[number] for number in np.flatnonzero(are_nested(box_14, boxes_N4[kept]))]
        if not around:
            kept.append(index)
            continue
        (first, *others), siblings = around, inside.get(around[0], [])
        apart = not intersections(box_14, boxes_N4[siblings]).any()
        if not others and apart and areas_N[index] < areas_N[first] and scores_N[index] >= _NEARLY * scores_N[first]:
            inside.setdefault(first, []).append(index)
    return kept, inside


def _owners(detections: Detections, segmentation: Segmentation, match_iou: float, match_distance_px: float) -> NDArray[np.int64]:
    """For each region the box it belongs to, or -1."""
    boxes_xyxy_px, num_regions = detections.boxes_xyxy_px, len(segmentation)
    if num_regions == 0 or len(boxes_xyxy_px) == 0:
        return np.full(num_regions, -1)
    iou = iou_matrix(segmentation.boxes_xyxy_px, boxes_xyxy_px)
    x, y = segmentation.centroids_xy_px.T[:, :, None]
    inside = (x >= boxes_xyxy_px[:, 0]) & (x < boxes_xyxy_px[:, 2]) & (y >= boxes_xyxy_px[:, 1]) & (y < boxes_xyxy_px[:, 3])
    centres = (boxes_xyxy_px[:, :2] + boxes_xyxy_px[:, 2:]) / 2
    distance_px = np.hypot(x - centres[:, 0], y - centres[:, 1])
    much_weaker = _MUCH_SURER * detections.scores < segmentation.scores[:, None]
    far_larger = box_areas(boxes_xyxy_px) > _LIKE_AREAS * box_areas(segmentation.boxes_xyxy_px)[:, None]
    fits = ((iou >= match_iou) | inside | (distance_px < match_distance_px)) & ~(much_weaker & far_larger)
    # IoU decides between fitting boxes; between equal IoU (often 0) the nearer centre does.
    preference = np.where(fits, iou - 1e-4 * distance_px, -np.inf)
    best = preference.argmax(axis=1)
    return np.where(fits.any(axis=1), best, -1)


def _centre(box: Float32) -> Float32:
    return np.asarray((box[:2] + box[2:]) / 2, np.float32)


def _union(rles: list[str], size_px: tuple[int, int]) -> str:
    if len(rles) == 1:
        return rles[0]
    merged = coco_mask.merge([{"size": list(size_px), "counts": rle.encode()} for rle in rles])
    counts: bytes = merged["counts"]
    return counts.decode()
