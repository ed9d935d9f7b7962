"""What other cameras do to a picture: each flaw does what it says, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from training.augmentation.camera import Flaws, add_bad_pixels, add_stripes, add_telemetry, jpeg, resample, spoil
from training.augmentation.points import PointSettings, plant_points

SIDE_PX = 96
OWN = (-3.0, 1 / 30)
NONE = Flaws(jpeg=0, blur=0, noise=0, stripes=0, bad_pixels=0, telemetry=0, coarse=0, fine=0, inverted=0)


def picture() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Smooth, normalised, with whole counts."""
    rng = np.random.default_rng(1)
    smooth = cv2.GaussianBlur(rng.standard_normal((SIDE_PX, SIDE_PX)).astype(np.float32), (0, 0), 8)
    return np.asarray(np.round(smooth / smooth.std() * 30) / 30, np.float32)


def chance(seed: int = 5) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_without_flaws_nothing_changes() -> None:
    np.testing.assert_array_equal(spoil(picture(), NONE, OWN, chance()), picture())


ONLY = {
    "jpeg": replace(NONE, jpeg=1),
    "blur": replace(NONE, blur=1),
    "noise": replace(NONE, noise=1),
    "stripes": replace(NONE, stripes=1),
    "bad_pixels": replace(NONE, bad_pixels=1),
    "telemetry": replace(NONE, telemetry=1),
    "coarse": replace(NONE, coarse=1),
    "fine": replace(NONE, fine=1),
    "inverted": replace(NONE, inverted=1),
}
EVERY = Flaws(jpeg=0.7, blur=0.7, noise=0.7, stripes=0.7, bad_pixels=0.7, telemetry=0.7, coarse=0.7, fine=0.7, inverted=0.7)


@pytest.mark.parametrize("name", ONLY)
def test_each_flaw_changes_the_picture_and_leaves_it_finite(name: str) -> None:
    spoilt = spoil(picture(), ONLY[name], OWN, chance())
    assert spoilt.dtype == np.float32
    assert spoilt.shape == (SIDE_PX, SIDE_PX)
    assert np.isfinite(spoilt).all()
    assert (spoilt != picture()).any()
    kept = np.corrcoef(np.clip(spoilt, -4, 4)[4:-4].ravel(), picture()[4:-4].ravel())[0, 1]
    assert (kept < -0.99) if name == "inverted" else kept > 0.9


def test_the_same_chance_gives_the_same_picture() -> None:
    once, again = (spoil(picture(), EVERY, OWN, chance(11)) for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_jpeg_blocks_come_at_any_phase() -> None:
    """Between two blocks the picture breaks: the step over a column is largest at the same place of every eight, and that place varies."""
    places = set()
    for seed in range(30):
        noisy = picture() + 0.3 * chance(2).standard_normal((SIDE_PX, SIDE_PX)).astype(np.float32)
        coded = jpeg(noisy, 10, (-4.0, 8 / 255), chance(seed))
        steps = np.abs(np.diff(coded, axis=1)).mean(0)[: SIDE_PX // 8 * 8 - 8].reshape(-1, 8).mean(0)
        places.add(int(steps.argmax()))
    assert len(places) >= 6


def test_a_better_quality_is_nearer_to_the_picture() -> None:
    errors = [float(np.abs(jpeg(picture(), quality, (-4.0, 8 / 255), chance()) - picture()).mean()) for quality in (20, 60, 95)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 2 * 8 / 255


def test_stripes_are_the_same_along_a_line() -> None:
    stripes = add_stripes(np.zeros((SIDE_PX, SIDE_PX), np.float32), 0.2, chance())
    spread = sorted(float(stripes.std(axis).mean()) for axis in (0, 1))
    assert spread[0] == pytest.approx(0, abs=1e-6)
    assert spread[1] == pytest.approx(0.2, rel=0.2)


def test_bad_pixels_are_few_and_far_off() -> None:
    changed = add_bad_pixels(np.zeros((SIDE_PX, SIDE_PX), np.float32), 12, chance())
    assert 10 <= int((changed != 0).sum()) <= 12
    assert float(np.abs(changed[changed != 0]).min()) >= 3


def test_telemetry_is_in_rows_at_an_edge() -> None:
    for seed in range(20):
        rows = np.flatnonzero((add_telemetry(picture(), chance(seed)) != picture()).any(1))
        assert 1 <= len(rows) <= 3
        assert rows[0] == 0 or rows[-1] == SIDE_PX - 1


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.4])
def test_resampling_keeps_targets_on_their_light(factor: float) -> None:
    side_px = 64
    pixels, mask, unknown = (np.zeros((SIDE_PX, SIDE_PX), kind) for kind in (np.float32, np.uint8, np.uint8))
    pixels[44:50, 50:56], mask[44:50, 50:56] = 5, 1
    scaled, scaled_mask, scaled_unknown = resample(pixels, (mask, unknown), factor, side_px)
    assert scaled.shape == scaled_mask.shape == scaled_unknown.shape == (side_px, side_px)
    light = [float(value.mean()) for value in np.nonzero(scaled > 2.5)]
    target = [float(value.mean()) for value in np.nonzero(scaled_mask)]
    assert light == pytest.approx(target, abs=0.3)
    assert int(scaled_mask.sum()) == pytest.approx(36 * factor**2, rel=0.2)


def test_a_target_that_becomes_too_small_is_unknown() -> None:
    pixels, mask, unknown = (np.zeros((SIDE_PX, SIDE_PX), kind) for kind in (np.float32, np.uint8, np.uint8))
    mask[41, 43] = pixels[41, 43] = 1
    _, scaled_mask, scaled_unknown = resample(pixels, (mask, unknown), 0.67, 64)
    assert scaled_mask.sum() + scaled_unknown.sum() > 0


def test_points_are_planted_where_nothing_is_and_marked_where_they_are() -> None:
    settings = PointSettings(probability=1.0)
    num = 0
    for seed in range(40):
        pixels, taken = picture(), np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        taken[:, SIDE_PX // 2 :] = 1
        before = pixels.copy()
        mask = plant_points(pixels, taken, settings, chance(seed))
        num += int(cv2.connectedComponents(mask, connectivity=8)[0] - 1)
        assert not (mask & taken).any()
        assert ((pixels - before)[mask > 0] > 0).all()
        changed = (pixels - before) > 0.34 * float((pixels - before).max() or 1)
        assert not (changed & (cv2.dilate(mask, np.ones((3, 3), np.uint8)) == 0)).any() or num > 1
    assert num >= 20
    none = plant_points(picture(), np.zeros((SIDE_PX, SIDE_PX), np.uint8), replace(settings, probability=0.0), chance())
    assert not none.any()
