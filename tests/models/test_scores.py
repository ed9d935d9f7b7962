"""Scores of regions from the probabilities of their surest pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.interface import MetadataBatch
from models.regions import regions_of
from models.scores import ScoreMap
from models.thresholds import SegmentationPostprocess
from models.zoo import load_model


def test_a_region_is_as_sure_as_its_surest_pixel() -> None:
    map_HW = np.zeros((8, 10), np.float32)
    map_HW[1:3, 2:5] = 0.6
    map_HW[1, 3] = 0.9
    map_HW[6, 9] = 0.8
    np.testing.assert_allclose(regions_of(map_HW, 0.5).scores, [0.9, 0.8], rtol=1e-6)


def test_the_map_of_the_card_makes_the_scores() -> None:
    map_HW = np.zeros((4, 4), np.float32)
    map_HW[1, 1] = 0.9  # a logit of 2.197
    how = SegmentationPostprocess(score_slope=0.5, score_offset=-1.0)
    (score,) = regions_of(map_HW, 0.5, score_map=how.score_map).scores
    assert score == pytest.approx(1 / (1 + np.exp(1.0 - 0.5 * np.log(9))), rel=1e-5)


@given(st.floats(0.05, 5), st.floats(-5, 5), st.lists(st.floats(0, 1, width=32), min_size=2, max_size=9))
def test_no_two_regions_change_places_and_nothing_is_certain(slope: float, offset: float, peaks: list[float]) -> None:
    scores_N = ScoreMap(slope, offset).of(np.sort(np.array(peaks, np.float32)))
    assert (np.diff(scores_N) >= 0).all()
    assert ((scores_N > 0) & (scores_N < 1) | np.isclose(scores_N, 1)).all()


def test_a_falling_map_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        SegmentationPostprocess(score_slope=-1.0)


def test_a_network_scores_by_its_settings() -> None:
    network, _ = load_model("acm")
    pixels = np.zeros((1, 1, 64, 64), np.float32)
    pixels[0, 0, 30:33, 30:33] = 8.0
    with torch.inference_mode():
        raw = network.eval()(torch.from_numpy(pixels), MetadataBatch.unknown((64, 64)))
    network.configure({"threshold": 0.3, "score_slope": 1.0})
    (plain,) = network.postprocess(raw, [(64, 64)])
    network.configure({"threshold": 0.3, "score_slope": 0.5, "score_offset": -0.5})
    (mapped,) = network.postprocess(raw, [(64, 64)])
    assert len(plain) >= 1
    np.testing.assert_allclose(mapped.scores, ScoreMap(0.5, -0.5).of(plain.scores), rtol=1e-5)
