"""Answers of networks on test images, drawn; each task draws its own (`TrainingTask.picture`).

Only images whose licence allows showing them: IRSTD-1k (MIT), HIT-UAV (CC BY 4.0), drone-ir (CC0).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contracts.errors import SettingsError
from evaluation.drawing import (
    FOUND,
    TRUTH,
    Picture,
    draw_boxes,
    draw_outlines,
    draw_words,
    enlarged,
    grey_picture,
    in_rows,
)
from models.classification.base import ClassificationModel
from models.detection.base import DetectionModel
from models.inference import prepare
from models.segmentation.base import SegmentationModel
from training.data.samples import Role, Sample, read_samples
from training.tasks.measuring import classify, detect, probability_maps

_TILE_PX = 320
_COLUMNS = 4


def window_around(sample: Sample, side_px: int) -> tuple[slice, slice]:
    """A square window around the first target, inside the frame."""
    height, width = sample.pixels_HW.shape
    x_min, y_min, x_max, y_max = sample.boxes_xyxy_px[0]
    left = int(np.clip((x_min + x_max) / 2 - side_px / 2, 0, max(0, width - side_px)))
    top = int(np.clip((y_min + y_max) / 2 - side_px / 2, 0, max(0, height - side_px)))
    return slice(top, top + side_px), slice(left, left + side_px)


def segmentation_picture(network: SegmentationModel) -> Picture:
    """IRSTD-1k test images: truth outlined green, answer outlined orange.

    Raises:
        SettingsError: none with a target is there.
    """
    samples = [sample for sample in read_samples(["irstd-1k"], Role.TEST) if len(sample.boxes_xyxy_px)][::5][:8]
    tiles = []
    for sample, map_HW in probability_maps(prepare(network), samples):
        window = window_around(sample, 96)
        tile = enlarged(grey_picture(sample.pixels_HW)[window], _TILE_PX)
        for mask, colour in ((sample.mask_HW > 0, TRUTH), (map_HW > network.settings.threshold, FOUND)):
            draw_outlines(tile, enlarged(mask[window].astype(np.uint8), _TILE_PX), colour)
        tiles.append(draw_words(tile, f"{sample.image_id}, 96 px window"))
    return _sheet(tiles)


def detection_picture(network: DetectionModel) -> Picture:
    """IRSTD-1k, HIT-UAV and drone-ir test images: truth green, answer orange.

    Raises:
        SettingsError: none with a target is there.
    """
    windows = {"irstd-1k": 160, "hit-uav": 320, "drone-ir": 160}
    samples = [
        sample
        for dataset, step in (("irstd-1k", 17), ("hit-uav", 46), ("drone-ir", 29))
        for sample in _few([found for found in read_samples([dataset], Role.TEST) if len(found.boxes_xyxy_px)], step)
    ][:8]
    tiles = []
    for sample, found in detect(network, samples, network.settings.score_threshold):
        picture, window = grey_picture(sample.pixels_HW), window_around(sample, windows[sample.dataset])
        draw_boxes(picture, sample.boxes_xyxy_px, TRUTH)
        draw_boxes(picture, found.boxes_xyxy_px, FOUND)
        tiles.append(draw_words(enlarged(picture[window], _TILE_PX), f"{sample.dataset} {sample.image_id}"))
    return _sheet(tiles)


def classification_picture(network: ClassificationModel) -> Picture:
    """One or two HIT-UAV and drone-ir test targets of each class: what it is, and what the network says.

    Raises:
        SettingsError: none of its classes is there.
    """
    targets = []
    for label in network.class_names:
        having = [sample for sample in read_samples(("hit-uav", "drone-ir"), Role.TEST) if label in sample.labels]
        targets += [one_target(sample, sample.labels.index(label)) for sample in having[:: max(1, len(having) // 2)][:2]]
    names = network.class_names
    true, answered = classify(network, targets)
    tiles = []
    for sample, truth, answer in zip(targets, true, answered, strict=True):
        x_min, y_min, x_max, y_max = sample.boxes_xyxy_px[0]
        window = window_around(sample, max(40, round(1.5 * float(max(x_max - x_min, y_max - y_min)))))
        tile = enlarged(grey_picture(sample.pixels_HW)[window], _TILE_PX)
        tiles.append(draw_words(tile, f"{names[truth]}: {'right' if truth == answer else 'said ' + names[answer]}"))
    return _sheet(tiles)


def one_target(sample: Sample, index: int) -> Sample:
    """The same image with only one of its targets."""
    return Sample(
        dataset=sample.dataset,
        image_id=sample.image_id,
        role=sample.role,
        read_pixels=lambda: sample.pixels_HW,
        mask_path=None,
        boxes_xyxy_px=sample.boxes_xyxy_px[index : index + 1],
        labels=(sample.labels[index],),
        platform=sample.platform,
        band=sample.band,
    )


def _few(samples: list[Sample], step: int) -> list[Sample]:
    """Three images far from each other, where there are that many."""
    return (samples[3::step] or samples)[:3]


def _sheet(tiles: Sequence[Picture]) -> Picture:
    if not tiles:
        raise SettingsError(
            expected="test images with targets, to draw on",
            got="none",
            where="data sets whose licence allows showing them",
            action="Set IRSTREAM_DATA to the folder of the data sets (docs/datasets.md).",
        )
    return in_rows(tiles, _COLUMNS)
