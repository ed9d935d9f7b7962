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

MAX_REGIONS = 1000


def answer_of(probability_HW: NDArray[np.float32], threshold: float, min_area_px: int = 1) -> NDArray[np.bool_]:
    """The pixels of the regions that `regions_of` describes, `(H, W)`, as many regions as there are."""
    answer_HW = probability_HW > threshold
    if min_area_px > 1:
        _, labels_HW, stats_N5, _ = cv2.connectedComponentsWithStats(answer_HW.view(np.uint8), connectivity=8)
        answer_HW &= (stats_N5[:, cv2.CC_STAT_AREA] >= min_area_px)[labels_HW]
    return answer_HW


def regions_of(
    probability_HW: NDArray[np.float32],
    threshold: float,
    min_area_px: int = 1,
    max_regions: int = MAX_REGIONS,
    *,
    pixels_HW: Pixels | None = None,
) -> Segmentation:
    """Threshold a probability map and describe every 8-connected component.

    Args:
        probability_HW: probabilities of one frame, float32 in [0, 1].
        threshold: a pixel belongs to a target when its probability is greater.
        min_area_px: smaller components are dropped.
        max_regions: only so many with the best scores are kept, so that a frame of noise cannot flood the table.
        pixels_HW: counts of the frame; with them centroids are centres of light and every region has its signal-to-clutter
            ratio, without them centroids are those of the masks.

    Returns:
        Regions by falling score.
    """
    num, labels_HW, stats_N5, centroids_N2 = cv2.connectedComponentsWithStats((probability_HW > threshold).view(np.uint8), connectivity=8)
    keep = [index for index in range(1, num) if stats_N5[index, cv2.CC_STAT_AREA] >= min_area_px]
    if not keep:
        return Segmentation.empty()
    sums = np.bincount(labels_HW.reshape(-1), weights=probability_HW.reshape(-1), minlength=num)
    scores = sums / np.maximum(stats_N5[:, cv2.CC_STAT_AREA], 1)  # the background may have no pixel at all
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
            centroids_xy_px[row], scrs[row] = _light(pixels_HW, labels_HW, index, box)
    return Segmentation(
        boxes_xyxy_px=boxes_N4.astype(np.float32),
        scores=scores[keep].astype(np.float32),
        centroids_xy_px=centroids_xy_px,
        areas_px=areas.astype(np.float32),
        mask_rles=tuple(masks),
        scrs=scrs,
    )


def _light(pixels_HW: Pixels, labels_HW: NDArray[Any], index: int, box_xyxy: list[int]) -> tuple[tuple[float, float], float]:
    """Centre of light (pixel edges of the frame) and signal-to-clutter ratio of one region."""
    x_min, y_min, x_max, y_max = box_xyxy
    left, top = max(x_min - REACH_PX, 0), max(y_min - REACH_PX, 0)
    window = (slice(top, y_max + REACH_PX), slice(left, x_max + REACH_PX))
    labels_hw = labels_HW[window]
    light = measure_light(pixels_HW[window], labels_hw == index, labels_hw > 0)
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
