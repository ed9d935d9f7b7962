"""Pictures of what the networks say on test images: `irstream models pictures docs/img`.

Only images whose licence allows showing them: IRSTD-1k (MIT), HIT-UAV (CC BY 4.0), drone-ir (CC0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from contracts.choices import chosen
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
    write_small_png,
)
from models.classification.base import ClassificationModel
from models.detection.base import DetectionModel
from models.inference import prepare
from models.segmentation.base import SegmentationModel
from models.zoo import load_model
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


def segmentation_picture(name: str = "kestrel_wide") -> Picture:
    """IRSTD-1k test images: truth outlined green, answer outlined orange."""
    network = load_model(name)[0]
    assert isinstance(network, SegmentationModel)
    samples = [sample for sample in read_samples(["irstd-1k"], Role.TEST) if len(sample.boxes_xyxy_px)][::5][:8]
    tiles = []
    for sample, map_HW in probability_maps(prepare(network), samples):
        window = window_around(sample, 96)
        tile = enlarged(grey_picture(sample.pixels_HW)[window], _TILE_PX)
        for mask, colour in ((sample.mask_HW > 0, TRUTH), (map_HW > network.settings.threshold, FOUND)):
            draw_outlines(tile, enlarged(mask[window].astype(np.uint8), _TILE_PX), colour)
        tiles.append(draw_words(tile, f"{sample.image_id}, 96 px window"))
    return in_rows(tiles, _COLUMNS)


def detection_picture(name: str = "fcos_light") -> Picture:
    """IRSTD-1k, HIT-UAV and drone-ir test images: truth green, answer orange."""
    network = load_model(name)[0]
    assert isinstance(network, DetectionModel)
    windows = {"irstd-1k": 160, "hit-uav": 320, "drone-ir": 160}
    samples = [
        sample
        for dataset, step in (("irstd-1k", 17), ("hit-uav", 46), ("drone-ir", 29))
        for sample in [found for found in read_samples([dataset], Role.TEST) if len(found.boxes_xyxy_px)][3::step][:3]
    ][:8]
    tiles = []
    for sample, found in detect(network, samples, network.settings.score_threshold):
        picture, window = grey_picture(sample.pixels_HW), window_around(sample, windows[sample.dataset])
        draw_boxes(picture, sample.boxes_xyxy_px, TRUTH)
        draw_boxes(picture, found.boxes_xyxy_px, FOUND)
        tiles.append(draw_words(enlarged(picture[window], _TILE_PX), f"{sample.dataset} {sample.image_id}"))
    return in_rows(tiles, _COLUMNS)


def classification_picture(name: str = "basic_cnn") -> Picture:
    """One or two targets of each class: what it is, and what the network says."""
    network = load_model(name)[0]
    assert isinstance(network, ClassificationModel)
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
    return in_rows(tiles, _COLUMNS)


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


PICTURES: dict[str, Callable[[], Picture]] = {
    "segmentation": segmentation_picture,
    "detection": detection_picture,
    "classification": classification_picture,
}


def write_pictures(folder: Path, tasks: Sequence[str] = ()) -> None:
    """Draw and write `networks-TASK.png` of some tasks; none given: all.

    Raises:
        SettingsError: no such task, or data that are not there.
    """
    drawn = {name: chosen(PICTURES, name, "task to draw") for name in tasks or PICTURES}
    folder.mkdir(parents=True, exist_ok=True)
    for task, draw in drawn.items():
        write_small_png(draw(), folder / f"networks-{task}.png")
