"""Segmentation metrics: hand-made cases with known answers, and random masks against a slow second implementation."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluation.segmentation import PROTOCOLS, FalseAlarm, NormalisedIoU, Protocol, SegmentationMetrics, SegmentationScores
from tests.evaluation.slow_segmentation import SlowMetrics

Mask = NDArray[np.bool_]
SIDE_PX = 32


def mask(*boxes: tuple[int, int, int, int]) -> Mask:
    """A mask of filled boxes (row, column, height, width)."""
    drawn = np.zeros((SIDE_PX, SIDE_PX), np.bool_)
    for row, column, height, width in boxes:
        drawn[row : row + height, column : column + width] = True
    return drawn


def scores(predicted: Mask, target: Mask, protocol: Protocol | str = "default") -> SegmentationScores:
    metrics = SegmentationMetrics(protocol)
    metrics.update(predicted, target)
    return metrics.compute()


def test_false_alarms_of_a_hits_area_are_not_lost() -> None:
    """The published mistake: unmatched regions were filtered by area value."""
    target = mask((4, 4, 2, 2))
    predicted = mask((4, 4, 2, 2), (20, 4, 2, 2), (20, 20, 1, 4))
    assert scores(predicted, target).false_alarm_px == 8
    assert scores(predicted, target).fa == 8 / SIDE_PX**2
    assert scores(predicted, target, "basicirstd").false_alarm_px == 8
    for name in ("dnanet", "sctransnet", "mshnet", "mrf3net", "mtunet", "panpeiwen", "egpnet"):
        assert scores(predicted, target, name).false_alarm_px == 0, name


def test_egpnet_divides_by_512_squared_and_prints_iou_twice() -> None:
    target, predicted = mask((4, 4, 2, 2)), mask((4, 4, 2, 2), (20, 20, 1, 5))
    metrics = SegmentationMetrics("egpnet")
    metrics.update(predicted, target)
    metrics.update(mask((4, 4, 1, 1)), target)
    got = metrics.compute()
    assert got.fa == 5 / (2 * 512 * 512)
    assert got.niou == got.iou == 5 / 13


def test_area_value_still_counts_other_areas() -> None:
    predicted = mask((4, 4, 2, 2), (20, 4, 2, 2), (20, 20, 1, 5))
    assert scores(predicted, mask((4, 4, 2, 2)), "dnanet").false_alarm_px == 5


def test_huge_blob_on_a_small_target_is_a_detection_that_iou_shows() -> None:
    """Pd knows no size: 14x14 around 2x2 is found, without false alarm, and IoU alone tells."""
    got = scores(mask((8, 8, 14, 14)), mask((14, 14, 2, 2)))
    assert (got.pd, got.fa, got.iou) == (1.0, 0.0, 4 / 196)
    assert scores(mask((8, 8, 14, 14)), mask((14, 14, 2, 2)), "survey_eq6").false_alarm_px == 192


def test_matching_is_optimal_where_greedy_loses_a_target() -> None:
    targets = mask((10, 10, 1, 1), (10, 14, 1, 1))
    predicted = mask((10, 12, 1, 1), (11, 9, 1, 1))
    assert scores(predicted, targets).num_matched == 2
    assert scores(predicted, targets, "basicirstd").num_matched == 1
    assert scores(predicted, targets, "basicirstd").false_alarm_px == 1


def test_the_closest_of_equally_many_pairs_is_taken() -> None:
    predicted = mask((10, 12, 3, 1), (12, 10, 1, 1))
    assert scores(predicted, mask((11, 10, 1, 1))).false_alarm_px == 3


@pytest.mark.parametrize(
    ("protocol", "offset_px", "found"),
    [
        pytest.param("default", 2, True, id="default: 2 px is a hit"),
        pytest.param("default", 3, False, id="default: exactly 3 px is a miss"),
        pytest.param("mrf3net", 0, True, id="mrf3net: in place is a hit"),
        pytest.param("mrf3net", 1, False, id="mrf3net: 1 px is a miss"),
        pytest.param("mtunet", 1, True, id="mtunet: inside half the diameter of 3x3 (1.69 px)"),
        pytest.param("mtunet", 2, False, id="mtunet: outside half the diameter of 3x3"),
    ],
)
def test_reach_is_strict(protocol: str, offset_px: int, found: bool) -> None:
    assert scores(mask((10, 10 + offset_px, 3, 3)), mask((10, 10, 3, 3)), protocol).num_matched == int(found)


def test_exactly_the_reach_is_a_miss_also_where_centroids_are_fractions() -> None:
    target = mask((2, 0, 1, 3))
    predicted = mask((2, 2, 1, 3), (3, 2, 2, 5))  # centroids 15/13 and 36/13 px apart: a distance of 3
    for row, column in np.ndindex(20, 20):
        moved, answer = (np.roll(each, (row, column), (0, 1)) for each in (target, predicted))
        assert scores(answer, moved).num_matched == 0


def test_diagonal_neighbours_are_one_region() -> None:
    diagonal = mask((10, 10, 1, 1), (11, 11, 1, 1), (12, 10, 1, 1))
    assert scores(diagonal, diagonal).num_targets == 1


def test_shared_target_counts_once_and_both_pairs_enter_niou() -> None:
    target = mask((10, 10, 5, 5))
    predicted = mask((10, 10, 2, 5), (13, 10, 2, 5))
    got = scores(predicted, target, "mtunet")
    assert (got.num_matched, got.pd) == (1, 1.0)
    assert got.niou == pytest.approx(2 * 10 / 25)
    assert scores(predicted, target).false_alarm_px == 10


def test_iou_is_accumulated_and_niou_is_a_mean() -> None:
    metrics = SegmentationMetrics()
    metrics.update(mask((0, 0, 1, 4)), mask((0, 0, 1, 4)))
    metrics.update(mask((0, 0, 1, 1)), mask((0, 0, 4, 4)))
    got = metrics.compute()
    assert got.iou == 5 / 20
    assert got.niou == (1 + 1 / 16) / 2
    assert got.f1 == pytest.approx(2 * 5 / (5 + 20))


@pytest.mark.parametrize(
    ("niou", "expected"), [(NormalisedIoU.IMAGES, 1.0), (NormalisedIoU.ALL_IMAGES, 0.5), (NormalisedIoU.TARGETS, 1.0)], ids=str
)
def test_empty_answer_to_an_empty_image(niou: NormalisedIoU, expected: float) -> None:
    metrics = SegmentationMetrics(Protocol(niou=niou))
    metrics.update(mask(), mask())
    metrics.update(mask((5, 5, 2, 2)), mask((5, 5, 2, 2)))
    got = metrics.compute()
    assert (got.niou, got.pd, got.fa, got.num_images) == (expected, 1.0, 0.0, 2)


def test_false_alarm_in_an_empty_image_lowers_niou() -> None:
    metrics = SegmentationMetrics()
    metrics.update(mask((20, 20, 1, 1)), mask())
    metrics.update(mask((5, 5, 2, 2)), mask((5, 5, 2, 2)))
    assert metrics.compute().niou == 0.5


def test_nothing_counted_is_nan_not_zero() -> None:
    got = SegmentationMetrics().compute()
    assert all(math.isnan(value) for value in (got.iou, got.niou, got.f1, got.pd, got.fa))
    assert math.isnan(scores(mask((1, 1, 1, 1)), mask()).pd)


def test_fa_is_per_native_pixel_of_every_image() -> None:
    metrics = SegmentationMetrics()
    metrics.update(mask((5, 5, 2, 2)), mask())
    metrics.update(np.zeros((8, 64), np.bool_), np.zeros((8, 64), np.bool_))
    assert metrics.compute().fa_ppm == pytest.approx(1e6 * 4 / (SIDE_PX**2 + 8 * 64))


@pytest.mark.parametrize(
    ("predicted", "target"),
    [
        pytest.param(np.zeros((4, 4), np.bool_), np.zeros((4, 5), np.bool_), id="shapes differ"),
        pytest.param(np.zeros((1, 4, 4), np.bool_), np.zeros((1, 4, 4), np.bool_), id="three axes"),
        pytest.param(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.bool_), id="grey mask"),
    ],
)
def test_masks_with_two_readings_are_refused(predicted: Mask, target: Mask) -> None:
    with pytest.raises(ValueError, match="expected"):
        SegmentationMetrics().update(predicted, target)


def test_a_reach_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="max_distance"):
        Protocol(max_distance=0)
    with pytest.raises(ValueError, match="fa_image_px"):
        Protocol(fa_image_px=0)


def test_noise_over_the_whole_frame_is_counted_in_bounded_memory() -> None:
    """65,536 regions against 121 targets: a dense table of pairs would take 63 MB."""
    predicted = np.zeros((512, 512), np.bool_)
    predicted[::2, ::2] = True
    target = np.zeros((512, 512), np.bool_)
    target[::50, ::50] = True
    tracemalloc.start()
    got = scores(predicted, target)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (got.num_predictions, got.num_targets, got.pd) == (256 * 256, 121, 1.0)
    assert got.false_alarm_px == 256 * 256 - 121
    assert peak_bytes < 32 * 2**20


@st.composite
def images(draw: st.DrawFn) -> tuple[Mask, Mask]:
    """Truth and answer with a few targets, so that trying every matching stays possible."""

    def boxes(most: int) -> Mask:
        corner = st.integers(0, 12)
        side = st.integers(1, 3)
        drawn = np.zeros((16, 16), np.bool_)
        for row, column, height, width in draw(st.lists(st.tuples(corner, corner, side, side), max_size=most)):
            drawn[row : row + height, column : column + width] = True
        return drawn

    return boxes(5), boxes(4)


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
@given(data=st.data())
def test_agrees_with_a_slow_implementation(protocol: str, data: st.DataObject) -> None:
    fast, slow = SegmentationMetrics(protocol), SlowMetrics(protocol)
    for predicted, target in data.draw(st.lists(images(), min_size=1, max_size=3)):
        fast.update(predicted, target)
        slow.update(predicted, target)
    got = asdict(fast.compute())
    for name, expected in slow.compute().items():
        assert got[name] == pytest.approx(expected, nan_ok=True), name


@given(image=images())
def test_optimal_matching_never_finds_fewer(image: tuple[Mask, Mask]) -> None:
    optimal, greedy = scores(*image), scores(*image, "basicirstd")
    assert optimal.num_matched >= greedy.num_matched
    by_area = scores(*image, Protocol(false_alarm=FalseAlarm.AREA_VALUE))
    assert by_area.false_alarm_px <= optimal.false_alarm_px


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_perfect_answer_is_perfect_in_every_protocol(protocol: str) -> None:
    truth = mask((4, 4, 3, 3), (20, 20, 2, 2))
    got = scores(truth, truth.copy(), protocol)
    assert (got.iou, got.niou, got.f1, got.pd, got.fa) == (1.0, 1.0, 1.0, 1.0, 0.0)
