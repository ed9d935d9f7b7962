"""Figures of a classifier out of fold: calibration, and what a veto by its clutter score removes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from models.classification.classes import CLASSES_AND_CLUTTER
from models.classification.wren import Wren
from models.inference import InferenceModel, prepare
from models.thresholds import ClassificationPostprocess
from models.zoo import AnyModel
from tests.training.test_overfit import made_images
from training.recipes import plan_named
from training.tasks import answers
from training.tasks.answers import classifier_figures
from training.tasks.known import task_of
from training.tasks.measuring import choose_temperature, class_scores, targets_of

NAMES = ("car", "clutter")


def row(labels: list[str], clutter_scores: list[float]) -> dict[str, Any]:
    scores = [[1 - score, score] for score in clutter_scores]
    best = [int(np.argmax(each)) for each in scores]
    found = {"found_labels": [NAMES[index] for index in best], "found_scores": [max(each) for each in scores]}
    return {"labels": [*labels, "ignore"], **found, "found_class_scores": scores}


def test_calibration_and_veto_of_answers() -> None:
    rows = [row(["car", "clutter"], [0.3, 0.9]), row(["clutter", "clutter"], [0.8, 0.2])]
    figures = classifier_figures(rows, NAMES)
    assert figures["vetoed"] == pytest.approx(2 / 3), "from 0.8 on: the car scores 0.3"
    assert figures["ece"] == pytest.approx((0.3 + 0.1 + 2 * 0.3) / 4), "of two that score 0.8 one is right"
    assert figures["accuracy"] == 0.75


def test_answers_without_scores_of_classes_have_no_veto() -> None:
    old = [{**row(["car", "clutter"], [0.3, 0.9]), "found_class_scores": None}]
    assert math.isnan(classifier_figures(old, NAMES)["vetoed"])
    assert "vetoed" not in classifier_figures([{"labels": ["car"], "found_labels": ["car"], "found_scores": [0.7]}], ("car",))


def test_a_temperature_divides_the_logits_and_is_chosen_on_images() -> None:
    model, samples = Wren().eval(), made_images(24, "hit-uav")
    targets = [(sample, box) for sample, box, _ in targets_of(samples, CLASSES_AND_CLUTTER)]
    plain_NK = class_scores(model, targets)
    chosen = choose_temperature(model, samples)
    assert chosen["temperature"] != 1.0, "random weights are no probabilities"
    model.configure({"temperature": 2.0})
    root_NK = np.sqrt(plain_NK)
    np.testing.assert_allclose(class_scores(model, targets), root_NK / root_NK.sum(1, keepdims=True), rtol=1e-3)
    assert choose_temperature(model, samples)["temperature"] == chosen["temperature"], "whatever it had before"
    assert choose_temperature(model, [])["temperature"] == 2.0, "too few"


def test_a_temperature_is_a_number_above_0() -> None:
    for wrong in (0.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="temperature"):
            ClassificationPostprocess(temperature=wrong)


def test_crops_need_the_counts_of_a_frame_and_no_more() -> None:
    """What a training in folds keeps in memory instead of decoding it again each epoch."""
    model = Wren()
    sizes = [task_of(model, plan_named("ours", task=model.task).recipe).bytes_of(640, 512, bits) for bits in (8, 14, 32)]
    assert sizes == [640 * 512, 2 * 640 * 512, 4 * 640 * 512]


def test_a_classifier_is_prepared_once_for_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[InferenceModel] = []

    def counted(model: AnyModel, device: str) -> InferenceModel:
        prepared.append(prepare(model, device))
        return prepared[-1]

    monkeypatch.setattr(answers, "prepare", counted)
    answer = answers.classifier_answers(Wren().eval(), "cpu")
    assert [len(answer(sample).labels) for sample in made_images(3, "hit-uav")] == [1, 1, 1]
    assert len(prepared) == 1
