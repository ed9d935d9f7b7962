"""ROC and precision-recall: by hand, and against a slow implementation that thresholds every map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from evaluation.curves import THRESHOLDS, CurveMetrics


def test_four_pixels_by_hand() -> None:
    metrics = CurveMetrics()
    metrics.update(np.array([[0.9, 0.6], [0.4, 0.1]], np.float32), np.array([[True, False], [True, False]]))
    curves = metrics.compute()
    at = {threshold: index for index, threshold in enumerate(curves.thresholds_T.tolist())}

    def told(threshold: float) -> list[float]:
        columns = (curves.true_positive_rate_T, curves.false_positive_rate_T, curves.precision_T, curves.iou_T)
        return [float(column[at[threshold]]) for column in columns]

    assert told(0.5) == pytest.approx([0.5, 0.5, 0.5, 1 / 3])
    assert told(0.7) == pytest.approx([0.5, 0.0, 1.0, 0.5])
    assert told(0.0) == pytest.approx([1.0, 1.0, 0.5, 0.5])
    assert curves.f1_T[at[0.5]] == pytest.approx(0.5)
    # Of the four pairs (target, background) three are in order.
    assert curves.auc == pytest.approx(0.75)
    assert curves.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_a_probability_on_the_threshold_is_background() -> None:
    metrics = CurveMetrics()
    metrics.update(np.array([[0.5]], np.float32), np.array([[True]]))
    curves = metrics.compute()
    half = int(np.flatnonzero(curves.thresholds_T == 0.5)[0])
    assert curves.true_positive_rate_T[half - 1 : half + 1].tolist() == [1.0, 0.0]


def test_images_add_up() -> None:
    rng = np.random.default_rng(2)
    maps, truths = rng.random((3, 20, 30), np.float32), rng.random((3, 20, 30)) > 0.9
    apart, together = CurveMetrics(), CurveMetrics()
    for map_HW, truth_HW in zip(maps, truths, strict=True):
        apart.update(map_HW, truth_HW)
    together.update(maps.reshape(60, 30), truths.reshape(60, 30))
    np.testing.assert_array_equal(apart.compute().iou_T, together.compute().iou_T)


@given(st.integers(0, 2**32 - 1))
def test_agrees_with_thresholding_every_map(seed: int) -> None:
    rng = np.random.default_rng(seed)
    map_HW = (rng.integers(0, 201, (12, 14)) / 200).astype(np.float32)
    truth_HW = rng.random((12, 14)) < 0.3
    truth_HW[0, :2] = (True, False)
    metrics = CurveMetrics()
    metrics.update(map_HW, truth_HW)
    curves = metrics.compute()
    for index in range(0, len(THRESHOLDS), 37):
        found = map_HW > np.float32(curves.thresholds_T[index])
        both, either = np.count_nonzero(found & truth_HW), np.count_nonzero(found | truth_HW)
        assert curves.iou_T[index] == both / either
        assert curves.true_positive_rate_T[index] == both / truth_HW.sum()
        assert curves.false_positive_rate_T[index] == np.count_nonzero(found & ~truth_HW) / (~truth_HW).sum()
    assert curves.auc == pytest.approx(roc_auc_score(truth_HW.ravel(), map_HW.ravel()))
    assert curves.average_precision == pytest.approx(average_precision_score(truth_HW.ravel(), map_HW.ravel()))


@pytest.mark.parametrize(("background", "target"), [((-14.0, 3.0), (6.0, 6.0)), ((-30.0, 5.0), (-8.0, 9.0))])
def test_areas_are_right_where_networks_are_sure(background: tuple[float, float], target: tuple[float, float]) -> None:
    """Logits as trained networks give them: hardly any background above 0.001, many targets above 0.999."""
    rng = np.random.default_rng(3)
    logits = np.concatenate([rng.normal(*background, 200_000), rng.normal(*target, 200)])
    probabilities = (1 / (1 + np.exp(-logits))).astype(np.float32)[None]
    truth = (np.arange(logits.size) >= 200_000)[None]
    metrics = CurveMetrics()
    metrics.update(probabilities, truth)
    curves = metrics.compute()
    assert curves.auc == pytest.approx(roc_auc_score(truth[0], probabilities[0]), abs=1e-4)
    assert curves.average_precision == pytest.approx(average_precision_score(truth[0], probabilities[0]), abs=3e-3)


def test_what_is_no_probability_is_refused() -> None:
    metrics, truth = CurveMetrics(), np.zeros((1, 2), bool)
    for wrong in ([[0.5, 1.5]], [[0.5, float("nan")]], [[-0.1, 0.0]]):
        with pytest.raises(ValueError, match=r"probabilities in \[0, 1\]"):
            metrics.update(np.array(wrong, np.float32), truth)
    with pytest.raises(ValueError, match="one shape"):
        metrics.update(np.zeros((2, 2), np.float32), truth)
    with pytest.raises(ValueError, match="bool truth"):
        metrics.update(np.zeros((1, 2), np.float32), truth.astype(np.uint8))
