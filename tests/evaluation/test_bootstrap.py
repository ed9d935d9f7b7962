"""Intervals: against theory where there is one, paired against unpaired, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from evaluation.bootstrap import FIGURES, _as_intervals, intervals, paired_differences
from evaluation.segmentation import PROTOCOLS, Counts, SegmentationMetrics


def image(matched: int, targets: int = 1, intersection_px: int = 5, iou: float = 0.5) -> Counts:
    return Counts(
        intersection_px=intersection_px,
        union_px=10,
        target_px=8,
        total_px=1000,
        false_alarm_px=1 - matched,
        images=1,
        targets=targets,
        matched=matched,
        predictions=1,
        iou_sum=iou,
        iou_num=1,
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_value_is_the_metric_of_all_images(protocol: str) -> None:
    rng = np.random.default_rng(1)
    metrics, counts = SegmentationMetrics(protocol), []
    for _ in range(20):
        truth = rng.random((16, 16)) > 0.95
        counts.append(metrics.update(truth & (rng.random((16, 16)) > 0.3), truth))
    scores, found = metrics.compute(), intervals(counts)
    assert {name: each.value for name, each in found.items()} == pytest.approx(
        {"iou": scores.iou, "niou": scores.niou, "pd": scores.pd, "fa": scores.fa}
    )
    assert all(each.low <= each.value <= each.high for each in found.values())
    assert sum(counts, Counts()).scores() == scores


def test_pd_has_the_width_of_a_binomial() -> None:
    found = intervals([image(matched=int(index < 160)) for index in range(200)])["pd"]
    deviation = math.sqrt(0.8 * 0.2 / 200)
    assert found.value == 0.8
    assert found.low == pytest.approx(0.8 - 1.96 * deviation, abs=0.01)
    assert found.high == pytest.approx(0.8 + 1.96 * deviation, abs=0.01)


def test_pairing_sees_a_small_difference_that_is_the_same_everywhere() -> None:
    rng = np.random.default_rng(3)
    first = [image(1, iou=float(value)) for value in rng.uniform(0.2, 0.8, 60)]
    second = [replace(each, iou_sum=each.iou_sum + 0.02) for each in first]
    difference = paired_differences(first, second)["niou"]
    assert difference.value == pytest.approx(0.02)
    assert difference.excludes_zero
    one, other = intervals(first)["niou"], intervals(second)["niou"]
    assert other.low < one.high, "unpaired, the two intervals overlap"


def test_no_difference_is_none() -> None:
    counts = [image(index % 2) for index in range(30)]
    for each in paired_differences(counts, counts).values():
        assert (each.value, each.low, each.high) == (0, 0, 0)
        assert not each.excludes_zero


def test_the_same_seed_gives_the_same_interval_and_more_confidence_a_wider_one() -> None:
    counts = [image(index % 3 > 0) for index in range(50)]
    assert intervals(counts, seed=4) == intervals(counts, seed=4)
    assert intervals(counts, confidence=0.99)["pd"].low < intervals(counts, confidence=0.8)["pd"].low


def test_what_is_not_there_has_no_figure() -> None:
    found = intervals([Counts(total_px=100, images=1)] * 3)
    assert math.isnan(found["pd"].value)
    assert math.isnan(found["pd"].low)
    assert found["fa"].value == 0


def test_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="same images"):
        paired_differences([image(1)] * 3, [image(1)] * 2)
    with pytest.raises(ValueError, match="same images"):
        paired_differences([image(1)], [image(1, targets=2)])
    with pytest.raises(ValueError, match="at least one image"):
        intervals([])


@pytest.mark.parametrize(("confidence", "low", "high"), [(0.95, 25.0, 975.0), (0.9, 50.0, 950.0), (0.5, 250.0, 750.0)])
def test_an_interval_leaves_out_as_much_below_as_above(confidence: float, low: float, high: float) -> None:
    values = {name: np.array([500.0]) for name in FIGURES}
    drawn = {name: np.append(np.arange(1001.0), math.nan) for name in FIGURES}
    found = _as_intervals(values, drawn, confidence)["iou"]
    assert [found.value, found.low, found.high] == pytest.approx([500.0, low, high])


def test_images_that_were_cropped_are_compared_only_where_that_is_said() -> None:
    first = [image(1), image(1)]
    second = [replace(each, total_px=900, targets=each.targets - 1, matched=0) for each in first]
    with pytest.raises(ValueError, match="the same images"):
        paired_differences(first, second)
    assert paired_differences(first, second, same_frames=False)["iou"].value == 0
    with pytest.raises(ValueError, match="the same images"):
        paired_differences(first, second[:1], same_frames=False)
