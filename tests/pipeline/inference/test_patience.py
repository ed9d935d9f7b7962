"""How long silence of networks is slowness."""

from __future__ import annotations

import pytest

from pipeline.inference.patience import Patience


@pytest.mark.parametrize(("slowest_s", "waited_s"), [(0.1, 120), (20, 200), (600, 1800), (1000, 3000)])
def test_a_slow_answer_makes_patient_and_a_very_slow_one_not_for_hours(slowest_s: float, waited_s: float) -> None:
    patience = Patience(120)
    patience.answered_after("detector", slowest_s)
    assert patience.of("segmenter") == waited_s


def test_a_wait_in_vain_doubles_the_next_one_for_that_network_until_it_answers() -> None:
    patience = Patience(120)
    patience.in_vain("detector", 120)
    assert (patience.of("detector"), patience.of("segmenter"), patience.longest_s) == (240, 120, 240)
    patience.answered_after("detector", 1)
    assert patience.of("detector") == 120
