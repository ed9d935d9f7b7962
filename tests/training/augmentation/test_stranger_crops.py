"""Crops with the flaws of other cameras: mask and light move together, and a set's offset stays where it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.errors import SettingsError
from tests.training.augmentation.test_augment import one_target
from training.augmentation.camera import Flaws, rescale
from training.augmentation.paste import Paster, PasteSettings, cut_targets
from training.augmentation.plan import Augmentation, make_crop
from training.augmentation.points import PointSettings
from training.data.samples import Role, Sample, read_samples

SIDE_PX = 48
NOTHING = PasteSettings(probability=0.0)
PLAN = Augmentation(
    crop_px=SIDE_PX,
    target_probability=1.0,
    jitter=False,
    paste=NOTHING,
    points=PointSettings(),
    flaws=Flaws(),
    keep_offsets=True,
    shift_px=6,
)
SETS = ("nudt-sirst", "irstd-1k", "sirst-v2", "hit-uav", "drone-ir")
PLAIN_PLAN = Augmentation(crop_px=32, target_probability=1.0, jitter=False, paste=NOTHING)


@pytest.fixture(scope="module")
def samples(made_root: Path) -> list[Sample]:
    return read_samples(SETS, Role.TRAIN, made_root)


def test_crops_are_finite_of_one_size_and_tell_what_is_known(samples: list[Sample]) -> None:
    plan = replace(PLAN, paste=PasteSettings(same_set=True), flaws=Flaws(probability=0.8))
    paster = Paster(cut_targets([each for each in samples if each.mask_path]), plan.paste)
    for number in range(120):
        pixels, mask, unknown = make_crop(samples[number % len(samples)], plan, paster, np.random.default_rng(number))
        assert pixels.shape == mask.shape == unknown.shape == (SIDE_PX, SIDE_PX)
        assert [str(each.dtype) for each in (pixels, mask, unknown)] == ["float32", "uint8", "uint8"]
        assert np.isfinite(pixels).all()
        assert mask.max() <= 1
        assert unknown.max() <= 1
        assert not (mask & unknown).any()


def test_targets_are_brighter_than_what_is_around_them(samples: list[Sample]) -> None:
    """Black is never hot here."""
    plan = replace(PLAN, flaws=Flaws(probability=1.0, inverted=0, telemetry=0, bad_pixels=0))
    found = 0
    for number in range(150):
        pixels, mask, unknown = make_crop(samples[number % len(samples)], plan, Paster([], NOTHING), np.random.default_rng(number))
        num, labels_HW = cv2.connectedComponents(mask, connectivity=8)
        for index in range(1, num):
            inside = labels_HW == index
            wider = cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            around = wider & (mask == 0) & (unknown == 0)
            if inside.sum() >= 4 and around.sum() >= 12:
                found += 1
                assert pixels[inside].mean() > pixels[around].mean()
    assert found > 60


def light_beside_mask(pixels: NDArray[np.float32], mask: NDArray[np.uint8]) -> tuple[float, ...]:
    light = [float(each.mean()) for each in np.nonzero(pixels > pixels.max() / 2)]
    return tuple(one - float(each.mean()) for one, each in zip(light, np.nonzero(mask), strict=True))


def offset_target(dataset: str) -> Sample:
    """A mask of 5 x 5 px whose light lies half a pixel right of and below it: 6 x 6 px from its corner on."""
    pixels, mask = np.full((90, 90), 50, np.uint8), np.zeros((90, 90), np.uint8)
    mask[40:45, 40:45], pixels[40:46, 40:46] = 1, 250
    boxes_xyxy_px = np.array([[40, 40, 45, 45]], np.float32)
    moved = replace(one_target((90, 90)), dataset=dataset, boxes_xyxy_px=boxes_xyxy_px, labels=("target",), read_pixels=lambda: pixels)
    moved.__dict__.update(mask_HW=mask, unknown_HW=np.zeros_like(mask))
    return moved


def beside(dataset: str, keep: bool) -> set[tuple[float, ...]]:
    sample, plan = offset_target(dataset), replace(PLAIN_PLAN, keep_offsets=keep)
    crops = [make_crop(sample, plan, Paster([], NOTHING), np.random.default_rng(seed)) for seed in range(60)]
    return {light_beside_mask(pixels, mask) for pixels, mask, _ in crops if mask.sum() == 25 and (pixels > 3).sum() == 36}


def test_the_offset_of_a_set_stays_through_flips_and_no_other_does() -> None:
    turned = {(0.5, 0.5), (0.5, -0.5), (-0.5, 0.5), (-0.5, -0.5)}
    assert beside("nudt-sirst", keep=True) == {(0.5, 0.5)}
    assert beside("nudt-sirst", keep=False) == turned
    assert beside("irstd-1k", keep=True) == turned


def test_a_pasted_target_keeps_the_offset_of_the_set_it_is_from() -> None:
    paste = PasteSettings(probability=1.0, max_targets=1, gain=(1.0, 1.0))
    (patch,) = cut_targets([offset_target("nudt-sirst")])
    flat = np.full((90, 90), 50, np.uint8)
    empty = replace(offset_target("hit-uav"), boxes_xyxy_px=np.zeros((0, 4), np.float32), labels=(), read_pixels=lambda: flat)
    empty.__dict__.update(mask_HW=np.zeros_like(flat), unknown_HW=np.zeros_like(flat))
    plan, seen = replace(PLAIN_PLAN, keep_offsets=True, paste=paste), set()
    for seed in range(40):
        pixels, mask, _ = make_crop(empty, plan, Paster([patch], paste), np.random.default_rng(seed))
        assert mask.max() == 1
        if mask.sum() == 25:
            light = np.where(pixels > 0.05 * pixels.max(), pixels, 0)
            weighed = [float((axis * light).sum() / light.sum()) for axis in np.indices(mask.shape)]
            middle = [float(each.mean()) for each in np.nonzero(mask)]
            seen.add((weighed[0] > middle[0] + 0.1, weighed[1] > middle[1] + 0.1))
    assert seen == {(True, True)}


def test_turned_crops_would_lose_the_offset() -> None:
    with pytest.raises(SettingsError, match=r"keep_offsets without turned crops, got warp_probability 0\.3"):
        Augmentation(keep_offsets=True, warp_probability=0.3)


def test_an_image_that_fills_the_crop_is_moved() -> None:
    sample = offset_target("irstd-1k")
    plan = Augmentation(crop_px=90, symmetries=False, jitter=False, paste=NOTHING, shift_px=8)
    tops = {int(np.nonzero(make_crop(sample, plan, Paster([], NOTHING), np.random.default_rng(seed))[1])[0].min()) for seed in range(60)}
    assert min(tops) < 36
    assert max(tops) > 44
    assert max(abs(top - 40) for top in tops) <= 8


def test_half_of_the_spoilt_pictures_are_frames_of_their_own() -> None:
    pixels = 3 + 2 * np.random.default_rng(0).standard_normal((40, 40)).astype(np.float32)
    made = [rescale(pixels, Flaws(), np.random.default_rng(seed)) for seed in range(200)]
    own = [abs(float(each.mean())) < 1e-2 and float(each.std()) == pytest.approx(1, abs=3e-2) for each in made]
    assert np.mean(own) == pytest.approx(0.5, abs=0.12)
    assert np.abs(rescale(np.zeros((9, 9), np.float32), Flaws(own_scale=1.0), np.random.default_rng(0))).max() == 0
