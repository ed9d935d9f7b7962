"""Scores that say how often regions are targets."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.calibration import calibrate
from evaluation.score_fit import LEAST_OF_EACH, fit_score_map
from models.scores import ScoreMap, logits_of


def drawn(num: int, slope: float, offset: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Regions whose chance to be a target is known."""
    rng = np.random.default_rng(seed)
    peaks_N = 1 / (1 + np.exp(-rng.uniform(0, 12, num)))
    return peaks_N, rng.random(num) < ScoreMap(slope, offset).of(peaks_N)


def test_the_chance_they_were_drawn_with_is_found() -> None:
    fitted = fit_score_map(*drawn(20_000, 0.4, -2.0))
    assert fitted is not None
    assert fitted.slope == pytest.approx(0.4, abs=0.03)
    assert fitted.offset == pytest.approx(-2.0, abs=0.15)


def test_sure_regions_that_are_rarely_targets_lose_their_sureness() -> None:
    peaks_N, hits_N = drawn(2000, 0.3, -2.5)
    fitted = fit_score_map(peaks_N, hits_N)
    assert fitted is not None
    before, after = (calibrate(scores_N, hits_N).ece for scores_N in (peaks_N, fitted.of(peaks_N)))
    assert before > 0.3
    assert after < 0.04


def test_where_sureness_means_nothing_the_order_is_kept() -> None:
    peaks_N, _ = drawn(400, 1.0, 0.0)
    fitted = fit_score_map(peaks_N, logits_of(peaks_N) < np.median(logits_of(peaks_N)))
    assert fitted is not None
    assert fitted.slope == pytest.approx(0.05)


@pytest.mark.parametrize("hits", [0, LEAST_OF_EACH - 1, 50 - LEAST_OF_EACH + 1, 50])
def test_with_too_few_of_either_kind_nothing_is_said(hits: int) -> None:
    assert fit_score_map(np.linspace(0.5, 1, 50), np.arange(50) < hits) is None
    assert fit_score_map(np.linspace(0.5, 1, 50), np.arange(50) < LEAST_OF_EACH) is not None


def test_one_hit_for_each_is_wanted() -> None:
    with pytest.raises(ValueError, match="one hit for each"):
        fit_score_map(np.array([0.5, 0.6]), np.array([True]))
