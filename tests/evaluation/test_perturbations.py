"""Each change does to a frame and its labels what its name says, and nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from evaluation.perturbations import HOTTEST_14, PERTURBATIONS, STRIPE_COUNTS, LabelledFrame, perturbed, recompressed, resized

HIGH, WIDE = 96, 120
NAMES = tuple(PERTURBATIONS)


def frame(seed: int = 0) -> LabelledFrame:
    """A smooth scene between 60 and 200 counts with two targets and a place of which nobody knows."""
    rng = np.random.default_rng(seed)
    smooth_HW = cv2.GaussianBlur(rng.standard_normal((HIGH, WIDE)).astype(np.float32), (0, 0), 6)
    counts_HW = np.clip(130 + 20 * smooth_HW / smooth_HW.std(), 60, 200).astype(np.uint8)
    mask_HW, unknown_HW = np.zeros((2, HIGH, WIDE), bool)
    mask_HW[0:4, 20:24] = mask_HW[50:55, 60:66] = True
    unknown_HW[80:90, 10:30] = True
    counts_HW[mask_HW] = 220
    return LabelledFrame(counts_HW, 8, mask_HW, unknown_HW)


def changed(name: str, seed: int = 0, image_id: str = "one") -> LabelledFrame:
    return perturbed(name, frame(), image_id, seed)


def moved(name: str) -> np.ndarray:
    """Change of each count."""
    return changed(name).counts_HW.astype(float) - frame().counts_HW


@pytest.mark.parametrize("name", NAMES)
def test_the_untouched_frame_stays_and_the_changed_one_is_whole(name: str) -> None:
    before = frame()
    after = perturbed(name, before, "one")
    np.testing.assert_array_equal(before.counts_HW, frame().counts_HW)
    np.testing.assert_array_equal(before.mask_HW, frame().mask_HW)
    assert after.counts_HW.dtype == (np.uint16 if after.bit_depth > 8 else np.uint8)
    assert after.counts_HW.max() < 2**after.bit_depth
    assert after.counts_HW.shape == after.mask_HW.shape == after.unknown_HW.shape
    assert {each.dtype.name for each in (after.mask_HW, after.unknown_HW)} == {"bool"}
    assert after.counts_HW.shape != before.counts_HW.shape or (after.counts_HW != before.counts_HW).any()


@pytest.mark.parametrize("name", NAMES)
def test_chance_hangs_on_the_seed_and_the_image_alone(name: str) -> None:
    np.testing.assert_array_equal(changed(name).counts_HW, changed(name).counts_HW)
    drawn = any(name.startswith(word) for word in ("noise", "stripes", "hot", "telemetry", "14 bit"))
    assert (changed(name).counts_HW != changed(name, seed=1).counts_HW).any() == drawn
    assert (changed(name).counts_HW != changed(name, image_id="two").counts_HW).any() == drawn


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(("crop", "resampled", "telemetry"))])
def test_labels_stay_where_the_picture_stays(name: str) -> None:
    np.testing.assert_array_equal(changed(name).mask_HW, frame().mask_HW)
    np.testing.assert_array_equal(changed(name).unknown_HW, frame().unknown_HW)


def test_the_crop_cuts_three_rows_and_five_columns_of_all() -> None:
    after, before = changed("crop 3, 5 px"), frame()
    np.testing.assert_array_equal(after.counts_HW, before.counts_HW[3:, 5:])
    np.testing.assert_array_equal(after.mask_HW, before.mask_HW[3:, 5:])
    np.testing.assert_array_equal(after.unknown_HW, before.unknown_HW[3:, 5:])


def test_jpeg_is_that_of_the_quality_and_worse_for_lower_ones() -> None:
    errors = [float(np.abs(moved(f"JPEG {quality}")).mean()) for quality in (95, 90, 75)]
    assert 0 < errors[0] < errors[1] < errors[2] < 6
    _, code = cv2.imencode(".jpg", frame().counts_HW, [cv2.IMWRITE_JPEG_QUALITY, 75])
    np.testing.assert_array_equal(changed("JPEG 75").counts_HW, cv2.imdecode(code, cv2.IMREAD_GRAYSCALE))
    np.testing.assert_array_equal(recompressed(np.full((8, 8), 77, np.uint8), 90), 77)


@pytest.mark.parametrize(("name", "factor"), [("resampled 0.8", 0.8), ("resampled 1.25", 1.25)])
def test_resampling_scales_picture_and_labels_alike(name: str, factor: float) -> None:
    after, before = changed(name), frame()
    assert after.counts_HW.shape == (round(HIGH * factor), round(WIDE * factor))
    assert after.mask_HW.sum() == pytest.approx(before.mask_HW.sum() * factor**2, rel=0.2)
    rows, columns = np.nonzero(after.mask_HW[20:])
    assert (rows.mean() + 20.5, columns.mean() + 0.5) == pytest.approx((52.5 * factor, 63 * factor), abs=0.5)
    assert after.counts_HW[after.mask_HW].min() > 160, "labels lie on the light"


def test_a_target_that_shrinks_to_nothing_is_unknown() -> None:
    mask_HW = np.zeros((20, 20), np.uint8)
    mask_HW[10, 10] = 1
    _, hard_HW, unknown_HW = resized(np.zeros((20, 20), np.uint8), (mask_HW, np.zeros_like(mask_HW)), (10, 10))
    assert not hard_HW.any()
    assert unknown_HW.nonzero() == (np.array([5]), np.array([5]))


def test_blur_spreads_a_point_by_its_sigma() -> None:
    counts_HW = np.zeros((21, 21), np.uint8)
    counts_HW[10, 10] = 255
    nothing_HW = np.zeros((21, 21), bool)
    blurred = perturbed("blur 0.7 px", LabelledFrame(counts_HW, 8, nothing_HW, nothing_HW), "point").counts_HW.astype(float)
    assert blurred.sum() == pytest.approx(255, abs=5)
    rows = np.arange(21) - 10
    assert (blurred.sum(1) * rows**2).sum() / blurred.sum() == pytest.approx(0.7**2, abs=0.06)


@pytest.mark.parametrize(("name", "sigma"), [("noise 1", 1.0), ("noise 3", 3.0)])
def test_noise_has_its_deviation_in_counts(name: str, sigma: float) -> None:
    difference = moved(name)
    # Rounding to counts adds a twelfth of a squared count.
    assert difference.std() == pytest.approx((sigma**2 + 1 / 12) ** 0.5, rel=0.05)
    assert abs(difference.mean()) < 0.1


def test_stripes_are_one_offset_a_column() -> None:
    difference = moved("stripes")
    assert (np.ptp(difference, axis=0) <= 1).all()
    assert difference.mean(0).std() == pytest.approx(STRIPE_COUNTS, rel=0.3)


@pytest.mark.parametrize("num", [1, 3, 10])
def test_hot_pixels_are_so_many_and_none_hides_a_target(num: int) -> None:
    hot_HW = changed(f"hot pixels {num}").counts_HW == 255
    assert hot_HW.sum() == num
    assert not (hot_HW & frame().mask_HW).any()
    assert (moved(f"hot pixels {num}") != 0).sum() == num
    assert (hot_HW <= (changed("hot pixels 10").counts_HW == 255)).all(), "fewer ones are among more"


def test_the_telemetry_row_holds_bytes_and_no_target() -> None:
    after, before = changed("telemetry row"), frame()
    np.testing.assert_array_equal(after.counts_HW[1:], before.counts_HW[1:])
    assert np.ptp(after.counts_HW[0]) > 200
    assert not after.mask_HW[0].any()
    np.testing.assert_array_equal(after.mask_HW[1:], before.mask_HW[1:])


def test_fourteen_bits_hold_the_scene_in_few_counts_and_every_count_of_it() -> None:
    after, before = changed("14 bit"), frame()
    assert after.bit_depth == 14
    np.testing.assert_array_equal((after.counts_HW - 4000) // 2, before.counts_HW)
    assert set(np.unique(after.counts_HW % 2)) == {0, 1}
    assert int(np.ptp(after.counts_HW)) < 510
    hot = changed("14 bit, hot pixels 10")
    assert (hot.counts_HW == HOTTEST_14).sum() == 10
    assert (hot.counts_HW != after.counts_HW).sum() == 10


def test_inverted_turns_the_scale_over() -> None:
    np.testing.assert_array_equal(changed("inverted").counts_HW, 255 - frame().counts_HW)


def test_frames_of_other_bits_and_other_names_are_refused() -> None:
    nothing_HW = np.zeros((4, 4), bool)
    with pytest.raises(ValueError, match="8 bits"):
        perturbed("stripes", LabelledFrame(np.zeros((4, 4), np.uint16), 14, nothing_HW, nothing_HW), "deep")
    with pytest.raises(KeyError):
        perturbed("nonesuch", frame(), "one")
