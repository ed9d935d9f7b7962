"""Half-maximum boxes inside loose labels: of blobs whose size is known, and none where nothing stands out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.half_maximum import half_maximum_boxes

LABEL = np.array([[20.0, 20, 44, 40]], np.float32)


def sky(slope: float = 0.0, noise: float = 1.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(3)
    return np.asarray(90 + slope * np.arange(64)[:, None] + rng.normal(0, noise, (64, 64)), np.float32)


def gaussian(pixels: NDArray[np.float32], x: float, y: float, sigma: float, height: float) -> NDArray[np.float32]:
    rows, columns = np.mgrid[:64, :64] + 0.5
    return np.asarray(pixels + height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)), np.float32)


@pytest.mark.parametrize("sign", [1, -1], ids=["hot", "cold"])
@pytest.mark.parametrize("slope", [0.0, 1.5], ids=["level", "brighter below"])
def test_a_blob_gets_the_box_of_its_upper_half(sign: int, slope: float) -> None:
    # Half of a Gaussian of sigma 2 is 4.7 px wide: on whole pixels 4 to 6.
    pixels = gaussian(sky(slope), 33.5, 29.5, 2.0, sign * 40)
    tight, found = half_maximum_boxes(np.clip(pixels, 0, 255).astype(np.uint8), LABEL)
    assert found.tolist() == [True]
    assert (np.abs(tight[0] - [31, 27, 36, 32]) <= 1).all()


def test_the_parts_of_a_target_are_one_and_its_neighbour_outside_the_label_is_not_part_of_it() -> None:
    pixels = sky()
    pixels[28:31, 26:29] += 60
    pixels[28:31, 30:34] += 60
    pixels[28:31, 52:58] += 90
    tight, found = half_maximum_boxes(pixels, LABEL)
    assert found.all()
    assert tight.tolist() == [[26, 28, 34, 31]]


def test_a_target_on_a_cloud_is_what_rises_above_the_cloud() -> None:
    pixels = sky()
    pixels[24:36, :] += 30
    tight, found = half_maximum_boxes(gaussian(pixels, 33.5, 30.5, 1.5, 60), LABEL)
    assert found.all()
    assert (tight[0, 2:] - tight[0, :2]).max() <= 6
    assert (np.abs((tight[0, :2] + tight[0, 2:]) / 2 - [33.5, 30.5]) <= 1).all()


@pytest.mark.parametrize("height", [0.0, 2.0], ids=["nothing", "in the noise"])
def test_where_nothing_stands_out_the_label_stays_and_is_loose(height: float) -> None:
    tight, found = half_maximum_boxes(gaussian(sky(), 33, 29, 1.0, height), LABEL)
    assert found.tolist() == [False]
    assert tight.tolist() == LABEL.tolist()


def test_the_edge_of_a_cloud_in_the_label_is_no_target() -> None:
    pixels = sky()
    pixels[32:, :] += 60
    assert half_maximum_boxes(pixels, LABEL)[1].tolist() == [False]


def test_boxes_lie_inside_their_labels_also_at_the_border_and_of_any_counts() -> None:
    pixels = gaussian(sky(), 2.0, 1.0, 3.0, 80)
    labels = np.array([[-1.0, -2, 9.5, 8.25], [0, 0, 1, 1], [60, 60, 70, 70]], np.float32)
    for counts in (pixels, (pixels * 60).astype(np.uint16)):
        tight, found = half_maximum_boxes(counts, labels)
        assert found.tolist() == [True, False, False]
        assert (tight[:, :2] >= labels[:, :2]).all()
        assert (tight[:, 2:] <= labels[:, 2:]).all()
    assert half_maximum_boxes(pixels, np.zeros((0, 4), np.float32))[0].shape == (0, 4)
