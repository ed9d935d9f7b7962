"""Mean and scale of the scene, whatever the few pixels that do not show it hold."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.normalisation import Filled, fill, measure
from models.transforms import normalise

Array = NDArray[Any]


def scene(height: int = 256, width: int = 320, *, level: float = 8000, deviation: float = 85, seed: int = 0) -> Array:
    """A 14-bit scene of about 510 counts: soft clouds and a little noise."""
    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), 4)
    counts: Array = np.rint(level + deviation * (soft / soft.std() + 0.1 * rng.standard_normal((height, width)))).astype(np.uint16)
    return counts


def with_points(counts_HW: Array, num: int, value: float, seed: int = 1) -> Array:
    """Some pixels, not on the border, replaced by a value."""
    out = counts_HW.copy()
    inner = np.arange(out.size).reshape(out.shape)[8:-8].reshape(-1)
    out.reshape(-1)[np.random.default_rng(seed).choice(inner, num, replace=False)] = value
    return out


def assert_alike(found: Filled, wanted: Filled, tolerance: float = 0.02) -> None:
    """Mean and scale differ by less than a share of the scale."""
    one, other = found.normalisation, wanted.normalisation
    assert abs(one.mean - other.mean) < tolerance * other.scale
    assert abs(one.scale - other.scale) < tolerance * other.scale


@pytest.mark.parametrize("kind", [np.uint16, np.float32], ids=["counts", "floats"])
@pytest.mark.parametrize("num", [1, 3, 10])
@pytest.mark.parametrize("shape", [(512, 640), (256, 256), (120, 160)], ids=str)
def test_hot_pixels_move_nothing_and_get_the_level_around(shape: tuple[int, int], num: int, kind: Any) -> None:
    clean = scene(*shape).astype(kind)
    hot = with_points(clean, num, 16383)
    bits = 32 if kind is np.float32 else 14
    found = fill(hot, bits)
    assert_alike(found, fill(clean, bits))
    assert found.void_HW is not None
    np.testing.assert_array_equal(found.void_HW, hot == 16383)
    away = np.abs(found.pixels_HW.astype(float) - clean)
    assert away.max() < 60, "about the noise of one pixel"
    np.testing.assert_array_equal(away[~found.void_HW], 0)
    assert (hot == 16383).sum() == num, "what was given stays as it is"


@pytest.mark.parametrize("value", [0, 16383], ids=["dead", "hot"])
def test_two_bad_pixels_side_by_side_are_filled_and_at_the_border_too(value: int) -> None:
    clean = scene()
    bad = clean.copy()
    places = [(100, 100), (101, 101), (50, 60), (50, 61), (0, 0), (0, 200), (255, 319)]
    for place in places:
        bad[place] = value
    found = fill(bad, 14)
    assert found.void_HW is not None
    assert {(int(row), int(column)) for row, column in np.argwhere(found.void_HW)} == set(places)
    assert np.abs(found.pixels_HW.astype(float) - clean).max() < 60


@pytest.mark.parametrize("sigma_px", [0.5, 0.7, 1.5])
@pytest.mark.parametrize("peak", [5000, 8000])
def test_a_target_as_optics_draw_it_is_no_hot_pixel(sigma_px: float, peak: float) -> None:
    rows_HW, columns_HW = np.mgrid[:256, :320]
    for shift in (0.0, 0.5):
        squares_HW = (rows_HW - 120 - shift) ** 2 + (columns_HW - 77 - shift) ** 2
        counts_HW = np.rint(scene() + peak * np.exp(-squares_HW / (2 * sigma_px**2))).astype(np.uint16)
        found = fill(counts_HW, 14)
        assert found.void_HW is None
        assert found.pixels_HW is counts_HW
        assert normalise(counts_HW, found.normalisation).max() > 16, "far enough to be looked at"


@pytest.mark.parametrize("kind", [np.uint8, np.float32], ids=["counts", "floats"])
def test_a_point_in_a_flat_frame_stays(kind: Any) -> None:
    counts_HW = np.full((64, 96), 7, kind)
    counts_HW[0, 0] = counts_HW[30, 40] = 200
    found = fill(counts_HW, 32 if kind is np.float32 else 8)
    assert found.void_HW is None
    assert found.pixels_HW is counts_HW


def test_three_bad_pixels_together_stay() -> None:
    counts_HW = with_points(scene(), 0, 0)
    counts_HW[40, 40:43] = 16383
    assert fill(counts_HW, 14).void_HW is None


@pytest.mark.parametrize(
    "frame_HW",
    [
        pytest.param(scene(), id="14 bit"),
        pytest.param((scene() // 64).astype(np.uint8), id="few counts"),
        pytest.param(np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8), id="8 bit"),
        pytest.param(np.maximum(scene(200, 200), 7950), id="flat at its low end"),
    ],
)
def test_it_is_the_middle_of_the_sorted_pixels_for_counts_and_floats_alike(frame_HW: Array) -> None:
    in_order = np.sort(frame_HW.astype(np.float64), axis=None)
    trimmed = min(max(0.0005 * len(in_order), 16), 0.002 * len(in_order))
    edges = np.arange(len(in_order) + 1)
    weights: Array = np.diff(np.clip(edges, trimmed, len(in_order) - trimmed))
    mean = np.average(in_order, weights=weights)
    deviation = np.sqrt(np.average((in_order - mean) ** 2, weights=weights))
    for kind, bits in ((frame_HW.dtype, 16), (np.float32, 32)):
        found = measure(frame_HW.astype(kind), bits)
        assert found.mean == pytest.approx(mean, rel=1e-6)
        assert found.scale == pytest.approx(max(deviation, 1.0 if bits == 16 else 0), rel=1e-6)


@given(
    share=st.floats(0, 0.0004),
    values=st.lists(st.integers(0, 65535), min_size=1, max_size=5),
    seed=st.integers(0, 99),
    kind=st.sampled_from([np.uint16, np.float32]),
)
def test_no_few_pixels_move_the_scale(share: float, values: list[int], seed: int, kind: Any) -> None:
    clean = scene(192, 240, seed=seed % 3).astype(kind)
    bad = clean.copy()
    rng = np.random.default_rng(seed)
    places = rng.choice(clean.size, int(share * clean.size), replace=False)
    bad.reshape(-1)[places] = rng.choice(values, len(places))
    bits = 32 if kind is np.float32 else 16
    assert_alike(fill(bad, bits), fill(clean, bits))


SENTINELS = [
    pytest.param(np.float32, -9999, id="-9999"),
    pytest.param(np.float32, -3.4028235e38, id="least float32"),
    pytest.param(np.float32, 3.4028235e38, id="largest float32"),
    pytest.param(np.float32, 0, id="0 of floats"),
    pytest.param(np.uint16, 0, id="0"),
    pytest.param(np.uint16, 65535, id="65535"),
    pytest.param(np.uint16, 16383, id="16383"),
]


@pytest.mark.parametrize(("kind", "value"), SENTINELS)
@pytest.mark.parametrize("where", ["scattered", "rows", "corner", "column", "wedge", "most"])
def test_a_sentinel_does_not_count_and_is_filled(kind: Any, value: float, where: str) -> None:
    clean = scene().astype(kind)
    void_HW = {
        "scattered": np.random.default_rng(0).random(clean.shape) < 0.002,
        "rows": np.arange(256)[:, None] + np.zeros(320) < 4,
        "corner": (np.arange(256)[:, None] < 4) & (np.arange(320) < 60),
        "column": np.zeros((256, 1)) + np.arange(320) == 77,
        "wedge": np.arange(256)[:, None] + np.arange(320) < 150,
        "most": np.arange(256)[:, None] + np.zeros(320) < 140,
    }[where]
    spoilt: Array = np.where(void_HW, kind(value), clean)
    before = spoilt.copy()
    found = fill(spoilt, 32 if kind is np.float32 else 16)
    assert found.void_HW is not None
    np.testing.assert_array_equal(found.void_HW, void_HW)
    np.testing.assert_array_equal(spoilt, before)
    np.testing.assert_array_equal(found.pixels_HW[~void_HW], clean[~void_HW])
    seen = normalise(found.pixels_HW, found.normalisation)
    assert np.abs(seen[void_HW]).max() < 0.01
    assert found.normalisation.scale == pytest.approx(clean[~void_HW].std(dtype=np.float64), rel=0.03)
    assert found.normalisation.mean == pytest.approx(clean[~void_HW].mean(dtype=np.float64), abs=3)


def test_several_sentinels_on_both_sides_and_not_finite_ones() -> None:
    clean = scene().astype(np.float32)
    spoilt = clean.copy()
    for row, value in enumerate([-3.4e38, -9999, 0, 65535, 3.4e38, np.nan, np.inf, -np.inf]):
        spoilt[40 + 10 * row, :] = value
    found = fill(spoilt, 32)
    assert found.void_HW is not None
    assert np.flatnonzero(found.void_HW.all(1)).tolist() == [40 + 10 * row for row in range(8)]
    assert found.void_HW.sum() == 8 * 320
    assert np.isfinite(found.pixels_HW).all()
    assert_alike(found, fill(clean, 32), 0.05)


def test_named_values_do_not_count_wherever_they_lie() -> None:
    clean = scene()
    for kind, bits in ((np.uint16, 16), (np.float32, 32)):
        spoilt: Array = clean.astype(kind)
        spoilt[100:140, 100:200] = 8100  # in the middle of the scene's counts
        found = fill(spoilt, bits, (8100.0, float("nan"), -1.5, 1e9))
        assert found.void_HW is not None
        np.testing.assert_array_equal(found.void_HW, spoilt == 8100)
        assert found.normalisation.mean == pytest.approx(spoilt[spoilt != 8100].mean(dtype=np.float64), abs=1)


@pytest.mark.parametrize("end", ["top", "bottom"])
@pytest.mark.parametrize("num", [1, 2, 4])
@pytest.mark.parametrize("kind", [np.uint16, np.float32], ids=["counts", "floats"])
def test_telemetry_rows_do_not_count_and_are_filled(end: str, num: int, kind: Any) -> None:
    clean = scene().astype(kind)
    rows = slice(0, num) if end == "top" else slice(256 - num, None)
    spoilt = clean.copy()
    rng = np.random.default_rng(num)
    spoilt[rows] = np.where(rng.random((num, 320)) < 0.6, 0, rng.integers(0, 65536, (num, 320)))
    found = fill(spoilt, 32 if kind is np.float32 else 16)
    assert found.void_HW is not None
    assert found.void_HW[rows].all()
    assert found.void_HW.sum() == num * 320
    assert_alike(found, fill(clean, 32 if kind is np.float32 else 16))


@pytest.mark.parametrize("kind", [np.uint16, np.float32], ids=["counts", "floats"])
def test_a_border_that_is_named_is_no_telemetry(kind: Any) -> None:
    """Else the pixels beside it, which count, would be filled with it."""
    spoilt = scene().astype(kind)
    void_HW = np.zeros(spoilt.shape, bool)
    void_HW[:4, :60] = void_HW[200, :30] = True
    values = (0.0, 65535.0)
    spoilt[void_HW] = np.resize(np.array(values, kind), void_HW.sum())
    found = fill(spoilt, 32 if kind is np.float32 else 16, values)
    np.testing.assert_array_equal(found.void_HW, void_HW)
    if kind is np.float32:
        spoilt[void_HW] = np.resize(np.array([np.nan, np.inf], kind), void_HW.sum())
        np.testing.assert_array_equal(fill(spoilt, 32).void_HW, void_HW)


def blurred_object(counts_HW: Array, box: tuple[slice, slice], height: float, sigma_px: float = 0.8) -> Array:
    """A hot object as optics show it, and as a detector saturates."""
    light = np.zeros(counts_HW.shape)
    light[box] = height
    hot = counts_HW + cv2.GaussianBlur(light, (0, 0), sigma_px)
    return np.rint(np.minimum(hot, 16383)).astype(counts_HW.dtype)


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((slice(100, 125), slice(100, 130)), id="inside"),
        pytest.param((slice(250, 256), slice(40, 120)), id="at the bottom"),
        pytest.param((slice(252, 256), slice(40, 120)), id="its first four rows"),
        pytest.param((slice(0, 4), slice(0, 320)), id="a whole edge"),
    ],
)
@pytest.mark.parametrize("kind", [np.uint16, np.float32], ids=["counts", "floats"])
@pytest.mark.parametrize("height", [3000, 30000], ids=["hot", "saturated"])
def test_a_large_hot_object_stays_in(box: tuple[slice, slice], height: float, kind: Any) -> None:
    clean = scene()
    hot = blurred_object(clean, box, height).astype(kind)
    found = fill(hot, 32 if kind is np.float32 else 14)
    assert found.void_HW is None
    assert found.normalisation.scale > 2 * measure(clean, 14).scale


@pytest.mark.parametrize("kind", [np.uint16, np.float32], ids=["counts", "floats"])
def test_flares_of_one_value_stay_in_even_without_a_skirt(kind: Any) -> None:
    hot = scene().astype(kind)
    hot[50:56, 60:66] = hot[100:103, 30:34] = 16383
    assert fill(hot, 32 if kind is np.float32 else 14).void_HW is None


def test_what_counts_is_never_clipped() -> None:
    hot = blurred_object(scene(), (slice(100, 103), slice(100, 103)), 5000)
    found = fill(hot, 14)
    in_order = np.argsort(hot, axis=None, kind="stable")
    seen = normalise(found.pixels_HW, found.normalisation).reshape(-1)[in_order]
    assert (np.diff(seen)[np.diff(hot.reshape(-1)[in_order]) > 0] > 0).all()


def test_floats_of_a_tiny_range_keep_their_contrast() -> None:
    counts = scene()
    kelvin = (np.float64(300) + 1e-3 * counts).astype(np.float32)
    one = normalise(kelvin, measure(kelvin, 32))
    np.testing.assert_allclose(one, normalise(counts, measure(counts, 16)), atol=0.02)
    steps = (1e-30 * counts).astype(np.float32)
    assert measure(steps, 32).scale == pytest.approx(1e-12)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_flat_frame_is_flat_and_so_is_one_of_which_nothing_counts(value: int) -> None:
    for kind, bits in ((np.uint8, 8), (np.uint16, 16), (np.float32, 32)):
        flat = np.full((64, 64), value, kind)
        for nodata in ((), (float(value),)):
            found = fill(flat, bits, nodata)
            assert (found.void_HW is None) is (nodata == ())
            assert found.normalisation.scale > 0
            assert (normalise(found.pixels_HW, found.normalisation) == 0).all()


def test_a_frame_that_is_not_a_number_is_flat() -> None:
    found = fill(np.full((64, 64), np.nan, np.float32), 32, (float("nan"),))
    assert found.void_HW is not None
    assert found.void_HW.all()
    assert (normalise(found.pixels_HW, found.normalisation) == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 3), (7, 90), (9, 9), (31, 8)], ids=str)
def test_small_images_can_be_measured(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    kinds: list[Any] = [np.uint8, np.uint16, np.float32]
    for kind in kinds:
        pixels: Array = rng.integers(0, 200, shape).astype(kind)
        found = fill(pixels, 32 if kind is np.float32 else 8)
        assert found.void_HW is None
        assert pixels.min() <= found.normalisation.mean <= pixels.max()


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([np.uint8, np.uint16, np.float32]), st.integers(1, 5)
)
def test_any_image_gets_a_finite_map(height: int, width: int, seed: int, kind: Any, num_values: int) -> None:
    """Few values, each with many pixels: where the rules might take all there is for something else."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, num_values)
    pixels: Array = rng.choice(values, (height, width)).astype(kind)
    found = fill(pixels, 32 if kind is np.float32 else 8, (float(values[0]),))
    assert np.isfinite(normalise(found.pixels_HW, found.normalisation)).all()
    assert found.normalisation.scale > 0
