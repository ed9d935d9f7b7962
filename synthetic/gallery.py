"""The gallery of docs/synthetic.md: synthetic scenes with their truth, beside real frames.

    python -m synthetic.gallery --data ../shared/data --out docs/img/synthetic-gallery.png

Real frames are shown only from sets whose licence allows it, and credited in the picture and in docs/synthetic.md:
IRSTD-1k (MIT), HIT-UAV (CC BY 4.0), Drone-detection-dataset (CC0).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.dataset_index import INDEX_NAME, read_entries
from contracts.frame import Band, Pixels
from contracts.image_files import read_counts
from synthetic.camera import SyntheticCamera
from synthetic.settings import Scene, SyntheticSettings
from synthetic.shapes import LABELS

Picture = NDArray[np.uint8]
_TILE, _TITLE, _GAP = 256, 18, 4
_CHIP = 64
_NUM_GREYS = 250
_BOX, _TEXT, _PAPER = 250, 251, 252  # entries of the palette behind the greys
_PALETTE = {_BOX: (255, 196, 0), _TEXT: (235, 235, 235), _PAPER: (24, 28, 34)}
_REAL = {
    Scene.SKY: (("irstd-1k", "XDU186"), ("irstd-1k", "XDU275")),
    Scene.SKYLINE: (("drone-ir", "IR_HELICOPTER_031_f0269"), ("drone-ir", "IR_DRONE_014_f0050")),
    Scene.SEA: (("irstd-1k", "XDU519"), ("drone-ir", "IR_HELICOPTER_051_f0162")),
    Scene.GROUND: (("hit-uav", "1_110_90_0_05929"), ("hit-uav", "1_80_60_0_04715")),
}
_SHOWN = {
    Scene.SKY: ((Band.LWIR, 14, 4), (Band.LWIR, 8, 7), (Band.MWIR, 14, 3)),
    Scene.SKYLINE: ((Band.LWIR, 8, 3), (Band.LWIR, 8, 6), (Band.SWIR, 12, 2)),
    Scene.SEA: ((Band.LWIR, 8, 1), (Band.MWIR, 14, 5), (Band.SWIR, 12, 3)),
    Scene.GROUND: ((Band.LWIR, 8, 5), (Band.LWIR, 14, 1), (Band.NIR, 10, 3)),
    Scene.ORBIT: ((Band.LWIR, 14, 2), (Band.MWIR, 16, 3), (Band.SWIR, 12, 1)),
    Scene.SHORE: ((Band.LWIR, 8, 503), (Band.LWIR, 14, 500), (Band.MWIR, 8, 505)),
}
_REAL_CLASSES = {"drone-ir": ("airplane", "bird", "drone", "helicopter"), "hit-uav": ("person", "car", "bicycle", "other_vehicle")}
_CREDIT = (
    "real frames: IRSTD-1k (Zhang et al. 2022, MIT) | HIT-UAV (Suo et al. 2023, CC BY 4.0) | "
    "Drone-detection-dataset (Svanstroem et al. 2021, CC0)"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Tile:
    title: str
    picture: Picture


def shown(pixels_HW: Pixels) -> Picture:
    """Counts as greys 0 to 249: video as it is, raw counts stretched between quantiles."""
    if pixels_HW.dtype == np.uint8:
        return (pixels_HW.astype(np.uint16) * (_NUM_GREYS - 1) // 255).astype(np.uint8)
    low, high = np.quantile(pixels_HW, [0.003, 0.998])
    grey = (pixels_HW.astype(np.float64) - low) / max(float(high - low), 1.0) * (_NUM_GREYS - 25) + 10
    stretched: Picture = np.clip(grey, 0, _NUM_GREYS - 1).astype(np.uint8)
    return stretched


def synthetic_tile(scene: Scene, band: Band, bit_depth: int, seed: int) -> _Tile:
    """One frame with the boxes of its truth."""
    frame = SyntheticCamera(SyntheticSettings(scene=scene, band=band, bit_depth=bit_depth, seed=seed)).frame(100)
    picture = shown(frame.pixels_HW)
    for target in frame.truth.targets:
        x0, y0, x1, y1 = target.box_xyxy_px
        cv2.rectangle(picture, (x0 - 3, y0 - 3), (x1 + 2, y1 + 2), _BOX, 1)
        if scene is not Scene.GROUND:
            cv2.putText(picture, target.label, (min(x0 - 3, _TILE - 60), max(y0 - 6, 8)), cv2.FONT_HERSHEY_PLAIN, 0.6, _BOX, 1)
    return _Tile(f"synthetic: {scene.value}, {band.value}, {bit_depth} bit", picture)


def real_tile(data: Path, name: str, item: str) -> _Tile:
    """The middle of a real frame, as it is."""
    entry = next(entry for entry in read_entries(data / name / INDEX_NAME) if entry.id == item)
    grey = read_counts(data / name / entry.file, entry.bit_depth)
    side = min(grey.shape)
    top, left = (grey.shape[0] - side) // 2, (grey.shape[1] - side) // 2
    middle: Any = cv2.resize(grey[top : top + side, left : left + side], (_TILE, _TILE), interpolation=cv2.INTER_AREA)
    return _Tile(f"real: {name}", shown(middle))


def synthetic_chips() -> _Tile:
    """Two close-ups of each class."""
    chips: dict[str, list[Picture]] = {label: [] for label in LABELS}
    for seed in range(60):
        scene = (Scene.SKYLINE, Scene.GROUND, Scene.SKY, Scene.SEA)[seed % 4]
        frame = SyntheticCamera(SyntheticSettings(scene=scene, bit_depth=8, seed=seed)).frame(100)
        for target in frame.truth.targets:
            x0, y0, x1, y1 = target.box_xyxy_px
            if len(chips[target.label]) < 2 and _fits((x0, y0, x1, y1), frame.pixels_HW.shape) and target.clutter_ratio > 3:
                chips[target.label].append(_chip(shown(frame.pixels_HW), (x0, y0, x1, y1)))
        if all(len(pair) == 2 for pair in chips.values()):
            break
    return _Tile("synthetic targets, close up", _chip_sheet(chips))


def real_chips(data: Path) -> _Tile:
    """Two close-ups of each class."""
    chips: dict[str, list[Picture]] = {label: [] for label in LABELS}
    for name, classes in _REAL_CLASSES.items():
        for entry in read_entries(data / name / INDEX_NAME)[::7]:
            grey = read_counts(data / name / entry.file, entry.bit_depth)
            for (x, y, width, height), number in zip(entry.boxes, entry.classes or (), strict=True):
                box = (int(x), int(y), int(x + width), int(y + height))
                if number < len(classes) and len(chips[classes[number]]) < 2 and _fits(box, grey.shape):
                    chips[classes[number]].append(_chip(shown(grey), box))
                    break
    return _Tile("real targets, close up", _chip_sheet(chips))


def _fits(box_xyxy: tuple[int, int, int, int], shape: tuple[int, ...]) -> bool:
    """Large enough to be looked at, and not cut off by the frame."""
    x0, y0, x1, y1 = box_xyxy
    return max(x1 - x0, y1 - y0) >= 5 and min(x0, y0) > 3 and x1 < shape[1] - 3 and y1 < shape[0] - 3


def _chip(picture: Picture, box_xyxy: tuple[int, int, int, int]) -> Picture:
    """A square around a box, twice as large as it, at least 24 px, enlarged to a chip."""
    side = max(24, int(1.7 * max(box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1])))
    left, top = (box_xyxy[0] + box_xyxy[2] - side) // 2, (box_xyxy[1] + box_xyxy[3] - side) // 2
    padded = np.pad(picture, side, mode="edge")
    cut = padded[top + side : top + 2 * side, left + side : left + 2 * side]
    return np.asarray(cv2.resize(cut, (_CHIP, _CHIP), interpolation=cv2.INTER_CUBIC), np.uint8).clip(0, _NUM_GREYS - 1)


def _chip_sheet(chips: dict[str, list[Picture]]) -> Picture:
    sheet = np.full((_TILE, _TILE), _PAPER, np.uint8)
    for number, (label, pair) in enumerate(chips.items()):
        for second, chip in enumerate(pair):
            row, column = number // 2, 2 * (number % 2) + second
            sheet[row * _CHIP : (row + 1) * _CHIP, column * _CHIP : (column + 1) * _CHIP] = chip
        cv2.putText(sheet, label, (2 * (number % 2) * _CHIP + 2, (number // 2) * _CHIP + 9), cv2.FONT_HERSHEY_PLAIN, 0.65, _BOX, 1)
    return sheet


def build_gallery(data: Path) -> Picture:
    """All rows, `(H, W)` indices into the palette."""
    rows = []
    for scene, plans in _SHOWN.items():
        tiles = [synthetic_tile(scene, *plan) for plan in plans]
        tiles += [real_tile(data, *item) for item in _REAL.get(scene, ())]
        if scene is Scene.ORBIT:
            tiles += [synthetic_chips(), real_chips(data)]
        rows.append(tiles)
    num_columns = max(len(tiles) for tiles in rows)
    sheet = np.full((len(rows) * (_TILE + _TITLE) + _TITLE, num_columns * (_TILE + _GAP) - _GAP), _PAPER, np.uint8)
    for row, tiles in enumerate(rows):
        top = row * (_TILE + _TITLE)
        for column, tile in enumerate(tiles):
            left = column * (_TILE + _GAP)
            cv2.putText(sheet, tile.title, (left + 2, top + 13), cv2.FONT_HERSHEY_PLAIN, 0.8, _TEXT, 1)
            sheet[top + _TITLE : top + _TITLE + _TILE, left : left + _TILE] = tile.picture
    cv2.putText(sheet, _CREDIT, (2, sheet.shape[0] - 5), cv2.FONT_HERSHEY_PLAIN, 0.75, _TEXT, 1)
    return sheet


def save(picture: Picture, path: Path) -> None:
    """Write indices as a PNG with a palette: greys, and a few colours for what is drawn."""
    from PIL import Image

    image = Image.fromarray(picture, mode="P")
    greys = [level * 255 // (_NUM_GREYS - 1) for level in range(_NUM_GREYS)]
    colours = [_PALETTE.get(entry, (0, 0, 0)) for entry in range(_NUM_GREYS, 256)]
    image.putpalette([channel for grey in greys for channel in (grey, grey, grey)] + [channel for colour in colours for channel in colour])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)


def main() -> None:
    """Write the picture."""
    arguments = argparse.ArgumentParser(description="Write the gallery of docs/synthetic.md.")
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the public data sets")
    arguments.add_argument("--out", type=Path, default=Path("docs/img/synthetic-gallery.png"))
    chosen = arguments.parse_args()
    if not chosen.data.is_dir():
        raise SystemExit(f"--data {chosen.data}: expected the folder of the public data sets, got nothing there")
    save(build_gallery(chosen.data), chosen.out)


if __name__ == "__main__":
    main()
