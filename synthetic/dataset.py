"""Labelled synthetic frames as a data set: `irstream dataset synthetic FOLDER`.

Images (PNG, the sensor's counts), masks and an `index.jsonl` as the public sets have it: boxes `[x, y, width, height]`, a class
index and name per box, a split. A split shares no camera, so no scene, with another. The seeds are far from those of the demo.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from contracts.dataset_index import INDEX_NAME
from contracts.frame import Band
from synthetic.camera import SyntheticCamera, SyntheticFrame
from synthetic.settings import PLATFORM_OF, Scene, SyntheticSettings

LABELS = ("person", "car", "bicycle", "other_vehicle", "airplane", "bird", "drone", "helicopter", "ignore")
CAMERAS_OF_SPLIT = {"train": 12, "val": 2, "test": 3}
"""Cameras of every scene and band."""
_SCENES = (*Scene, Scene.SHORE)
"""The shore twice: it alone has lights that look like targets and are none."""
FRAMES_OF_CAMERA = 5
_FIRST_SEED = 10_000
_SECONDS_BETWEEN_FRAMES = 17
_SIZES_PX = ((256, 256), (256, 320), (320, 320), (384, 384), (512, 640), (288, 352))
_BIT_DEPTHS = (14, 8, 12, 16, 8)
_BANDS = (Band.LWIR, Band.MWIR)
_LEAST_VISIBLE = 1.5
"""Contrast over noise and over clutter below which a target is labelled `ignore`: to miss it is no mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPlan:
    """One camera of the data set."""

    split: str
    settings: SyntheticSettings

    @property
    def name(self) -> str:
        """Unique in the data set."""
        return f"{self.settings.scene}-{self.settings.band}-{self.settings.seed}"


def plans() -> Iterator[CameraPlan]:
    """Every scene in every band, sizes and bit depths in turn."""
    seed = _FIRST_SEED
    for split, num_cameras in CAMERAS_OF_SPLIT.items():
        for _, scene, band in product(range(num_cameras), _SCENES, _BANDS):
            height_px, width_px = _SIZES_PX[seed % len(_SIZES_PX)]
            settings = SyntheticSettings(
                scene=scene,
                platform=PLATFORM_OF[scene],
                band=band,
                height_px=height_px,
                width_px=width_px,
                bit_depth=_BIT_DEPTHS[seed % len(_BIT_DEPTHS)],
                fps=1 / _SECONDS_BETWEEN_FRAMES,
                seed=seed,
            )
            yield CameraPlan(split=split, settings=settings)
            # A step that is prime to sizes and depths.
            seed += 7


def write_frame(frame: SyntheticFrame, plan: CameraPlan, folder: Path) -> dict[str, object]:
    """Write image and mask of one frame; its line of the index."""
    settings, name = plan.settings, f"{plan.name}-{frame.index}"
    seen = [target.snr >= _LEAST_VISIBLE and target.clutter_ratio >= _LEAST_VISIBLE for target in frame.truth.targets]
    mask_HW = np.isin(frame.truth.labels_HW, [1 + index for index, visible in enumerate(seen) if visible]).astype(np.uint8) * 255
    image, mask = f"images/{name}.png", f"masks/{name}.png"
    cv2.imwrite(str(folder / image), frame.pixels_HW)
    cv2.imwrite(str(folder / mask), mask_HW)
    boxes = [target.box_xyxy_px for target in frame.truth.targets]
    labels = [target.label if visible else "ignore" for target, visible in zip(frame.truth.targets, seen, strict=True)]
    return {
        "id": name,
        "file": image,
        "mask": mask,
        "width": settings.width_px,
        "height": settings.height_px,
        "bit_depth": settings.bit_depth,
        "split": plan.split,
        "platform": settings.platform.value,
        "band": settings.band.value,
        "clip": plan.name,
        "boxes": [[x_min, y_min, x_max - x_min, y_max - y_min] for x_min, y_min, x_max, y_max in boxes],
        "classes": [LABELS.index(label) for label in labels],
        "labels": labels,
    }


def write_dataset(
    folder: Path,
    cameras: list[CameraPlan],
    frames_of_camera: int = FRAMES_OF_CAMERA,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> int:
    """Write the frames of some cameras and the index.

    Args:
        folder: made where it is not there.
        cameras: whose frames.
        frames_of_camera: of each.
        report: gets the number of cameras done, and of all.

    Returns:
        The number of frames.
    """
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    entries = []
    for done, plan in enumerate(cameras, start=1):
        camera = SyntheticCamera(plan.settings)
        entries += [write_frame(camera.frame(index), plan, folder) for index in range(frames_of_camera)]
        report(done, len(cameras))
    (folder / INDEX_NAME).write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    return len(entries)
