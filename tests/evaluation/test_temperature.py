"""A temperature makes scores say how often answers are right, and changes no answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from evaluation.calibration import calibrate
from evaluation.temperature import LEAST_CROPS, fit_temperature


def drawn(num: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are too sure by a factor on their logits, and classes drawn by what the logits should have been."""
    rng = np.random.default_rng(0)
    logits_NK = rng.normal(0, 2, (num, 4))
    honest_NK = special.softmax(logits_NK, axis=1)
    true_N = np.array([rng.choice(4, p=row) for row in honest_NK])
    return special.softmax(logits_NK * temperature, axis=1).astype(np.float32), true_N


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_scores_wrong_is_found(temperature: float) -> None:
    scores_NK, true_N = drawn(4000, temperature)
    found = fit_temperature(scores_NK, true_N)
    assert found == pytest.approx(temperature, rel=0.08)
    mended_NK = special.softmax(np.log(scores_NK) / found, axis=1)
    assert (mended_NK.argmax(1) == scores_NK.argmax(1)).all()
    assert calibrate(mended_NK.max(1), mended_NK.argmax(1) == true_N).ece < 0.03


def test_scores_of_0_and_few_crops() -> None:
    sure_NK = np.eye(4, dtype=np.float32)[np.zeros(LEAST_CROPS, int)]
    assert fit_temperature(sure_NK, np.ones(LEAST_CROPS, int)) == pytest.approx(5, rel=0.01), "always wrong: as unsure as can be"
    assert fit_temperature(sure_NK[1:], np.zeros(LEAST_CROPS - 1, int)) is None
    with pytest.raises(ValueError, match="one row of scores for each of 3 crops"):
        fit_temperature(sure_NK, np.zeros(3, int))
