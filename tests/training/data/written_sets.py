"""One small labelled set, written in each format that can be imported."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

WIDE_PX, HIGH_PX = 40, 32
LABELS = ("car", "person")


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An image of the set, with one target.

    Attributes:
        name: of its file.
        split: part of the set.
        pixels_HW: counts.
        box_xywh: of the target.
        label: its class.
    """

    name: str
    split: str
    pixels_HW: NDArray[np.uint16]
    box_xywh: tuple[int, int, int, int]
    label: str

    @property
    def mask_HW(self) -> NDArray[np.uint8]:
        x, y, width, height = self.box_xywh
        mask = np.zeros((HIGH_PX, WIDE_PX), np.uint8)
        mask[y : y + height, x : x + width] = 255
        return mask


def scenes() -> list[Scene]:
    """Two images of each split, 16 bits deep."""
    rng, made = np.random.default_rng(4), []
    for number, split in enumerate(("train", "train", "val", "val", "test", "test")):
        x, y = (int(value) for value in rng.integers(2, 20, 2))
        pixels = rng.integers(7000, 9000, (HIGH_PX, WIDE_PX)).astype(np.uint16)
        pixels[y : y + 4, x : x + 6] += 5000
        made.append(Scene(f"cam{number // 2}_{number:03}", split, pixels, (x, y, 6, 4), LABELS[number % 2]))
    return made


def _image(folder: Path, scene: Scene) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{scene.name}.png"), scene.pixels_HW)


def _mask(folder: Path, name: str, scene: Scene) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), scene.mask_HW)


def write_index(root: Path) -> None:
    lines = []
    for scene in scenes():
        _image(root / "images", scene)
        _mask(root / "masks", f"{scene.name}.png", scene)
        lines.append(
            {
                "id": scene.name,
                "file": f"images/{scene.name}.png",
                "mask": f"masks/{scene.name}.png",
                "boxes": [list(scene.box_xywh)],
                "labels": [scene.label],
                "split": scene.split,
                "platform": "UAV",
                "band": "LWIR",
                "bit_depth": 14,
                "sequence": scene.name[:4],
            }
        )
    (root / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_coco(root: Path) -> None:
    for split in ("train", "val", "test"):
        here = [scene for scene in scenes() if scene.split == split]
        for scene in here:
            _image(root / split, scene)
        corners = [(scene.box_xywh[0], scene.box_xywh[1], scene.box_xywh[2], scene.box_xywh[3]) for scene in here]
        polygons = [[[x, y, x + w, y, x + w, y + h, x, y + h]] for x, y, w, h in corners]
        content = {
            "images": [{"id": number, "file_name": f"{scene.name}.png"} for number, scene in enumerate(here)],
            "annotations": [
                {
                    "image_id": number,
                    "category_id": 7 + LABELS.index(scene.label),
                    "bbox": list(scene.box_xywh),
                    "segmentation": polygons[number],
                }
                for number, scene in enumerate(here)
            ],
            "categories": [{"id": 7, "name": "car"}, {"id": 8, "name": "person"}],
        }
        (root / f"instances_{split}.json").write_text(json.dumps(content))


def write_voc(root: Path) -> None:
    (root / "Annotations").mkdir(parents=True)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for scene in scenes():
        _image(root / "JPEGImages", scene)
        x, y, w, h = scene.box_xywh
        box = f"<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>"
        text = f"<annotation><object><name>{scene.label}</name><bndbox>{box}</bndbox></object></annotation>"
        (root / "Annotations" / f"{scene.name}.xml").write_text(text)
        with (root / "ImageSets" / "Main" / f"{scene.split}.txt").open("a") as lists:
            lists.write(f"{scene.name}\n")


def write_yolo(root: Path) -> None:
    root.mkdir(parents=True)
    (root / "data.yaml").write_text("names: [car, person]\n")
    for scene in scenes():
        _image(root / "images" / scene.split, scene)
        (root / "labels" / scene.split).mkdir(parents=True, exist_ok=True)
        x, y, w, h = scene.box_xywh
        shares = ((x + w / 2) / WIDE_PX, (y + h / 2) / HIGH_PX, w / WIDE_PX, h / HIGH_PX)
        line = f"{LABELS.index(scene.label)} {' '.join(map(str, shares))}\n"
        (root / "labels" / scene.split / f"{scene.name}.txt").write_text(line)


def write_masks(root: Path) -> None:
    (root / "img_idx").mkdir(parents=True)
    for scene in scenes():
        _image(root / "images", scene)
        _mask(root / "masks", f"{scene.name}_pixels0.png", scene)
        with (root / "img_idx" / f"{scene.split}_set.txt").open("a") as lists:
            lists.write(f"{scene.name}\n")


def write_wideirstd(root: Path) -> None:
    write_masks(root)
    (root / "statistics.txt").write_text("".join(f"{scene.name}\tSpace\tNIR\t40\t32\t24\n" for scene in scenes()))


def write_folders(root: Path) -> None:
    for scene in scenes():
        _image(root / scene.split / scene.label, scene)


WRITERS: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    {
        "index": write_index,
        "coco": write_coco,
        "voc": write_voc,
        "yolo": write_yolo,
        "masks": write_masks,
        "wideirstd": write_wideirstd,
        "folders": write_folders,
    }
)
