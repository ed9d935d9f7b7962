"""Classical filters: their responses against slow ones, their scores by the formula, and what they do without learning."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.interface import MetadataBatch
from models.segmentation.classical import ClassicalFilter, LocalContrast, LocalRx, TopHat
from models.zoo import create_model, list_learning, list_models

Map = NDArray[np.float32]
FILTERS = ("mpcm", "rx", "top_hat")


def made(name: str) -> ClassicalFilter:
    model = create_model(name).eval()
    assert isinstance(model, ClassicalFilter)
    return model


def scene(height_px: int = 40, width_px: int = 52) -> Map:
    return np.random.default_rng(4).standard_normal((height_px, width_px)).astype(np.float32)


def answered(function: Callable[[torch.Tensor], torch.Tensor], pixels_HW: Map) -> Map:
    with torch.inference_mode():
        return np.asarray(function(torch.from_numpy(pixels_HW)[None, None])[0, 0].numpy())


def scores(name: str, pixels_HW: Map) -> Map:
    model = made(name)
    return answered(lambda pixels: model(pixels, MetadataBatch.unknown(pixels_HW.shape[-2:])).sigmoid(), pixels_HW)


def test_the_top_hat_is_opencvs() -> None:
    kernel = np.ones((TopHat.SIDE_PX, TopHat.SIDE_PX), np.uint8)
    np.testing.assert_allclose(answered(made("top_hat").response, scene()), cv2.morphologyEx(scene(), cv2.MORPH_TOPHAT, kernel), atol=1e-6)


def slow_contrast(pixels_HW: Map, row: int, column: int) -> float:
    """Of one pixel far from the border, patch by patch."""
    largest = 0.0
    for side in LocalContrast.SIDES_PX:
        reach = side // 2

        def patch(down: int, right: int, side: int = side, reach: int = reach) -> float:
            y, x = row + down * side, column + right * side
            return float(pixels_HW[y - reach : y + reach + 1, x - reach : x + reach + 1].mean())

        middle = patch(0, 0)
        pairs = [((-1, -1), (1, 1)), ((-1, 0), (1, 0)), ((-1, 1), (1, -1)), ((0, 1), (0, -1))]
        largest = max(largest, min((middle - patch(*one)) * (middle - patch(*other)) for one, other in pairs))
    return math.sqrt(largest)


def slow_distance(pixels_HW: Map, row: int, column: int) -> float:
    """From the pixels of the ring that the frame has."""
    ring = [
        pixels_HW[y, x]
        for y in range(max(row - 12, 0), min(row + 13, pixels_HW.shape[0]))
        for x in range(max(column - 12, 0), min(column + 13, pixels_HW.shape[1]))
        if max(abs(y - row), abs(x - column)) > 4
    ]
    return float(abs(pixels_HW[row, column] - np.mean(ring)) / np.std(ring))


def test_the_contrast_is_that_of_single_patches() -> None:
    found = answered(made("mpcm").response, scene())
    for row, column in ((20, 20), (18, 30), (22, 25), (20, 33)):
        assert found[row, column] == pytest.approx(slow_contrast(scene(), row, column), abs=1e-5)


def test_the_distance_is_that_from_the_pixels_of_the_ring() -> None:
    found = answered(made("rx").response, scene())
    for row, column in ((0, 0), (20, 20), (39, 51), (3, 40)):
        assert found[row, column] == pytest.approx(slow_distance(scene(), row, column), abs=1e-4)
    assert (LocalRx.GUARD_PX, LocalRx.AROUND_PX) == (9, 25)


@pytest.mark.parametrize("name", FILTERS)
def test_scores_follow_the_formula(name: str) -> None:
    model, response_HW = made(name), answered(made(name).response, scene())
    ordered = np.sort(response_HW.ravel())
    middle, high = ordered[(len(ordered) + 1) // 2 - 1], ordered[round(len(ordered) * 0.95) - 1]
    z_HW = np.maximum((response_HW - middle) / max((high - middle) / 1.645, 0.01), 0.1)
    np.testing.assert_allclose(scores(name, scene()), z_HW**2 / (z_HW**2 + float(model.half_at) ** 2), atol=1e-4)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("sign", [1, -1], ids=["bright", "dark"])
def test_a_small_target_stands_out_and_a_top_hat_knows_bright_ones_only(name: str, sign: int) -> None:
    pixels_HW = scene(80, 96) * 0.2
    pixels_HW[40:43, 50:53] += sign * 6
    found = scores(name, pixels_HW)
    highest = np.unravel_index(int(found.argmax()), found.shape)
    finds = name != "top_hat" or sign > 0
    assert (40 <= highest[0] < 43 and 50 <= highest[1] < 53) == finds
    assert (found[40:43, 50:53].max() > 0.5) == finds
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("name", FILTERS)
def test_a_wide_bright_plain_is_no_target(name: str) -> None:
    pixels_HW = np.zeros((96, 96), np.float32)
    pixels_HW[:, 48:] = 3
    assert scores(name, pixels_HW)[30:60, 70:].max() < 0.5


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", [(1, 1), (3, 70), (64, 33)])
def test_frames_of_any_size_go_through_without_padding(name: str, size: tuple[int, int]) -> None:
    assert made(name).input_spec.size_multiple_px == 1
    found = scores(name, np.zeros(size, np.float32))
    assert found.shape == size
    assert (found < 0.01).all(), "nothing is there"


def test_filters_are_registered_and_do_not_learn() -> None:
    assert set(list_models()) - set(list_learning()) == set(FILTERS)
    assert not any(list(made(name).parameters()) for name in FILTERS)
    assert len({float(made(name).half_at) for name in FILTERS}) == len(FILTERS), "equal files of weights would have one digest"
