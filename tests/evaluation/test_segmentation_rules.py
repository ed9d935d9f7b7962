"""Segmentation metrics: matching and reach at their edges, and how each named protocol counts."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.segmentation import SegmentationMetrics
from evaluation.segmentation_protocols import PROTOCOLS
from tests.evaluation.test_segmentation import mask, scores

# An image right to the pixel beside an empty one that is answered with nothing.
NIOU_WITH_AN_EMPTY_IMAGE = {
    "default": 1.0,
    "basicirstd": 0.5,
    "dnanet": 0.5,
    "sctransnet": 0.5,
    "mshnet": 0.5,
    "panpeiwen": 0.5,
    "egpnet": 1.0,
    "mrf3net": 0.5,
    "mtunet": 1.0,
    "survey_eq6": 0.5,
}
LARGE_REACH = sorted(set(PROTOCOLS) - {"default", "mtunet", "mrf3net"})


def test_one_pair_more_counts_for_more_than_closer_ones() -> None:
    assert scores(mask((10, 10, 1, 1), (10, 8, 1, 1)), mask((10, 10, 1, 1), (10, 12, 1, 1))).num_matched == 2


def test_reach_is_strict_between_neighbours_too() -> None:
    assert scores(mask((10, 9, 1, 1), (10, 11, 1, 1)), mask((10, 10, 1, 1), (10, 14, 1, 1))).num_matched == 1


def test_mtunet_reaches_half_a_diameter() -> None:
    assert scores(mask((10, 10, 3, 6)), mask((10, 10, 3, 3)), "mtunet").num_matched == 1, "1.5 px of 1.69"


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_an_empty_image_in_the_niou_of_every_protocol(name: str) -> None:
    metrics = SegmentationMetrics(name)
    metrics.update(mask(), mask())
    metrics.update(mask((5, 5, 2, 2)), mask((5, 5, 2, 2)))
    assert metrics.compute().niou == NIOU_WITH_AN_EMPTY_IMAGE[name]


@pytest.mark.parametrize("name", LARGE_REACH)
def test_the_published_protocols_match_in_raster_order(name: str) -> None:
    assert scores(mask((10, 12, 1, 1), (11, 9, 1, 1)), mask((10, 10, 1, 1), (10, 14, 1, 1)), name).num_matched == 1


def test_a_grey_target_is_refused() -> None:
    with pytest.raises(ValueError, match="bool"):
        SegmentationMetrics().update(np.zeros((4, 4), np.bool_), np.zeros((4, 4), np.uint8))
