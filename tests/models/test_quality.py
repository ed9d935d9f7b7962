"""Faults of a frame: each is found where it is, and in no scene that is merely unusual."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.image_files import read_counts
from contracts.quality import Quality
from models.normalisation import fill
from models.quality import quality_of
from synthetic.camera import SyntheticCamera
from synthetic.settings import Scene, SyntheticSettings


def faults(pixels_HW: NDArray[Any], bit_depth: int = 16) -> set[Quality]:
    return set(quality_of(pixels_HW, bit_depth, fill(pixels_HW, bit_depth)))


def scene(kind: Scene = Scene.GROUND, seed: int = 1) -> NDArray[np.uint16]:
    camera = SyntheticCamera(SyntheticSettings(scene=kind, height_px=96, width_px=128, bit_depth=14, seed=seed))
    return np.asarray(camera.frame(0).pixels_HW, np.uint16)


@pytest.fixture(scope="module")
def ground_HW() -> NDArray[np.uint16]:
    return scene()


@pytest.mark.parametrize("kind", list(Scene))
def test_scenes_have_no_fault(kind: Scene) -> None:
    pixels_HW = scene(kind)
    assert faults(pixels_HW, 14) == set()
    assert faults((pixels_HW / 64).astype(np.uint8), 8) <= {Quality.FLAT}
    assert faults(pixels_HW.astype(np.float32), 32) == set()


def test_hot_pixels_and_telemetry_and_saturation(ground_HW: NDArray[np.uint16]) -> None:
    hot_HW, telemetry_HW, bright_HW, range_HW = (ground_HW.copy() for _ in range(4))
    hot_HW[40, 50] = 16_000
    telemetry_HW[0] = np.random.default_rng(1).integers(30_000, 60_000, 128)
    bright_HW[10:40, 10:60] = 2**14 - 1
    range_HW[10:40, 10:60] = 12_345  # an even object, and no end of any range
    assert faults(hot_HW) == {Quality.HOT_PIXELS}
    assert faults(telemetry_HW) == {Quality.TELEMETRY}
    assert Quality.SATURATED in faults(bright_HW)
    assert Quality.SATURATED not in faults(range_HW)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_picture_without_any_scene_is_flat(dtype: str) -> None:
    assert Quality.FLAT in faults(np.full((64, 64), 100, dtype), {"uint8": 8, "uint16": 16, "float32": 32}[dtype])


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_picture_turned_around_itself_is_wrapped(axis: int, dtype: str) -> None:
    # A slope of one scene: its far edges never fit together, until it is turned.
    slope = 20 * np.add.outer(np.arange(96), np.arange(128)) + 3000
    pixels_HW = (slope + np.random.default_rng(3).normal(0, 8, slope.shape)).astype(dtype)
    bit_depth = 32 if dtype == "float32" else 16
    assert Quality.WRAPPED not in faults(pixels_HW, bit_depth)
    assert Quality.WRAPPED in faults(np.roll(pixels_HW, 40, axis=axis), bit_depth)


def test_a_pole_and_the_corner_of_a_wall_are_not_wrapped(ground_HW: NDArray[np.uint16]) -> None:
    noise = np.random.default_rng(3).normal(0, 8, ground_HW.shape)
    pole, wall, soft = np.zeros((3, *ground_HW.shape))
    pole[:, 60:70] = wall[:, 60:] = soft[:, 62:] = 900
    soft[:, 58:62] = (150, 400, 650, 850)
    for added in (pole, wall, soft):
        assert Quality.WRAPPED not in faults((3000 + noise + added).astype(np.uint16))


def test_real_frames_that_are_damaged_are_found_and_others_are_not(shared_data: Path) -> None:
    folder = shared_data / "cptv-lepton-16bit"
    rows = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    wrapped = {row["id"] for row in rows if Quality.WRAPPED in faults(read_counts(folder / row["file"]))}
    trapcam1 = {row["id"] for row in rows if row["id"].startswith("trapcam1")}
    assert len(trapcam1) == 15
    assert wrapped == trapcam1


def test_a_noisy_picture_that_was_read_too_late_is_wrapped_by_its_filler_only() -> None:
    """As the recorder writes it: a filler, then the frame from a later place on, each line turned by as much."""
    rng = np.random.default_rng(5)
    scene_HW = (9000 + 12 * np.arange(128) + rng.normal(0, 700, (96, 128))).astype(np.uint16)
    late_HW = np.concatenate([np.zeros(37, np.uint16), scene_HW.ravel()])[: scene_HW.size].reshape(scene_HW.shape)
    assert Quality.WRAPPED in faults(late_HW)
    without_HW = late_HW.copy()
    without_HW[0] = without_HW[1]
    assert Quality.WRAPPED not in faults(without_HW), "the seam alone is lost in the noise"
    half_line_HW, border_HW = scene_HW.copy(), scene_HW.copy()
    half_line_HW[0, :64] = 0  # analogue video begins with half a line
    border_HW[:, :37] = 0
    assert Quality.WRAPPED not in faults(half_line_HW)
    assert Quality.WRAPPED not in faults(border_HW)
