"""The detector is asked for the weak boxes that rows want; what its card calls a detection stays what it was."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.settings.app_settings import AppSettings
from deploy.settings.weak_scores import finder_score, with_weak_boxes


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        pytest.param({}, 0.05, id="default"),
        pytest.param({"stream": {"min_score": 0.2}}, 0.2, id="of all"),
        pytest.param({"stream": {"min_score": 0.2}, "sensors": {"a": {"min_score": 0.1}, "b": {"min_score": 0.9}}}, 0.1, id="of a sensor"),
        pytest.param({"stream": {"min_score": 0.0}}, 0.01, id="a threshold is above 0"),
        pytest.param({"stream": {"min_score": 0.6}}, None, id="rows want none"),
        pytest.param({"stream": {"max_weak": 0}}, None, id="rows have no place for any"),
    ],
)
def test_the_detector_is_asked_down_to_the_least_score_of_rows(given: dict[str, Any], asked: float | None) -> None:
    settings = AppSettings.model_validate(given)
    models = with_weak_boxes(settings)
    assert models.detector.postprocess == ({} if asked is None else {"score_threshold": asked})
    assert (models.segmenter, models.classifier) == (settings.models.segmenter, settings.models.classifier)
    assert finder_score(settings.models.detector) == 0.41, "of the card of harrier"


def test_a_threshold_of_the_settings_takes_the_place_of_the_cards() -> None:
    settings = AppSettings.model_validate({"models": {"detector": {"model": "fcos_light", "postprocess": {"score_threshold": 0.4}}}})
    assert finder_score(settings.models.detector) == 0.4
    assert with_weak_boxes(settings).detector.postprocess == {"score_threshold": 0.05}


def test_a_network_without_a_card_has_no_weak_boxes() -> None:
    settings = AppSettings.model_validate({"models": {"detector": {"model": "of_my_own"}}})
    assert finder_score(settings.models.detector) is None
    assert with_weak_boxes(settings) == settings.models
