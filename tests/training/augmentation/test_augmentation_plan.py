"""Rotation and scale, pasting by rule, and the whole plan from one seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.augmentation.test_augment import one_target
from training.augmentation.geometry import rotate_and_scale
from training.augmentation.paste import Paster, PasteSettings, TargetPatch, blend, cut_targets, paste_target, places_of
from training.augmentation.plan import Augmentation, make_crop
from training.augmentation.radiometry import add_noise, blur
from training.data.samples import Sample
from training.report.augmentation_gallery import KINDS, gallery

Floats = NDArray[np.float32]
Mask = NDArray[np.uint8]


def scene_with_bar() -> tuple[Floats, Mask, Mask]:
    pixels, mask = np.zeros((41, 41), np.float32), np.zeros((41, 41), np.uint8)
    mask[19:22, 28:38] = 1
    pixels[mask > 0] = 5
    return pixels, mask, np.zeros_like(mask)


def test_a_quarter_turn_moves_pixels_and_mask_alike() -> None:
    pixels, mask, unknown = rotate_and_scale(*scene_with_bar(), degrees=90, factor=1.0)
    assert mask[3:13, 19:22].all()
    assert mask.sum() == 30
    assert not unknown.any()
    np.testing.assert_allclose(pixels[mask > 0], 5, atol=1e-4)


def test_scale_grows_the_target_by_its_square() -> None:
    pixels, mask, unknown = scene_with_bar()
    pixels, mask = np.roll(pixels, -12, axis=1), np.roll(mask, -12, axis=1)
    pixels, mask, _ = rotate_and_scale(pixels, mask, unknown, degrees=0, factor=1.5)
    assert mask.sum() == pytest.approx(30 * 1.5**2, rel=0.2)
    assert pixels[mask > 0].min() > 2


def test_what_is_lost_by_scaling_is_unknown_and_not_background() -> None:
    num_lost = 0
    for place in range(5, 36):
        pixels, mask, unknown = np.zeros((41, 41), np.float32), np.zeros((41, 41), np.uint8), np.zeros((41, 41), np.uint8)
        mask[place, 30] = 1
        pixels[place, 30] = 9
        turned, hard, nobody = rotate_and_scale(pixels, mask, unknown, degrees=20, factor=0.8)
        assert not (hard & nobody).any()
        if not hard.any():
            num_lost += 1
            assert (turned[nobody == 0] <= 0.05 * 9 + 1e-3).all()
    assert num_lost > 3


def test_blur_and_noise() -> None:
    pixels = np.zeros((31, 31), np.float32)
    pixels[15, 15] = 1
    wide = blur(pixels, 1.0)
    assert wide.sum() == pytest.approx(1, abs=1e-3)
    assert wide[15, 15] == pytest.approx(1 / (2 * np.pi), rel=0.1)
    noisy = add_noise(np.zeros((200, 200), np.float32), 0.3, np.random.default_rng(0))
    assert noisy.std() == pytest.approx(0.3, rel=0.02)


def patch(level: float, label: str = "target") -> TargetPatch:
    mask = np.zeros((11, 11), np.uint8)
    mask[5, 5] = 1
    return TargetPatch(level * mask.astype(np.float32), mask, label)


def test_the_boundary_fades_and_the_target_itself_is_whole() -> None:
    for sigma in (0.4, 1.0):
        alpha = blend(patch(1.0).mask_HW, sigma)
        assert alpha[5, 5] == 1
        assert 0 < alpha[5, 7] < alpha[5, 6] <= 1
        assert not alpha[0].any()


def test_a_pasted_target_stands_on_the_level_of_its_new_surroundings() -> None:
    pixels, mask = np.full((11, 11), 7, np.float32), np.zeros((11, 11), np.uint8)
    paste_target(pixels, mask, patch(2.0), np.random.default_rng(0), gain=1.5)
    assert pixels[5, 5] == pytest.approx(10)
    assert (mask == patch(2.0).mask_HW).all()
    np.testing.assert_allclose(pixels[mask == 0], 7, atol=1e-5)


def peaks(paster: Paster, *labels: str, num: int = 300, dataset: str = "") -> set[float]:
    rng, found = np.random.default_rng(1), set()
    for _ in range(num):
        pixels, mask = np.zeros((11, 11), np.float32), np.zeros((11, 11), np.uint8)
        paster(pixels, mask, dict.fromkeys(labels, (5, 5)), rng, dataset)
        found.add(round(float(pixels.max()), 2))
    return found


def test_grey_correction_uses_only_contrasts_that_occur_within_a_factor_of_two() -> None:
    settings = PasteSettings(probability=1.0, max_targets=1, grey_correction=True)
    assert peaks(Paster([patch(1.0), patch(1.5), patch(2.5), patch(8.0), patch(-1.2)], settings)) == {0.0, 1.0, 1.5, 2.5, 8.0}
    ship = Paster(
        [patch(4.0, "ship"), *(patch(level, "drone") for level in (1.9, 2.1, 7.9, 8.1))], replace(settings, scene_constraint=True)
    )
    assert peaks(ship, "ship") == {2.1, 4.0, 7.9}
    fixed = replace(settings, same_set=True)
    here, also, there = replace(patch(1.0), dataset="here"), replace(patch(1.8), dataset="here"), replace(patch(1.4), dataset="there")
    assert peaks(Paster([here, also, there], fixed), dataset="here") == {1.0, 1.8}
    assert peaks(Paster([here, also, there], replace(fixed, bare_probability=1.0)), dataset="bare") == {1.0, 1.4, 1.8}


def test_a_ship_is_not_pasted_into_the_sky() -> None:
    settings = PasteSettings(probability=1.0, max_targets=1, gain=(1.0, 1.0), scene_constraint=True)
    paster = Paster([patch(1.0, "ship"), patch(2.0, "drone"), patch(3.0, "drone")], settings)
    assert peaks(paster, "ship") == {1.0}
    assert peaks(paster, "drone", "bird") == {2.0, 3.0}
    assert peaks(paster) == {0.0}, "an image without targets says nothing about what may be in it"
    assert peaks(Paster([patch(1.0, "ship"), patch(2.0, "drone")], replace(settings, scene_constraint=False)), "bird") == {1.0, 2.0}


def test_targets_stay_in_their_set_where_that_is_asked_for() -> None:
    settings = PasteSettings(probability=1.0, bare_probability=1.0, max_targets=1, gain=(1.0, 1.0), same_set=True)
    here, there = replace(patch(1.0), dataset="here"), replace(patch(2.0), dataset="there")
    assert peaks(Paster([here, there], settings), dataset="here") == {1.0}
    assert peaks(Paster([here, there], settings), dataset="without masks") == {1.0, 2.0}, "else there would never be a target"
    assert peaks(Paster([here, there], replace(settings, same_set=False)), dataset="here") == {1.0, 2.0}
    assert [each.dataset for each in cut_targets([one_target()])] == ["made"]
    both = replace(settings, scene_constraint=True)
    ship = replace(patch(3.0, "ship"), dataset="here")
    assert peaks(Paster([here, there, ship], both), "ship", dataset="here") == {3.0}
    assert peaks(Paster([here, there, ship], both), "person", dataset="without masks") == {1.0, 2.0, 3.0}, "no target has its labels"


@pytest.mark.parametrize(("dataset", "same_set", "share"), [("bare", True, 0.8), ("made", True, 0.1), ("bare", False, 0.1)])
def test_a_set_without_targets_gets_them_more_often(dataset: str, same_set: bool, share: float) -> None:
    paster = Paster([replace(patch(1.0), dataset="made")], PasteSettings(probability=0.1, bare_probability=0.8, same_set=same_set))
    rng, num = np.random.default_rng(3), 1000
    masks = np.zeros((num, 11, 11), np.uint8)
    for mask in masks:
        paster(np.zeros((11, 11), np.float32), mask, {}, rng, dataset)
    assert masks.any((1, 2)).mean() == pytest.approx(share, abs=0.04)


def test_a_crop_gets_targets_of_its_own_set() -> None:
    sample = replace(one_target((90, 90)), boxes_xyxy_px=np.zeros((0, 4), np.float32), labels=())
    sample.__dict__["mask_HW"] = np.zeros_like(sample.pixels_HW)
    plan = Augmentation(crop_px=64, paste=PasteSettings(probability=1.0, same_set=True))
    of_another_set = replace(patch(9.0), dataset="other", mask_HW=np.ones_like(patch(9.0).mask_HW))
    paster = Paster([replace(patch(40.0), dataset="made"), of_another_set], plan.paste)
    for seed in range(10):
        assert 1 <= make_crop(sample, plan, paster, np.random.default_rng(seed))[1].sum() <= plan.paste.max_targets, "single pixels"


def test_a_pasted_target_keeps_to_the_height_of_its_kind() -> None:
    settings = PasteSettings(probability=1.0, max_targets=1, scene_constraint=True)
    paster, rng, rows = Paster([patch(1.0, "ship")], settings), np.random.default_rng(4), set()
    for _ in range(400):
        mask = np.zeros((200, 60), np.uint8)
        paster(np.zeros((200, 60), np.float32), mask, {"ship": (120.5, 130.5)}, rng)
        rows |= set(np.nonzero(mask)[0].tolist())
    assert rows == set(range(114, 137))
    mask = np.zeros((200, 60), np.uint8)
    paster(np.zeros((200, 60), np.float32), mask, {"ship": (300, 310)}, rng)
    assert not mask.any(), "the crop does not reach to where ships are"


def test_places_are_those_of_the_labels_in_the_crop() -> None:
    sample = replace(one_target((90, 90)), labels=("bird",))
    (y_min, y_max) = sample.boxes_xyxy_px[0, [1, 3]]
    assert places_of(sample, 10) == {"bird": ((y_min + y_max) / 2 - 10,) * 2}


def test_probability_and_number_of_pasted_targets() -> None:
    assert peaks(Paster([patch(1.0)], PasteSettings(probability=0.0))) == {0.0}
    assert peaks(Paster([], PasteSettings(probability=1.0))) == {0.0}
    rng, counts = np.random.default_rng(2), set()
    for _ in range(200):
        mask = np.zeros((200, 200), np.uint8)
        Paster([patch(1.0)], PasteSettings(probability=1.0, max_targets=3))(np.zeros((200, 200), np.float32), mask, {}, rng)
        counts.add(int(mask.sum()))
    assert counts == {1, 2, 3}


def test_what_is_pasted_is_blurred_and_noisy_as_all_around_it() -> None:
    sample = replace(one_target((90, 90)), boxes_xyxy_px=np.zeros((0, 4), np.float32), labels=())
    sample.__dict__["mask_HW"] = np.zeros_like(sample.pixels_HW)
    paster = Paster([patch(40.0)], PasteSettings(probability=1.0, max_targets=1))

    def peak(**changes: object) -> tuple[float, float]:
        plan = replace(Augmentation(crop_px=64, symmetries=False, jitter=False), **changes)  # type: ignore[arg-type]
        pixels, mask, _ = make_crop(sample, plan, paster, np.random.default_rng(1))
        assert mask.sum() == 1
        return float(pixels[mask > 0][0]), float(pixels.std())

    sharp, blurred = peak(), peak(blur_probability=1.0, blur_sigma_px=(1.5, 1.5))
    assert blurred[0] < 0.2 * sharp[0], "a point keeps 1 / (2 pi 1.5^2) of its light in the middle"
    assert peak(noise_probability=1.0, noise_sigma=(3.0, 3.0))[1] > sharp[1] + 0.5


def bright_bars() -> Sample:
    """Bars in three places of a dark frame, as bright as nothing else: where the mask is can be told from the pixels."""
    mask = np.zeros((90, 110), np.uint8)
    for top, left in ((4, 90), (40, 30), (70, 75)):
        mask[top : top + 5, left : left + 12] = 1
    mask[40:52, 30:33] = 1  # an L: no symmetry maps it to itself
    pixels = np.where(mask > 0, 200, 100).astype(np.uint8)
    boxes = np.array([[90, 4, 102, 9], [30, 40, 42, 52], [75, 70, 87, 75]], np.float32)
    sample = replace(one_target(), read_pixels=lambda: pixels, boxes_xyxy_px=boxes, labels=("target",) * 3)
    sample.__dict__["mask_HW"] = mask
    return sample


@pytest.mark.parametrize("symmetries", [False, True])
@pytest.mark.parametrize("warp", [{}, {"rotation_deg": 45.0, "scale": (0.7, 1.5), "warp_probability": 1.0}], ids=["as it lies", "warped"])
def test_pixels_and_mask_of_a_crop_stay_together(symmetries: bool, warp: dict[str, Any]) -> None:
    sample = bright_bars()
    sample.unknown_HW[:20, :20] = 1
    dark, bright = (float(sample.normalised()[sample.mask_HW == value].mean()) for value in (0, 1))
    plan = Augmentation(crop_px=64, symmetries=symmetries, jitter=False, **warp)
    num_targets = 0
    for seed in range(60):
        pixels, mask, unknown = make_crop(sample, plan, Paster([], plan.paste), np.random.default_rng(seed))
        if warp:  # half-way between dark and bright, up to where what comes in from outside is brighter than dark
            far = np.abs(pixels - (dark + bright) / 2) > 0.2 * (bright - dark)
            np.testing.assert_array_equal(mask[far], (pixels > (dark + bright) / 2)[far])
        else:
            np.testing.assert_array_equal(mask, pixels > (dark + bright) / 2)
        assert not (mask & unknown).any()
        num_targets += bool(mask.any())
    assert num_targets > 30


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("warp", [{}, {"rotation_deg": 45.0, "scale": (0.7, 1.5), "warp_probability": 1.0}], ids=["as it lies", "warped"])
def test_as_many_crops_hold_a_target_as_asked_for(share: float, warp: dict[str, Any]) -> None:
    sample = one_target((400, 400))
    plan = Augmentation(crop_px=48, target_probability=share, paste=PasteSettings(probability=0.0), **warp)
    paster, rng = Paster([], plan.paste), np.random.default_rng(6)
    held = np.mean([make_crop(sample, plan, paster, rng)[1].any() for _ in range(200)])
    assert held == pytest.approx(share, abs=0.1), "a crop anywhere hardly ever meets it"
    assert share < 1 or held == 1


def test_a_target_pasted_over_an_unknown_place_is_known() -> None:
    sample = replace(one_target((90, 90)), boxes_xyxy_px=np.zeros((0, 4), np.float32), labels=())
    sample.__dict__.update(mask_HW=np.zeros((90, 90), np.uint8), unknown_HW=np.ones((90, 90), np.uint8))
    plan = Augmentation(crop_px=64, paste=PasteSettings(probability=1.0))
    for seed in range(5):
        _, mask, unknown = make_crop(sample, plan, Paster([patch(9.0)], plan.paste), np.random.default_rng(seed))
        assert mask.any()
        np.testing.assert_array_equal(unknown, 1 - mask)


def test_counts_are_jittered_where_that_is_asked_for() -> None:
    plan = Augmentation(crop_px=64, symmetries=False, paste=PasteSettings(probability=0.0))
    paster = Paster([], plan.paste)
    plain, jittered = (
        make_crop(one_target((90, 90)), each, paster, np.random.default_rng(2))[0] for each in (replace(plan, jitter=False), plan)
    )
    assert not np.allclose(plain, jittered, atol=1e-3)
    assert np.corrcoef(plain.ravel(), jittered.ravel())[0, 1] > 0.95


def test_a_point_that_a_turn_would_move_out_stays_inside() -> None:
    for x, y in ((1, 1), (62, 3), (30, 62)):
        pixels, mask = np.zeros((64, 64), np.float32), np.zeros((64, 64), np.uint8)
        mask[y - 1 : y + 2, x - 1 : x + 2] = 1
        _, turned, _ = rotate_and_scale(pixels, mask, np.zeros_like(mask), 40, 1.4, (x, y))
        assert turned.sum() >= 4
        assert not rotate_and_scale(pixels, mask, np.zeros_like(mask), 40, 1.4)[1].any()


def test_the_gallery_shows_every_kind_of_augmentation() -> None:
    at_the_edge = replace(one_target((200, 200)), boxes_xyxy_px=np.array([[2, 30, 6, 33]], np.float32))
    picture = gallery([one_target((200, 200)), at_the_edge, one_target((190, 220))])
    height_px, width_px, _ = picture.shape
    assert height_px == len(KINDS) * (width_px // 2 + 20), "a heading and two frames a row: one has a target at the edge"
    first, *others = (row[20:] for row in np.split(picture, len(KINDS)))
    assert all((row != first).any() for row in others), "each row shows something"


def test_the_same_seed_gives_the_same_crop_and_another_one_another() -> None:
    sample = one_target((90, 90))
    sample.__dict__["mask_HW"] = (sample.pixels_HW == 200).astype(np.uint8)
    plan = Augmentation(crop_px=64, rotation_deg=15, scale=(0.8, 1.25), warp_probability=0.5, blur_probability=0.5, noise_probability=0.5)
    paster = Paster(cut_targets([sample]), plan.paste)

    def crops(seed: int) -> list[Floats]:
        rng = np.random.default_rng(seed)
        return [np.stack([part.astype(np.float32) for part in make_crop(sample, plan, paster, rng)]) for _ in range(12)]

    np.testing.assert_array_equal(crops(1), crops(1))
    assert not np.array_equal(crops(1), crops(2))
    for pixels, mask, unknown in crops(3):
        assert pixels.shape == mask.shape == unknown.shape == (64, 64)
        assert set(np.unique(mask)) <= {0, 1}
        assert not (mask * unknown).any()


@pytest.mark.slow
@pytest.mark.parametrize("target_probability", [0.0, 1.0])
def test_crops_start_on_the_grid_of_the_plan(target_probability: float) -> None:
    sample, rng = one_target((60, 76)), np.random.default_rng(5)
    plan = Augmentation(
        crop_px=24, grid_px=8, target_probability=target_probability, symmetries=False, jitter=False, paste=PasteSettings(probability=0)
    )
    whole = sample.normalised()
    found = set()
    for _ in range(40):
        pixels, _, _ = make_crop(sample, plan, Paster([], plan.paste), rng)
        ((top, left),) = [
            (top, left) for top in range(37) for left in range(53) if np.array_equal(whole[top : top + 24, left : left + 24], pixels)
        ]
        found.add((top, left))
    assert all(top % 8 == left % 8 == 0 for top, left in found), found
    assert len(found) > 2, "anywhere on the grid"
