"""Scores of the detector: from which one its card calls a box a detection, and down to which one rows want weak ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.settings.model_check import card_of

if TYPE_CHECKING:
    from actors.settings import ModelActorSettings
    from deploy.settings.app_settings import AppSettings, ModelsSettings

_VALUE = "score_threshold"
_LEAST_ASKED = 0.01


def finder_score(detector: ModelActorSettings) -> float | None:
    """Boxes of a detector up to this score are weak: the value of the settings, or of its card; None where neither has one."""
    if _VALUE in detector.postprocess:
        return detector.postprocess[_VALUE]
    card = card_of(detector)
    return None if card is None else card.postprocess.get(_VALUE)


def with_weak_boxes(settings: AppSettings) -> ModelsSettings:
    """The three networks, of which the detector also gives the weak boxes that rows of some sensor keep."""
    return settings.models.model_copy(update={"detector": asked_for_weak(settings.models.detector, settings)})


def asked_for_weak(detector: ModelActorSettings, settings: AppSettings) -> ModelActorSettings:
    """A detector that also gives the weak boxes that rows of some sensor keep."""
    score = finder_score(detector)
    own = [each.min_score for each in settings.sensors.values() if each.min_score is not None]
    asked = max(_LEAST_ASKED, min([settings.stream.min_score, *own]))
    if score is None or asked >= score or settings.stream.max_weak == 0:
        return detector
    return detector.model_copy(update={"postprocess": detector.postprocess | {_VALUE: asked}})
