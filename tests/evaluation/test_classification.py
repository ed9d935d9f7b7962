"""Classification metrics against scikit-learn and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import precision_recall_fscore_support

from evaluation.classification import classification_scores, confusion_matrix


def test_rows_are_truth_and_columns_are_answers() -> None:
    confusion = confusion_matrix(np.array([0, 0, 2]), np.array([0, 1, 2]), 3)
    assert confusion.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    true, answered = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    scores = classification_scores(confusion_matrix(true, answered, 5))
    precision, recall, f1, _ = precision_recall_fscore_support(true, answered, average="macro")
    assert [scores.macro_precision, scores.macro_recall, scores.macro_f1] == pytest.approx([precision, recall, f1])
    assert scores.accuracy == pytest.approx((true == answered).mean())
    np.testing.assert_array_equal(scores.confusion_KK, sklearn_confusion(true, answered))


def test_a_class_that_plays_no_part_is_left_out() -> None:
    scores = classification_scores(confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), 4))
    assert scores.macro_f1 == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert np.isnan(scores.f1_K[2:]).all()


def test_a_class_answered_but_never_true_counts_as_zero() -> None:
    scores = classification_scores(confusion_matrix(np.array([0, 0]), np.array([0, 2]), 3))
    assert scores.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_nothing_counted_is_not_a_number() -> None:
    scores = classification_scores(np.zeros((3, 3), np.int64))
    assert math.isnan(scores.accuracy)
    assert math.isnan(scores.macro_f1)


@pytest.mark.parametrize(("true", "answered"), [([0, 3], [0, 0]), ([0, -1], [0, 0]), ([0], [0, 0])])
def test_refuses_what_does_not_fit(true: list[int], answered: list[int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        confusion_matrix(np.array(true), np.array(answered), 3)


def test_a_class_never_answered_or_never_true_counts_as_zero_and_not_as_unknown() -> None:
    scores = classification_scores(np.array([[3, 0, 1], [0, 0, 0], [0, 0, 0]]))
    assert (scores.macro_precision, scores.macro_recall) == (0.5, 0.375)
    scores = classification_scores(np.array([[3, 0], [1, 0]]))
    assert (scores.macro_precision, scores.macro_recall) == (0.375, 0.5)
