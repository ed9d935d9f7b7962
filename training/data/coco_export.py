"""A data set in Parquet as COCO, for annotation tools (CVAT, FiftyOne) and back: images as they came, boxes, masks, classes, groups."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from contracts.errors import SettingsError
from training.data.labelled_frame import boxes_of_row, decode_rle, encode_rle
from training.data.parquet_set import iterate_rows, read_table, require_parquet_set

ANNOTATIONS = "annotations.json"
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/tiff": ".tiff", "application/x-npy": ".npy"}
_ODD = re.compile(r"[^\w./-]+")
_IGNORED = "ignore"


def export_coco(folder: Path, out: Path, report: Callable[[int, int], None] = lambda done, of: None) -> int:
    """Write the images of a data set and one JSON of COCO; the number of images.

    `irstream dataset import coco` reads it back: the same pixels, boxes, classes, groups, cameras and splits, and the same mask of each
    frame that has a target. A mask is cut into those of the boxes; what lies in none of them belongs to the first one.

    Args:
        folder: data set in Parquet.
        out: empty folder, or one that is not there.
        report: gets images written, and all.

    Raises:
        SettingsError: there is no data set, or `out` has files.
    """
    require_parquet_set(folder)
    if out.exists() and any(out.iterdir()):
        raise SettingsError(expected="an empty folder", got="one with files", where=str(out), action="Name another folder.")
    of = len(read_table(folder, ["sample_id"]))
    labels = sorted({label for row in read_table(folder, ["labels"])["labels"].to_pylist() for label in row})
    category = {label: number for number, label in enumerate(labels, start=1)}
    images, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
    for number, row in enumerate(iterate_rows(folder), start=1):
        name = file_name_of(row)
        path = out / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row["image"])
        images.append(_image(number, name, row))
        annotations += [
            {"id": len(annotations) + at, "image_id": number} | each for at, each in enumerate(_targets(row, category), start=1)
        ]
        report(number, of)
    categories = [{"id": number, "name": label} for label, number in category.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    out.mkdir(parents=True, exist_ok=True)
    (out / ANNOTATIONS).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return len(images)


def file_name_of(row: Mapping[str, Any]) -> str:
    """A path that every file system takes, the image's name where it is one."""
    name = str(row["sample_id"])
    parts = [part for part in _ODD.sub("_", name).split("/") if part.strip(".")]
    plain = "/".join(parts) or "image"
    if plain != name:
        plain += "-" + hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return plain + (_SUFFIXES.get(row["content_type"]) or Path(row["source_file"]).suffix or ".img")


def _image(number: int, name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: row[key] for key in ("platform", "band", "bit_depth", "split", "group_id") if row[key] not in (None, "unknown")}
    return {"id": number, "file_name": name, "width": row["width_px"], "height": row["height_px"], "sample_id": row["sample_id"], **known}


def _targets(row: Mapping[str, Any], category: Mapping[str, int]) -> list[dict[str, Any]]:
    """One annotation a box."""
    boxes_N4, shape_HW = boxes_of_row(row), (int(row["height_px"]), int(row["width_px"]))
    rest_HW = None if row["mask_rle"] is None else decode_rle(row["mask_rle"], shape_HW)
    found, segments = list[dict[str, Any]](), list[Any]()
    for (x_min, y_min, x_max, y_max), label in zip(boxes_N4.tolist(), row["labels"], strict=True):
        width, height = x_max - x_min, y_max - y_min
        each = {
            "category_id": category[label],
            "bbox": [x_min, y_min, width, height],
            "area": width * height,
            "iscrowd": int(label == _IGNORED),
        }
        found.append(each)
        if rest_HW is None or label == _IGNORED:
            segments.append(None)
            continue
        own_HW = np.zeros(shape_HW, np.uint8)
        inside = (slice(max(0, int(y_min)), int(np.ceil(y_max))), slice(max(0, int(x_min)), int(np.ceil(x_max))))
        own_HW[inside] = rest_HW[inside]
        rest_HW[inside] = 0
        segments.append(own_HW)
    targets = [at for at, own_HW in enumerate(segments) if own_HW is not None]
    if rest_HW is not None and targets:
        segments[targets[0]] |= rest_HW
    for each, own_HW in zip(found, segments, strict=True):
        if own_HW is not None:
            each |= {"segmentation": {"size": list(shape_HW), "counts": encode_rle(own_HW)}, "area": int(own_HW.sum())}
        elif rest_HW is not None:
            x, y, width, height = each["bbox"]
            each["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
        else:
            each["segmentation"] = []
    return found
