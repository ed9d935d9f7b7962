"""Augmentation moves pixels, masks and boxes alike."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import actors
import evaluation
import training
from models.transforms import crop_square, normalise
from training.augmentation.crops import crop_origin, cut_crop, cut_pixels
from training.augmentation.geometry import apply_symmetry, apply_symmetry_to_boxes, symmetry
from training.augmentation.paste import cut_targets, paste_target
from training.augmentation.radiometry import jitter_counts
from training.data.samples import Role, Sample
from training.tasks.classification import jitter_box
from training.tasks.detection import clip_boxes


def one_target(size: tuple[int, int] = (60, 60)) -> Sample:
    pixels = np.random.default_rng(0).integers(95, 106, size).astype(np.uint8)
    pixels[30:33, 20:24] = 200
    sample = Sample(
        dataset="made",
        image_id="0",
        role=Role.TRAIN,
        read_pixels=lambda: pixels,
        mask_path=None,
        boxes_xyxy_px=np.array([[20, 30, 24, 33]], np.float32),
        labels=("target",),
    )
    sample.__dict__["mask_HW"] = (pixels == 200).astype(np.uint8)
    return sample


@pytest.mark.parametrize("chosen", [(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)])
def test_boxes_turn_with_their_pixels(chosen: tuple[bool, bool, bool]) -> None:
    mask = np.zeros((16, 16), np.uint8)
    mask[2:5, 7:13] = 1
    turned = apply_symmetry(mask, chosen)
    ((x_min, y_min, x_max, y_max),) = apply_symmetry_to_boxes(np.array([[7, 2, 13, 5]], np.float32), 16, chosen).astype(int)
    assert turned.sum() == 18
    assert turned[y_min:y_max, x_min:x_max].all()


@given(st.integers(1, 100), st.integers(1, 100), st.integers(8, 64), st.integers(0, 2**32), st.booleans())
def test_a_crop_lies_in_the_image_or_holds_it_and_keeps_the_point(height: int, width: int, crop_px: int, seed: int, focused: bool) -> None:
    rng = np.random.default_rng(seed)
    point = (rng.uniform(0, width - 0.01), rng.uniform(0, height - 0.01)) if focused else None
    top, left = crop_origin((height, width), crop_px, point, rng)
    for origin, side in ((top, height), (left, width)):
        assert min(0, side - crop_px) <= origin <= max(0, side - crop_px)
    if point is not None:
        assert left <= point[0] < left + crop_px
        assert top <= point[1] < top + crop_px


@given(st.integers(1, 200), st.integers(16, 64), st.integers(0, 2**32), st.booleans())
def test_a_crop_starts_on_the_grid_wherever_it_can(side_px: int, crop_px: int, seed: int, focused: bool) -> None:
    rng = np.random.default_rng(seed)
    point = (rng.uniform(0, side_px - 0.01),) * 2 if focused else None
    top, left = crop_origin((side_px, side_px), crop_px, point, rng, grid_px=8)
    for origin in (top, left):
        assert min(0, side_px - crop_px) <= origin <= max(0, side_px - crop_px)
        if point is not None:
            assert origin <= point[0] < origin + crop_px
        low = max(min(0, side_px - crop_px), -1000 if point is None else int(point[0]) - crop_px + 1)
        high = min(max(0, side_px - crop_px), 1000 if point is None else int(point[0]))
        possible = [place for place in range(low, high + 1) if place % 8 == 0]
        assert origin in possible or not possible


def test_outside_the_image_a_crop_is_zero() -> None:
    crop = cut_crop(np.ones((4, 6), np.uint8), -1, -2, 10)
    assert crop.sum() == 24
    assert crop[1:5, 2:8].all()


def test_a_pasted_target_brightens_its_pixels_and_marks_its_mask() -> None:
    (patch,) = cut_targets([one_target()])
    pixels, mask = np.zeros((40, 40), np.float32), np.zeros((40, 40), np.uint8)
    paste_target(pixels, mask, patch, np.random.default_rng(1))
    assert mask.sum() == 12
    assert pixels[mask > 0].min() > 1
    assert np.abs(pixels[mask == 0]).max() < pixels[mask > 0].min()


def test_a_target_whose_neighbour_reaches_into_its_margin_is_not_cut_out() -> None:
    sample = one_target()
    sample.mask_HW[30:33, 27:29] = 1  # the margin ends at column 28
    assert not cut_targets([sample])
    sample.mask_HW[30:33, 27] = 0
    (patch,) = cut_targets([sample])
    assert patch.mask_HW.sum() == 12


def test_nothing_is_pasted_over_a_target_or_into_too_small_an_image() -> None:
    (patch,) = cut_targets([one_target()])
    for pixels, mask in (
        (np.zeros((40, 40), np.float32), np.ones((40, 40), np.uint8)),
        (np.zeros((5, 5), np.float32), np.zeros((5, 5), np.uint8)),
    ):
        before = mask.copy()
        paste_target(pixels, mask, patch, np.random.default_rng(2))
        assert not pixels.any()
        np.testing.assert_array_equal(mask, before)


def test_jitter_keeps_the_order_of_counts_where_there_is_no_noise() -> None:
    values = np.linspace(-3, 3, 50, dtype=np.float32)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        jittered = jitter_counts(values, rng)
        assert np.corrcoef(values, jittered)[0, 1] > 0.98


def test_all_eight_symmetries_occur() -> None:
    rng = np.random.default_rng(0)
    assert len({symmetry(rng) for _ in range(200)}) == 8


def test_jittered_box_still_overlaps_its_target() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        x_min, y_min, x_max, y_max = jitter_box(np.array([10, 10, 30, 26], np.float32), 0.12, 0.25, rng)
        assert x_min < 20 < x_max
        assert y_min < 18 < y_max


def test_boxes_mostly_outside_a_crop_are_ignored_and_hidden_ones_vanish() -> None:
    boxes = np.array([[-7, 0, 3, 10], [-2, 0, 8, 10], [-20, 0, -10, 10], [3, 3, 6, 6]], np.float32)
    found, ignored = clip_boxes(boxes, np.array([False, False, False, True]), 50)
    assert found.tolist() == [[0, 0, 8, 10]]
    assert ignored.tolist() == [[0, 0, 3, 10], [3, 3, 6, 6]]


def test_cutting_real_targets_gives_clean_patches(shared_data: Path) -> None:
    from training.data.samples import read_samples

    patches = cut_targets(read_samples(["sirst-v2"], Role.SELECT, shared_data)[:20])
    assert patches
    assert all(np.isfinite(patch.residual_HW).all() and patch.mask_HW.any() for patch in patches)


@pytest.mark.parametrize(("top", "left"), [(10, 10), (-7, 20), (25, -3), (40, 40)])
def test_a_crop_of_normalised_pixels_is_the_normalised_frame_cut(top: int, left: int) -> None:
    sample = one_target()
    whole = normalise(sample.pixels_HW, sample.normalisation)
    np.testing.assert_array_equal(cut_pixels(sample, top, left, 32), cut_crop(whole, top, left, 32))


def test_a_crop_for_the_classifier_is_cut_from_the_normalised_frame() -> None:
    sample = one_target()
    box = np.array([-4, 27, 24, 33], np.float32)
    whole = normalise(sample.pixels_HW, sample.normalisation)
    np.testing.assert_allclose(sample.crop_of(box, 48), crop_square(whole, box, 48), atol=1e-5)


def test_training_has_no_preprocessing_of_its_own() -> None:
    """A second `(x - mean) / scale` would go on as it is when `models.transforms.normalise` changes."""
    sources = [Path(module.__file__ or "") for module in (training, evaluation, actors)]
    texts = {path: path.read_text(encoding="utf-8") for source in sources for path in source.parent.rglob("*.py")}
    assert len(texts) > 20
    assert [str(path) for path, text in texts.items() if re.search(r"ormalisation\.(mean|scale)\b", text)] == []
