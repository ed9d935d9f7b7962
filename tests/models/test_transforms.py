"""The one preprocessing: linear, exact in order, the same for numpy and torch, blind to the bit depth."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.normalisation import measure
from models.transforms import crop_square, normalise, padded_size


def scene(height: int = 40, width: int = 60, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width)).astype(np.uint8)


def test_normalised_frame_has_about_zero_mean_and_unit_deviation() -> None:
    """Of all its pixels: the few that mean and scale leave out are seen."""
    pixels = scene()
    values = normalise(pixels, measure(pixels, 8))
    assert values.dtype == np.float32
    assert values.mean() == pytest.approx(0, abs=1e-3)
    assert values.std() == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_more_bits_of_one_scene_look_the_same(bits: int) -> None:
    pixels = scene()
    wide = pixels.astype(np.uint16) * np.uint16(2 ** (bits - 8))
    np.testing.assert_allclose(normalise(wide, measure(wide, bits)), normalise(pixels, measure(pixels, 8)), atol=2e-6)


def test_every_count_of_16_bit_stays_distinguishable_in_order() -> None:
    pixels = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    assert (np.diff(normalise(pixels, measure(pixels, 16)).reshape(-1)) > 0).all()


def test_flat_frame_becomes_zero_and_its_rounding_is_not_blown_up() -> None:
    flat = np.full((16, 16), 7, np.uint8)
    assert (normalise(flat, measure(flat, 8)) == 0).all()
    flat[3, 3] = 8
    assert np.abs(normalise(flat, measure(flat, 8))).max() <= 1


def test_float_frames_of_any_unit_look_the_same() -> None:
    kelvin = (280 + 10 * np.random.default_rng(2).random((32, 32))).astype(np.float32)
    fraction = ((kelvin - 200) / 200).astype(np.float32)
    np.testing.assert_allclose(normalise(kelvin, measure(kelvin, 32)), normalise(fraction, measure(fraction, 32)), atol=1e-4)


def test_huge_floats_do_not_overflow() -> None:
    pixels = np.array([[-3e38, 3e38], [3e38, -3e38]], np.float32)
    assert measure(pixels, 32).scale == pytest.approx(3e38, rel=1e-6)


def test_torch_and_numpy_agree_and_leave_their_input_alone() -> None:
    pixels = scene().astype(np.float32)
    found = measure(pixels, 32)
    tensor = torch.from_numpy(pixels.copy())
    np.testing.assert_array_equal(normalise(tensor, found).numpy(), normalise(pixels, found))
    np.testing.assert_array_equal(tensor.numpy(), pixels)


@pytest.mark.parametrize("shape", [(0, 4), (4,), (2, 2, 1)])
def test_measure_refuses_what_is_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected a non-empty"):
        measure(np.zeros(shape, np.uint8), 8)


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([1, 8, 16, 32]))
def test_padded_size_holds_the_frame_and_wastes_less_than_one_multiple(height: int, width: int, multiple: int) -> None:
    for got, side in zip(padded_size(height, width, multiple), (height, width), strict=True):
        assert got % multiple == 0
        assert 0 <= got - side < multiple


def test_crop_at_native_scale_copies_pixels() -> None:
    pixels = scene()
    crop = crop_square(pixels, np.array([20, 10, 36, 26], np.float32), 24)
    np.testing.assert_allclose(crop, pixels[6:30, 16:40], atol=1e-4)


def test_crop_beyond_the_frame_repeats_the_border() -> None:
    pixels = np.tile(np.arange(30, dtype=np.uint8), (30, 1))
    crop = crop_square(pixels, np.array([-4, 10, 4, 18], np.float32), 24)
    np.testing.assert_allclose(crop[:, :12], 0, atol=1e-6)
    np.testing.assert_allclose(crop[0, 12:], np.arange(12), atol=1e-4)


@given(st.floats(-30, 90), st.floats(-30, 90), st.floats(0.5, 120), st.floats(0.5, 120), st.integers(4, 64))
def test_crop_has_its_size_and_stays_in_range(x: float, y: float, width: float, height: float, side: int) -> None:
    pixels = scene()
    crop = crop_square(pixels, np.array([x, y, x + width, y + height], np.float32), side)
    assert crop.shape == (side, side)
    assert crop.dtype == np.float32
    assert pixels.min() - 1e-3 <= crop.min()
    assert crop.max() <= pixels.max() + 1e-3


def test_shrinking_averages_instead_of_skipping_pixels() -> None:
    checkers = (np.indices((96, 96)).sum(0) % 2 * 255).astype(np.uint8)
    crop = crop_square(checkers, np.array([16, 16, 80, 80], np.float32), 16)
    assert np.abs(crop - 127.5).max() < 10


def test_importing_transforms_does_not_load_torch() -> None:
    code = "import sys, models.transforms; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
