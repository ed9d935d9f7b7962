"""The synthetic camera: deterministic, exact truth, every bit depth, band and size."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.frame import Band, Platform
from synthetic.bands import look_of
from synthetic.camera import MASK_PART, SyntheticCamera
from synthetic.optics import Optics
from synthetic.settings import PLATFORM_OF, SCENES_OF, Scene, SyntheticSettings
from synthetic.shapes import LABELS, SHAPES
from synthetic.sprites import Pose, render

OPTICS = Optics(10.0, 1.2, 12.0)


def digest(camera: SyntheticCamera, indexes: list[int]) -> str:
    counts = hashlib.sha256()
    for index in indexes:
        counts.update(camera.frame(index).pixels_HW.tobytes())
    return counts.hexdigest()[:16]


@pytest.mark.parametrize("scene", list(Scene))
def test_same_settings_give_same_bytes_in_any_order(scene: Scene) -> None:
    told = SyntheticSettings(scene=scene, height_px=128, width_px=160, seed=5)
    forwards = SyntheticCamera(told)
    in_order = [forwards.frame(index).pixels_HW.tobytes() for index in (0, 1, 40)]
    backwards = SyntheticCamera(told)
    assert [backwards.frame(index).pixels_HW.tobytes() for index in (40, 1, 0)] == in_order[::-1]


@pytest.mark.parametrize("scene", list(Scene))
def test_seeds_and_frames_differ(scene: Scene) -> None:
    cameras = [SyntheticCamera(SyntheticSettings(scene=scene, height_px=96, width_px=96, seed=seed)) for seed in (1, 2)]
    assert len({digest(camera, [index]) for camera in cameras for index in (0, 1)}) == 4


@pytest.mark.parametrize("scene", list(Scene))
@pytest.mark.parametrize("seed", [0, 7])
def test_mask_and_box_agree_with_the_light_of_the_targets(scene: Scene, seed: int) -> None:
    camera = SyntheticCamera(SyntheticSettings(scene=scene, seed=seed, band=Band.LWIR))
    num_targets = 0
    for index in range(0, 400, 57):
        light_HW, truth = camera.light(index)
        empty_HW, nothing = camera.light(index, with_targets=False)
        assert not nothing.targets
        change_HW = np.abs(light_HW - empty_HW)
        for number, target in enumerate(truth.targets):
            num_targets += 1
            mask_HW = truth.mask_HW(number)
            rows, columns = np.nonzero(mask_HW)
            assert target.box_xyxy_px == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert target.area_px == mask_HW.sum() > 0
        # Away from every target nothing changes: the light of all lies within reach of their boxes. Not at the rim, where one is
        # about to enter; and behind leaves a target may still shine through a little when its mask is hidden.
        reach = look_of(Band.LWIR).optics.margin_px + 25
        near_HW = np.zeros_like(truth.any_HW)
        for target in truth.targets:
            x0, y0, x1, y1 = target.box_xyxy_px
            near_HW[max(y0 - reach, 0) : y1 + reach, max(x0 - reach, 0) : x1 + reach] = True
        visible_HW = change_HW > (4.0 if scene is Scene.SKYLINE else 0.02)
        assert not (visible_HW & ~near_HW)[reach:-reach, reach:-reach].any()
    assert num_targets > 0


def test_a_point_target_is_where_its_truth_says_to_a_twentieth_of_a_pixel() -> None:
    for x, y in ((20.5, 20.5), (20.0, 20.0), (19.73, 21.31)):
        sprite = render(Pose("airplane", "top", 0.8), OPTICS, x, y)
        weight = sprite.cover_HW.astype(np.float64)
        rows, columns = np.indices(weight.shape)
        centre_x = sprite.column + ((columns + 0.5) * weight).sum() / weight.sum()
        centre_y = sprite.row + ((rows + 0.5) * weight).sum() / weight.sum()
        # The silhouette's own centre of area is a few hundredths of its 0.8 px off its middle.
        assert abs(centre_x - x) < 0.1
        assert abs(centre_y - y) < 0.02


@settings(max_examples=30, deadline=None)
@given(st.floats(10, 30), st.floats(10, 30), st.sampled_from(SHAPES), st.floats(0.7, 30))
def test_no_light_is_lost_wherever_a_target_stands(x: float, y: float, shape: tuple[str, str], size_px: float) -> None:
    label, view = shape
    here, there = (render(Pose(label, view, size_px), OPTICS, *place) for place in ((x, y), (16.5, 16.5)))
    assert here.cover_HW.sum() == pytest.approx(there.cover_HW.sum(), rel=1e-5)
    assert here.heat_HW.sum() == pytest.approx(there.heat_HW.sum(), rel=1e-5)
    assert here.cover_HW.min() > -0.02
    assert here.cover_HW.max() < 1.02


def test_optics_blur_as_diffraction_says() -> None:
    slow = Optics(wavelength_um=10.0, f_number=12.0, pitch_um=12.0, aberration_px=0.0)
    assert slow.airy_radius_px == pytest.approx(12.2)
    sprite = render(Pose("airplane", "top", 0.5), slow, 60.5, 60.5)
    rows, columns = np.indices(sprite.cover_HW.shape)
    away_px = np.hypot(sprite.column + columns + 0.5 - 60.5, sprite.row + rows + 0.5 - 60.5)
    light = sprite.cover_HW.astype(np.float64)
    # Of an Airy pattern 83.8 % of the energy lie within the first dark ring.
    assert light[away_px < 12.2].sum() / light.sum() == pytest.approx(0.838, abs=0.02)
    assert light[np.abs(away_px - 12.2) < 0.7].mean() < 0.01 * light.max()
    assert light[np.abs(away_px - 16.3) < 0.7].mean() == pytest.approx(0.0175 * light.max(), rel=0.25)  # first bright ring


def test_masks_hold_the_pixels_with_a_quarter_of_the_strongest_cover() -> None:
    camera = SyntheticCamera(SyntheticSettings(scene=Scene.ORBIT, seed=3, num_targets=1))
    assert MASK_PART == 0.25
    light_HW, truth = camera.light(30)
    empty_HW, _ = camera.light(30, with_targets=False)
    target = truth.targets[0]
    change_HW = np.abs(light_HW - empty_HW)
    inside = change_HW[truth.mask_HW(0)]
    assert inside.max() == pytest.approx(abs(target.contrast_k), rel=1e-3)
    # The mask gathers nearly all the light of the target.
    assert inside.sum() > 0.7 * change_HW.sum()


@pytest.mark.parametrize("bit_depth", range(8, 17))
def test_counts_use_their_bits_and_no_more(bit_depth: int) -> None:
    camera = SyntheticCamera(SyntheticSettings(scene=Scene.SKYLINE, height_px=128, width_px=128, bit_depth=bit_depth, seed=2))
    pixels_HW = camera.frame(3).pixels_HW
    assert pixels_HW.dtype == (np.uint8 if bit_depth == 8 else np.uint16)
    assert pixels_HW.max() < 2**bit_depth
    assert len(np.unique(pixels_HW)) > (60 if bit_depth < 11 else 150)
    if bit_depth > 8:
        assert pixels_HW.max() > 2 ** (bit_depth - 2), "a pedestal, as raw counts have"
        assert np.ptp(pixels_HW) < 2**bit_depth / 4, "a small part of the range, as raw counts use"


def test_snr_is_contrast_by_the_noise_that_is_there() -> None:
    camera = SyntheticCamera(SyntheticSettings(scene=Scene.SKY, seed=1, bit_depth=16, bad_pixels_ppm=0))
    frames = np.stack([camera.frame(index).pixels_HW.astype(np.float64) for index in range(60)])
    # Differences of neighbouring frames hold only temporal noise where nothing moves: the median over the frame.
    noise_counts = np.median(np.diff(frames, axis=0).std(axis=0)) / np.sqrt(2)
    truth = camera.frame(0).truth
    assert truth.targets
    for target in truth.targets:
        noise_k = abs(target.contrast_k) / target.snr
        assert noise_k * camera.scale.per_k == pytest.approx(noise_counts, rel=0.25)


@pytest.mark.parametrize("band", list(Band))
@pytest.mark.parametrize("scene", list(Scene))
def test_every_scene_exists_in_every_band(scene: Scene, band: Band) -> None:
    camera = SyntheticCamera(SyntheticSettings(scene=scene, band=band, height_px=96, width_px=128, seed=4))
    frame = camera.frame(10)
    assert frame.pixels_HW.shape == (96, 128)
    assert frame.pixels_HW.std() > 3


@pytest.mark.slow
@pytest.mark.parametrize("size_px", [(64, 64), (512, 640), (2048, 96), (96, 2048)], ids=str)
def test_sizes_up_to_2048(size_px: tuple[int, int]) -> None:
    camera = SyntheticCamera(SyntheticSettings(scene=Scene.SKY, height_px=size_px[0], width_px=size_px[1]))
    assert camera.frame(0).pixels_HW.shape == size_px


def test_tracks_keep_their_number_and_move_smoothly() -> None:
    camera = SyntheticCamera(SyntheticSettings(scene=Scene.SKY, seed=11, fps=25))
    last: dict[int, tuple[float, float]] = {}
    followed = 0
    for index in range(100):
        for target in camera.light(index)[1].targets:
            if target.track_id in last:
                followed += 1
                moved = np.hypot(*np.subtract(target.centroid_xy_px, last[target.track_id]))
                assert moved < 4.0, f"track {target.track_id} jumped {moved:.1f} px in frame {index}"
            last[target.track_id] = target.centroid_xy_px
    assert followed > 100


@pytest.mark.slow
def test_passes_follow_each_other_under_new_track_numbers() -> None:
    camera = SyntheticCamera(SyntheticSettings(scene=Scene.SKY, seed=11, fps=1))
    seen = {target.track_id for index in range(0, 900, 3) for target in camera.light(index)[1].targets}
    assert len(seen) > 10


def test_bad_pixels_stay_and_some_blink() -> None:
    camera = SyntheticCamera(SyntheticSettings(scene=Scene.SKY, seed=3, bad_pixels_ppm=2000, num_targets=0))
    clean = SyntheticCamera(SyntheticSettings(scene=Scene.SKY, seed=3, bad_pixels_ppm=0, num_targets=0))
    off = np.stack([np.abs(camera.frame(n).pixels_HW.astype(int) - clean.frame(n).pixels_HW) > 25 for n in range(0, 60, 6)]).sum(axis=0)
    assert 60 < (off > 0).sum() < 200
    assert (off == 10).sum() > 30
    assert ((off > 0) & (off < 10)).sum() > 10


@pytest.mark.slow
def test_every_label_can_appear_and_every_platform_has_scenes() -> None:
    assert {label for label, _ in SHAPES} == set(LABELS)
    seen: set[str] = set()
    for scene in Scene:
        assert scene in SCENES_OF[PLATFORM_OF[scene]]
        for seed in range(4):
            camera = SyntheticCamera(SyntheticSettings(scene=scene, seed=seed, height_px=128, width_px=128))
            seen |= {target.label for index in range(0, 1500, 100) for target in camera.light(index)[1].targets}
    assert seen == set(LABELS)
    assert set(SCENES_OF) == set(Platform)


GOLDEN = {
    (Scene.SKY, Band.LWIR, 14): "ff076b177bf360e3",
    (Scene.SKYLINE, Band.LWIR, 8): "9c5adde58d5cf87f",
    (Scene.SEA, Band.MWIR, 12): "1fe1b1dbf26237d7",
    (Scene.GROUND, Band.LWIR, 14): "be5a2121ba4dca53",
    (Scene.ORBIT, Band.SWIR, 16): "9bfd4d1d02675090",
    (Scene.SHORE, Band.LWIR, 12): "8d3e442326df1fc6",
}


@pytest.mark.parametrize(("scene", "band", "bit_depth"), list(GOLDEN))
def test_counts_are_the_same_on_every_machine(scene: Scene, band: Band, bit_depth: int) -> None:
    camera = SyntheticCamera(SyntheticSettings(scene=scene, band=band, height_px=128, width_px=160, bit_depth=bit_depth, seed=42))
    assert digest(camera, [17]) == GOLDEN[scene, band, bit_depth]


@pytest.mark.parametrize("features", ["X86_V3"])
def test_counts_do_not_depend_on_the_instructions_of_the_processor(features: str) -> None:
    told = "SyntheticSettings(height_px=128, width_px=160, seed=42)"
    program = (
        "import hashlib; from synthetic.camera import SyntheticCamera; from synthetic.settings import SyntheticSettings; "
        f"print(hashlib.sha256(SyntheticCamera({told}).frame(17).pixels_HW.tobytes()).hexdigest()[:16])"
    )
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": features}
    printed = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == GOLDEN[Scene.SKY, Band.LWIR, 14]
