"""From a probability map to regions: 8-connected components with box, score, centroid, area and mask.

A plain function on an array, because tiled frames stitch their probability maps first and then come here too.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from contracts.frame import Pixels
from contracts.outputs import Segmentation
from models.photometry import REACH_PX, measure_light
from models.scores import ScoreMap

MAX_REGIONS = 1000
_PLAIN = ScoreMap()


def answer_of(
    probability_HW: NDArray[np.float32], threshold: float, min_area_px: int = 1, void_HW: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """The pixels of the regions that `regions_of` describes, `(H, W)`, as many regions as there are."""
    answer_HW = probability_HW > threshold
    if min_area_px > 1 or void_HW is not None:
        _, labels_HW, stats_N5, _ = cv2.connectedComponentsWithStats(answer_HW.view(np.uint8), connectivity=8)
        answer_HW &= _kept(labels_HW, stats_N5, min_area_px, void_HW)[labels_HW]
    return answer_HW


def regions_of(
    probability_HW: NDArray[np.float32],
    threshold: float,
    min_area_px: int = 1,
    max_regions: int = MAX_REGIONS,
    *,
    pixels_HW: Pixels | None = None,
    void_HW: NDArray[np.bool_] | None = None,
    score_map: ScoreMap = _PLAIN,
) -> Segmentation:
    """Threshold a probability map and describe every 8-connected component.

    Args:
        probability_HW: probabilities of one frame, float32 in [0, 1].
        threshold: a pixel belongs to a target when its probability is greater.
        min_area_px: smaller components are dropped.
        max_regions: only so many with the best scores are kept, so that a frame of noise cannot flood the table.
        pixels_HW: counts of the frame; with them centroids are centres of light and every region has its signal-to-clutter
            ratio, without them centroids are those of the masks.
        void_HW: `(H, W)`, pixels that show no scene: they are no light, and a region most of which they are is no target; None: there are
            none.
        score_map: score of a region from the probability of its surest pixel.

    Returns:
        Regions by falling score.
    """
    num, labels_HW, stats_N5, centroids_N2 = cv2.connectedComponentsWithStats((probability_HW > threshold).view(np.uint8), connectivity=8)
    keep: list[int] = (np.flatnonzero(_kept(labels_HW, stats_N5, min_area_px, void_HW)[1:]) + 1).tolist()
    if not keep:
        return Segmentation.empty()
    found_HW, peaks_N = labels_HW > 0, np.zeros(num, np.float32)
    np.maximum.at(peaks_N, labels_HW[found_HW].astype(np.intp), probability_HW[found_HW])
    scores = score_map.of(peaks_N)
    keep = sorted(keep, key=lambda index: -scores[index])[:max_regions]
    areas, left_top_N2, sizes_N2 = stats_N5[keep, 4], stats_N5[keep, :2], stats_N5[keep, 2:4]
    masks = [
        _crop_rle(labels_HW[y : y + height, x : x + width] == index, x, y, probability_HW.shape)
        for index, (x, y), (width, height) in zip(keep, left_top_N2.tolist(), sizes_N2.tolist(), strict=True)
    ]
    boxes_N4 = np.concatenate([left_top_N2, left_top_N2 + sizes_N2], axis=1)
    # OpenCV counts from the middle of a pixel, we count from its edge.
    centroids_xy_px, scrs = (centroids_N2[keep] + 0.5).astype(np.float32), np.full(len(keep), np.nan, np.float32)
    if pixels_HW is not None:
        for row, (index, box) in enumerate(zip(keep, boxes_N4.tolist(), strict=True)):
            centroids_xy_px[row], scrs[row] = _light(pixels_HW, labels_HW, index, box, void_HW)
    return Segmentation(
        boxes_xyxy_px=boxes_N4.astype(np.float32),
        scores=scores[keep].astype(np.float32),
        centroids_xy_px=centroids_xy_px,
        areas_px=areas.astype(np.float32),
        mask_rles=tuple(masks),
        scrs=scrs,
    )


def _kept(labels_HW: NDArray[Any], stats_N5: NDArray[Any], min_area_px: int, void_HW: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """True for labels that are large enough and do not come from void pixels, `(N,)`; the first is the background."""
    areas_N = stats_N5[:, cv2.CC_STAT_AREA]
    kept_N: NDArray[np.bool_] = areas_N >= min_area_px
    if void_HW is not None:
        kept_N &= 2 * np.bincount(labels_HW[void_HW], minlength=len(areas_N)) <= areas_N
    return kept_N


def boxes_shown(boxes_xyxy_px: NDArray[np.float32], void_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """True for boxes that show a target, `(n,)`: not for those whose middle and most of whose pixels are void."""
    size_xy = np.array(void_HW.shape[::-1])
    middles_N2 = np.clip(boxes_xyxy_px.reshape(-1, 2, 2).mean(axis=1), 0, size_xy - 1).astype(int)
    first_N2 = np.minimum(np.clip(boxes_xyxy_px[:, :2], 0, None).astype(int), middles_N2)
    last_N2 = np.maximum(np.ceil(boxes_xyxy_px[:, 2:]).astype(int), middles_N2 + 1)
    shown_N: NDArray[np.bool_] = ~void_HW[middles_N2[:, 1], middles_N2[:, 0]]
    for index in np.flatnonzero(~shown_N):
        (left, top), (right, bottom) = first_N2[index], last_N2[index]
        shown_N[index] = void_HW[top:bottom, left:right].mean() <= 0.5
    return shown_N


def _light(
    pixels_HW: Pixels, labels_HW: NDArray[Any], index: int, box_xyxy: list[int], void_HW: NDArray[np.bool_] | None
) -> tuple[tuple[float, float], float]:
    """Centre of light (pixel edges of the frame) and signal-to-clutter ratio of one region."""
    x_min, y_min, x_max, y_max = box_xyxy
    left, top = max(x_min - REACH_PX, 0), max(y_min - REACH_PX, 0)
    window = (slice(top, y_max + REACH_PX), slice(left, x_max + REACH_PX))
    labels_hw = labels_HW[window]
    void_hw = None if void_HW is None else void_HW[window]
    light = measure_light(pixels_HW[window], labels_hw == index, labels_hw > 0, void_hw)
    return (left + light.centroid_xy_px[0], top + light.centroid_xy_px[1]), light.scr


def _crop_rle(mask_hw: NDArray[np.bool_], x_px: int, y_px: int, shape: tuple[int, ...]) -> str:
    """Encode a mask that fills only a small box of the frame: run lengths by columns, built from the box alone.

    Encoding the whole frame per region would cost a pass over all its pixels each time; a target has a few.
    """
    height_px, width_px = shape
    columns, rows = np.nonzero(mask_hw.T)
    positions = (columns + x_px) * height_px + rows + y_px
    breaks = np.flatnonzero(np.diff(positions) != 1) + 1
    starts = positions[np.concatenate([[0], breaks])]
    stops = positions[np.concatenate([breaks - 1, [len(positions) - 1]])] + 1
    edges = np.concatenate([[0], np.stack([starts, stops], 1).reshape(-1), [height_px * width_px]])
    counts = np.diff(edges)
    rle = {"size": [height_px, width_px], "counts": counts.tolist()}
    compressed = coco.frPyObjects(rle, height_px, width_px)["counts"]
    return str(compressed.decode("ascii"))
