"""Tiny made data sets on disk, in the layout of the real ones: every role of every set has two images."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from training.data.catalogue import MASK_SETS, SEGMENTATION_SETS, SYNTHETIC

SIDE_PX = 64
_SPLITS = {
    "nudt-sirst": ("train", "test"),
    "irstd-1k": ("trainval", "test"),
    "sirst-v2": ("train", "val", "test"),
    "hit-uav": ("train", "val", "test"),
    "drone-ir": ("train", "val"),
    SYNTHETIC: ("train", "val", "test"),
}
# Enough training images or clips that the hash of some name puts it among the held-out ones.
_TRAIN_IMAGES = 24


def write_made_sets(root: Path) -> None:
    """Write all sets; of the clips, three."""
    rng = np.random.default_rng(0)
    for dataset, splits in _SPLITS.items():
        for folder in ("images", "masks"):
            (root / dataset / folder).mkdir(parents=True)
        entries = []
        for split in splits:
            entries += [
                _write_image(root / dataset, f"{split}{number}", split, rng) for number in range(_TRAIN_IMAGES if "train" in split else 2)
            ]
        (root / dataset / "index.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    (root / "drone-ir-clips").mkdir()
    tracks = [_write_clip(root / "drone-ir-clips", f"clip-train{number}", rng) for number in range(3)]
    (root / "drone-ir-clips" / "tracks.jsonl").write_text("".join(json.dumps(track) + "\n" for track in tracks))


def _write_clip(folder: Path, name: str, rng: np.random.Generator) -> dict[str, object]:
    """Two frames; the videos are called as the clips of `drone-ir` that its images are of."""
    frames = rng.normal(90, 3, (2, SIDE_PX, SIDE_PX, 1)).astype(np.uint8).repeat(3, 3)
    frames[:, 20:26, 30:38] += 90
    video = cv2.VideoWriter(str(folder / f"{name}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (SIDE_PX, SIDE_PX))
    for frame in frames:
        video.write(frame)
    video.release()
    (folder / f"{name}.avi").rename(folder / name)
    return {"video": name, "class": "DRONE", "boxes_xywh_px": [[30, 20, 8, 6]] * len(frames)}


def _write_image(folder: Path, name: str, split: str, rng: np.random.Generator) -> dict[str, object]:
    pixels = rng.normal(90, 3, (SIDE_PX, SIDE_PX)).astype(np.uint8)
    left, top = (int(value) for value in rng.integers(5, SIDE_PX - 15, 2))
    pixels[top : top + 6, left : left + 8] += 90
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    mask[top : top + 6, left : left + 8] = 255
    cv2.imwrite(str(folder / "images" / f"{name}.png"), pixels)
    segmented = folder.name in MASK_SETS
    if segmented:
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)
    return {
        "id": name,
        "file": f"images/{name}.png",
        "mask": f"masks/{name}.png" if segmented else None,
        "split": split,
        "clip": f"clip-{name}",
        "platform": None,
        "band": None,
        "boxes": [[left, top, 8, 6]],
    } | ({} if folder.name in SEGMENTATION_SETS else {"classes": [int(rng.integers(4))]})
