"""Images are drawn by share, and every image of a set once before any comes again."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from contracts.errors import SettingsError
from tests.training.test_overfit import made_images
from training.data.sampling import SamplePool, by_images


def test_shares_decide_not_the_size_of_a_set() -> None:
    pool = SamplePool(
        made_images(2) + made_images(20, "hit-uav"), {"nudt-sirst": 3.0, "hit-uav": 1.0, "irstd-1k": 5.0}, np.random.default_rng(0)
    )
    drawn = Counter(pool.draw().dataset for _ in range(2000))
    assert drawn["nudt-sirst"] / drawn.total() == pytest.approx(0.75, abs=0.04)
    assert set(drawn) == {"nudt-sirst", "hit-uav"}


def test_some_sets_divide_what_they_have_by_their_images() -> None:
    samples = made_images(6) + made_images(2, "irstd-1k") + made_images(20, "hit-uav")
    shares = {"nudt-sirst": 0.4, "irstd-1k": 0.4, "hit-uav": 0.2}
    assert by_images(shares, samples, ("nudt-sirst", "irstd-1k")) == pytest.approx({"nudt-sirst": 0.6, "irstd-1k": 0.2, "hit-uav": 0.2})
    assert by_images(shares, samples, ()) == shares
    assert by_images({"nudt-sirst": 1.0}, made_images(2, "hit-uav"), ("nudt-sirst",)) == {"nudt-sirst": 1.0}, "none there: none is drawn"


def test_every_image_comes_once_before_any_comes_again() -> None:
    pool = SamplePool(made_images(7), {"nudt-sirst": 1.0}, np.random.default_rng(0))
    for _ in range(3):
        assert {pool.draw().image_id for _ in range(7)} == {str(number) for number in range(7)}


def test_no_image_is_refused() -> None:
    with pytest.raises(SettingsError, match="images of irstd-1k, got none"):
        SamplePool(made_images(2), {"irstd-1k": 1.0}, np.random.default_rng(0))
