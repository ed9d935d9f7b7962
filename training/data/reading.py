"""From an annotation to a labelled frame: the image is decoded once, and what cannot be right is refused with its reason."""

from __future__ import annotations

import hashlib
import math
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from contracts.errors import RejectRecord, SettingsError
from contracts.frame import Band, Platform
from contracts.image_files import read_image_file
from training.data.label_files import boxes_of_regions, read_mask
from training.data.labelled_frame import LabelledFrame, encode_rle
from training.data.near_duplicates import thumbnail_of
from training.data.sources.annotation import Annotation, BoxXYWH, RefusedAnnotation

UNSEEN = "unseen"
"""Split of images that only measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Values for what a source does not say.

    Attributes:
        dataset: name of the set.
        licence: as stated.
        platform: of the camera.
        band: of the camera.
        bit_depth: significant bits.
        group: pattern on the name of an image; its first group, or all it matches, names the sequence or scene. None: every image is one
            of its own.
        unseen: official splits whose images no training may see: their split becomes `unseen`, and that of all images of their scenes.
    """

    dataset: str
    licence: str
    platform: Platform = Platform.UNKNOWN
    band: Band = Band.UNKNOWN
    bit_depth: int | None = None
    group: re.Pattern[str] | None = None
    unseen: tuple[str, ...] = ()


def read_labelled(annotation: Annotation, defaults: Defaults, root: Path) -> LabelledFrame:
    """Read an image and its labels.

    Raises:
        RefusedAnnotation: the image or mask cannot be used, or they do not fit the boxes.
    """
    try:
        image = read_image_file(annotation.image, annotation.bit_depth or defaults.bit_depth, nodata=annotation.nodata)
    except RejectRecord as error:
        raise RefusedAnnotation(error.reason.value, f"{annotation.image.name}: {error.detail}") from error
    except OSError as error:
        raise RefusedAnnotation("unreadable", f"{annotation.image.name}: {error.strerror or error}") from error
    height_px, width_px = image.pixels_HW.shape
    mask_HW = _mask(annotation, (height_px, width_px))
    boxes_xyxy_px, labels = _boxes(annotation, mask_HW, width_px, height_px)
    if mask_HW is not None and not mask_HW.any() and any(label != "ignore" for label in labels):
        raise RefusedAnnotation("mask_empty", f"expected target pixels for {len(labels)} boxes, got an empty mask")
    known_type = None if image.content_type is None else str(image.content_type)
    return LabelledFrame(
        sample_id=annotation.sample_id,
        dataset=defaults.dataset,
        source_file=_relative(annotation.image, root),
        licence=str(annotation.extra.get("licence") or defaults.licence),
        image=image.value,
        image_sha256=hashlib.sha256(image.value).hexdigest(),
        content_type=known_type or mimetypes.guess_type(annotation.image.name)[0] or "application/octet-stream",
        width_px=width_px,
        height_px=height_px,
        bit_depth=image.bit_depth,
        nodata=image.nodata,
        platform=annotation.platform if annotation.platform is not Platform.UNKNOWN else defaults.platform,
        band=annotation.band if annotation.band is not Band.UNKNOWN else defaults.band,
        group_id=group_of(annotation, defaults.group),
        split=UNSEEN if annotation.split in defaults.unseen else annotation.split,
        mask_rle=None if mask_HW is None else encode_rle(mask_HW),
        boxes_xyxy_px=boxes_xyxy_px,
        labels=labels,
        boxes_drawn=annotation.boxes_xywh_px is not None or mask_HW is not None or bool(labels),
        thumbnail=thumbnail_of(image.pixels_HW),
        extra=annotation.extra,
    )


def _relative(path: Path, root: Path) -> str:
    folder = root if root.is_dir() else root.parent
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def group_of(annotation: Annotation, pattern: re.Pattern[str] | None) -> str:
    """Sequence or scene of an image; one that belongs to none is its own. `pattern`: see `Defaults`."""
    if pattern is not None and (found := pattern.search(annotation.sample_id)):
        return found[1] if found.groups() and found[1] else found[0]
    return annotation.group or annotation.sample_id


def _mask(annotation: Annotation, shape_HW: tuple[int, int]) -> NDArray[np.uint8] | None:
    if annotation.mask is not None:
        try:
            return read_mask(annotation.mask, shape_HW, annotation.image.name)
        except SettingsError as error:
            raise RefusedAnnotation("mask_invalid", str(error)) from error
    if annotation.segments is None:
        return None
    mask_HW = np.zeros(shape_HW, np.uint8)
    for segment in annotation.segments:
        mask_HW |= _segment(segment, shape_HW, annotation.relative_boxes)
    return mask_HW


def _segment(segment: Any, shape_HW: tuple[int, int], relative: bool) -> NDArray[np.uint8]:
    """Mask of one target: polygons, or run lengths, as COCO writes them; a polygon in shares of the sides where `relative`."""
    height_px, width_px = shape_HW
    if relative:
        segment = [[value * (height_px if index % 2 else width_px) for index, value in enumerate(polygon)] for polygon in segment]
    try:
        if isinstance(segment, dict):
            if list(segment["size"]) != [height_px, width_px]:
                raise ValueError(f"run lengths of size {segment['size']} in an image of {[height_px, width_px]}")
            plain = isinstance(segment["counts"], list)
            encoded = coco.frPyObjects(segment, height_px, width_px) if plain else segment
        else:
            encoded = coco.merge(coco.frPyObjects(segment, height_px, width_px))
        return np.asarray(coco.decode(encoded), np.uint8).reshape(shape_HW)
    except Exception as error:
        raise RefusedAnnotation("mask_invalid", f"expected a segmentation of COCO, got {type(error).__name__}: {error}") from error


def _boxes(
    annotation: Annotation, mask_HW: NDArray[np.uint8] | None, width_px: int, height_px: int
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    drawn = annotation.boxes_xywh_px
    if drawn is None and annotation.labels:
        whole = np.array([[0, 0, width_px, height_px]], np.float32)
        return np.repeat(whole, len(annotation.labels), axis=0), annotation.labels
    if not drawn:
        found = np.zeros((0, 4), np.float32) if mask_HW is None else boxes_of_regions(mask_HW)
        return found, ("target",) * len(found)
    boxes = [_pixels(box, annotation.relative_boxes, width_px, height_px) for box in drawn]
    for box in boxes:
        _require_inside(box, width_px, height_px)
    xywh_N4 = np.array(boxes, np.float64).reshape(-1, 4)
    return np.concatenate([xywh_N4[:, :2], xywh_N4[:, :2] + xywh_N4[:, 2:]], axis=1).astype(np.float32), annotation.labels


def _pixels(box: BoxXYWH, relative: bool, width_px: int, height_px: int) -> BoxXYWH:
    if not relative:
        return box
    x, y, width, height = box
    return (x - width / 2) * width_px, (y - height / 2) * height_px, width * width_px, height * height_px


def _require_inside(box: BoxXYWH, width_px: int, height_px: int) -> None:
    x, y, width, height = box
    if not all(map(math.isfinite, box)) or width <= 0 or height <= 0:
        raise RefusedAnnotation("box_invalid", f"expected a box with sides above 0, got {list(box)}")
    if x >= width_px or y >= height_px or x + width <= 0 or y + height <= 0:
        raise RefusedAnnotation("box_outside", f"expected a box inside {width_px} x {height_px} px, got {list(box)}")
