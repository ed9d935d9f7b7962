"""What is said of a classifier, by hand: balance, two best, abstention, veto, sizes, intervals, and the page with all of it."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from evaluation.abstention import abstain
from evaluation.class_report import render_class_report
from evaluation.class_results import ClassifierResult, class_rows
from evaluation.classification import classification_scores, confusion_matrix, top_k_accuracy
from evaluation.results import Cost
from evaluation.veto import best_veto

COST = Cost(parameters=1_234, gmacs=0.5, input_px=48, latency_ms=1.25, best_ms=1.0, device="cpu")


def result(name: str = "one", classes: tuple[str, ...] = ("car", "bird", "clutter")) -> ClassifierResult:
    """Four crops of three images: a small car named right, a large one called a bird, a bird and a false alarm named right."""
    scores_NK = np.array([[0.75, 0.15, 0.1], [0.25, 0.65, 0.1], [0.02, 0.95, 0.03], [0.05, 0.1, 0.85]], np.float32)
    sides = (8.0, 40.0, 7.9, 12.0)
    return ClassifierResult(
        name=name,
        digest="d" * 64,
        class_names=classes,
        cost=COST,
        image_ids=("a", "a", "b", "c"),
        boxes_N4=np.array([[10, 10, 12, 10 + side] for side in sides], np.float32),
        true_N=np.array([0, 0, 1, 2]),
        scores_NK=scores_NK,
        worst=(("a, car: said bird 0.65", np.zeros((4, 4, 3), np.uint8)),),
    )


def test_balanced_accuracy_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    true, answered = rng.choice(4, 200, p=[0.7, 0.2, 0.07, 0.03]), rng.integers(0, 5, 200)
    scores = classification_scores(confusion_matrix(true, answered, 6))
    with pytest.warns(UserWarning, match="not in y_true"):
        expected = balanced_accuracy_score(true, answered)
    assert scores.balanced_accuracy == pytest.approx(expected)
    assert scores.macro_recall < scores.balanced_accuracy, "a class only answered counts as zero in the one and not in the other"
    assert np.isnan(scores.recall_K[4:]).all()
    assert np.isnan(scores.precision_K[5])


def test_two_best_and_equal_scores() -> None:
    scores = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])
    assert top_k_accuracy(np.array([1, 2, 1, 2]), scores) == 0.5, "of equal scores the first class is better"
    assert top_k_accuracy(np.array([0, 0, 1, 1]), scores, k=1) == 0.5
    assert math.isnan(top_k_accuracy(np.zeros(0, np.int64), scores[:0]))
    with pytest.raises(ValueError, match="one row of scores"):
        top_k_accuracy(np.array([0]), scores)


def test_accuracy_against_coverage_by_hand() -> None:
    curve = abstain(np.array([0.8, 0.9, 0.4, 0.8]), np.array([True, True, True, False]))
    assert curve.thresholds_T.tolist() == [0.9, 0.8, 0.4], "what scores alike is named together"
    assert curve.coverage_T.tolist() == [0.25, 0.75, 1.0]
    assert curve.accuracy_T.tolist() == pytest.approx([1, 2 / 3, 3 / 4])
    assert curve.aurc == pytest.approx((0 * 1 + 1 / 3 * 2 + 1 / 4 * 1) / 4)
    assert curve.at_score(0.8) == pytest.approx((0.75, 2 / 3))
    assert curve.at_score(0.81) == (0.25, 1.0)
    assert curve.at_score(0.95)[0] == 0
    assert curve.at_coverage(0.26) == pytest.approx((0.8, 2 / 3))
    assert curve.at_coverage(0.25) == (0.9, 1.0)
    nothing = abstain(np.zeros(0), np.zeros(0, bool))
    assert math.isnan(nothing.aurc)
    assert math.isnan(nothing.at_coverage(1.0)[1])
    with pytest.raises(ValueError, match="coverage above 0"):
        curve.at_coverage(0)


def test_a_veto_costs_no_more_than_it_may() -> None:
    targets, alarms = np.arange(100) / 100, np.array([0.5, 0.98, 0.985, 0.99, 1.0])
    scores, is_clutter = np.concatenate([targets, alarms]), np.arange(105) >= 100
    veto = best_veto(scores, is_clutter, lost=0.01)
    assert (veto.score, veto.lost, veto.vetoed, veto.targets, veto.false_alarms) == (0.985, 0.01, 0.6, 100, 5)
    assert best_veto(scores, is_clutter, lost=0.02).vetoed == 0.8
    hopeless = best_veto(np.array([0.9, 0.1]), np.array([False, True]))
    assert (hopeless.lost, hopeless.vetoed) == (0, 0)
    assert math.isnan(best_veto(scores[:100], is_clutter[:100]).score)


def test_a_result_says_all_of_its_crops() -> None:
    told = result().as_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["scores"] | {"ece": None, "ece_mass": None, "aurc": None} == {
        "accuracy": 0.75,
        "balanced_accuracy": pytest.approx((1 / 2 + 1 + 1) / 3),
        "macro_precision": pytest.approx((1 + 1 / 2 + 1) / 3),
        "macro_recall": pytest.approx((1 / 2 + 1 + 1) / 3),
        "macro_f1": pytest.approx((2 / 3 + 2 / 3 + 1) / 3),
        "top2": 1.0,
        "ece": None,
        "ece_mass": None,
        "aurc": None,
    }
    # Each alone in its tenth: 0.75, 0.95, 0.85 right, 0.65 wrong.
    assert told["scores"]["ece"] == pytest.approx((0.25 + 0.05 + 0.15 + 0.65) / 4)
    sizes = [(each["low"], each["targets"], each["accuracy"]) for each in told["by_size_px"]]
    assert sizes == [(0, 1, 1), (8, 2, 1), (16, 0, None), (32, 1, 0)], "eight pixels begin the second"
    assert told["confusion"]["rows_are_truth"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert (told["veto"]["score"], told["veto"]["vetoed"], told["veto"]["lost"]) == (pytest.approx(0.85), 1.0, 0.0)
    interval = told["intervals"]["accuracy"]
    assert interval["low"] == 0.5 <= interval["value"] <= interval["high"] == 1.0, "image a alone is half right, the others are right"
    rows = class_rows([result()]).to_pylist()
    assert [(row["label"], row["answer"]) for row in rows] == [("car", "car"), ("car", "bird"), ("bird", "bird"), ("clutter", "clutter")]


@pytest.mark.slow
def test_the_page_shows_all_of_several_and_needs_nothing_else() -> None:
    page = render_class_report([result("one"), result("other", ("car", "bird", "boat"))], title="T", lead="L <b>", foot="irstream evaluate")
    assert "L &lt;b&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert len(re.findall('src="data:image/(?:png|jpeg);base64,', page)) == 2 + 2 * 3
    assert page.count("(stream.clutter_veto) removes 100.0 % of 1 false alarms and 0.0 % of 3 targets.") == 1, "not without such a class"
    assert page.count("a, car: said bird 0.65</figcaption>") == 2
    assert "<td>one</td><td>4</td><td>75.0<br>" in page
    with pytest.raises(ValueError, match="at least one"):
        render_class_report([], title="", lead="")
