"""Centre of light and contrast of single targets: by hand, and against spots whose place is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from models.photometry import measure_light, signal_to_clutter
from models.regions import regions_of


def test_signal_to_clutter_by_hand() -> None:
    image = np.zeros((40, 40), np.uint16)
    image[:, ::2] = 100  # surroundings alternate between 0 and 100: mean about 50, standard deviation about 50
    mask = np.zeros((40, 40), bool)
    mask[20, 20] = True
    image[mask] = 300
    # 21 x 21 less 5 x 5; columns 10 to 30, even ones bright, of which 3 of 5 are taken out.
    bright, all_px = 11 * 21 - 3 * 5, 21 * 21 - 25
    share = bright / all_px
    expected = (300 - 100 * share) / (100 * math.sqrt(share * (1 - share)))
    assert signal_to_clutter(image, mask) == pytest.approx(expected)


def test_signal_to_clutter_counts_cold_targets_and_knows_its_limits() -> None:
    image, mask = np.full((30, 30), 7, np.uint8), np.zeros((30, 30), bool)
    mask[0, 0] = True
    assert signal_to_clutter(image, mask) == 0, "a flat place has no signal"
    image[0, 0] = 0
    assert signal_to_clutter(image, mask) == pytest.approx(7 * math.sqrt(12)), "no flatter than rounding"
    assert signal_to_clutter(image.astype(np.float32), mask) == pytest.approx(1e6)
    assert math.isnan(signal_to_clutter(image, np.ones((30, 30), bool)))


def test_a_neighbour_is_no_clutter() -> None:
    image, mask, both = np.full((30, 30), 10, np.uint8), np.zeros((30, 30), bool), np.zeros((30, 30), bool)
    image[10, 10], image[10, 16] = 20, 250
    mask[10, 10] = both[10, 10] = both[10, 16] = True
    assert signal_to_clutter(image, mask, both) == pytest.approx(10 * math.sqrt(12))
    assert signal_to_clutter(image, mask) < 2


def spot(x_px: float, y_px: float, height: float, level: float = 100.0, width_px: float = 0.9) -> NDArray[np.float64]:
    """A Gaussian spot on a level, `(40, 50)`, its centre in pixel edges."""
    rows, columns = np.mgrid[:40, :50] + 0.5
    light: NDArray[np.float64] = level + height * np.exp(-((rows - y_px) ** 2 + (columns - x_px) ** 2) / (2 * width_px**2))
    return light


@pytest.mark.parametrize("height", [60.0, -60.0], ids=["warm", "cold"])
def test_the_centre_of_light_is_found_between_the_pixels(height: float) -> None:
    rng = np.random.default_rng(3)
    errors_of_light, errors_of_mask = [], []
    for _ in range(60):
        x_px, y_px = rng.uniform(12, 38), rng.uniform(12, 28)
        clean_HW = spot(x_px, y_px, height)
        image = np.rint(clean_HW + rng.normal(scale=1.5, size=clean_HW.shape)).astype(np.uint16)
        mask = np.abs(clean_HW - 100) > 0.3 * abs(height)
        light = measure_light(image, mask)
        rows, columns = np.nonzero(mask)
        errors_of_light.append(math.dist(light.centroid_xy_px, (x_px, y_px)))
        errors_of_mask.append(math.dist((columns.mean() + 0.5, rows.mean() + 0.5), (x_px, y_px)))
    assert np.mean(errors_of_light) < 0.08
    assert np.mean(errors_of_light) < 0.6 * np.mean(errors_of_mask)


def test_light_of_a_neighbour_does_not_pull() -> None:
    image = spot(20.5, 20.5, 50) + spot(24.5, 20.5, 200) - 100
    mask, both = np.zeros((40, 50), bool), np.zeros((40, 50), bool)
    mask[19:22, 19:22] = both[19:22, 19:22] = both[19:22, 23:26] = True
    x_px, y_px = measure_light(image.astype(np.float32), mask, both).centroid_xy_px
    assert y_px == pytest.approx(20.5, abs=0.01)
    assert x_px < 21.3


def test_without_any_light_the_centre_is_that_of_the_mask() -> None:
    mask = np.zeros((20, 20), bool)
    mask[3:5, 7:11] = True
    light = measure_light(np.full((20, 20), 9, np.uint8), mask)
    assert light.centroid_xy_px == (9.0, 4.0)
    assert light.scr == 0


def test_regions_are_told_with_their_light_wherever_they_are() -> None:
    """Each region alone and in its place: at the corners of the frame too."""
    image = (spot(2.3, 1.6, 90) + spot(30.8, 22.1, 90) - 100).astype(np.float32)
    map_HW = np.where(image > 130, np.float32(0.9), np.float32(0.1))
    found = regions_of(map_HW, 0.5, pixels_HW=image)
    plain = regions_of(map_HW, 0.5)
    order = np.argsort(found.centroids_xy_px[:, 0])
    np.testing.assert_allclose(found.centroids_xy_px[order], [[2.3, 1.6], [30.8, 22.1]], atol=0.1)
    assert found.mask_rles == plain.mask_rles
    assert np.isnan(plain.scrs).all()
    for row, box in zip(found.scrs, found.boxes_xyxy_px.astype(int), strict=True):
        mask = np.zeros(image.shape, bool)
        mask[box[1] : box[3], box[0] : box[2]] = True
        alone = mask & (map_HW > 0.5)
        assert row == pytest.approx(signal_to_clutter(image, alone, map_HW > 0.5))


def test_void_pixels_are_neither_clutter_nor_light() -> None:
    """A border or a dead column beside a target, whatever it is filled with, changes neither its contrast nor its place."""
    rng = np.random.default_rng(0)
    image = spot(20.5, 12.5, 60) + rng.normal(scale=2, size=(40, 50))
    mask, void = spot(20.5, 12.5, 60) > 120, np.zeros((40, 50), bool)
    void[:6], void[:, 22] = True, True
    spoilt = np.where(void, 5000.0, image)
    light = measure_light(spoilt, mask, void_HW=void)
    assert light.scr == pytest.approx(signal_to_clutter(image, mask), rel=0.15)
    assert math.dist(light.centroid_xy_px, (20.5, 12.5)) < 0.1
    assert signal_to_clutter(spoilt, mask) < light.scr / 20
    assert measure_light(image, mask, void_HW=np.zeros_like(void)) == measure_light(image, mask)
    assert math.isnan(measure_light(image, mask, void_HW=np.ones_like(void)).scr), "nothing to compare with"
