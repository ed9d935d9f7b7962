"""Results of the evaluation of one classifier on one data set, as text, JSON and Parquet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.result import CLUTTER
from evaluation.abstention import AbstentionCurve, abstain
from evaluation.bootstrap import Interval
from evaluation.calibration import Calibration, calibrate
from evaluation.classification import ClassificationScores, classification_scores, confusion_matrix, top_k_accuracy
from evaluation.drawing import Picture
from evaluation.results import Cost, plain
from evaluation.veto import Veto, best_veto

SIZES_PX = (0.0, 8.0, 16.0, 32.0, math.inf)
"""Edges of the strata: longer side of the box, pixels of the frame; each stratum holds its lower edge."""
COVERAGES = (0.5, 0.8, 0.9, 0.95, 1.0)
_FIGURES = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1")
INTERVALS = ("accuracy", "balanced_accuracy", "macro_f1")
_DRAWS, _TAIL = 1000, 2.5
_ROWS = pa.schema(
    [
        *((name, pa.string()) for name in ("model", "digest", "image_id")),
        ("box", pa.list_(pa.float32(), 4)),
        *((name, pa.string()) for name in ("label", "answer")),
        ("score", pa.float32()),
        ("class_scores", pa.map_(pa.string(), pa.float32())),
    ]
)


@dataclass(frozen=True, slots=True)
class SizeStratum:
    """Targets of about one size.

    Attributes:
        low, high: pixels of the longer side; `low` belongs to it.
        targets: how many.
        accuracy: share of them with the right class; NaN without any.
        score: their mean score; NaN likewise.
    """

    low: float
    high: float
    targets: int
    accuracy: float
    score: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassifierResult:
    """One classifier on one data set.

    Attributes:
        name: how it is called in tables.
        digest: of its weights.
        class_names: K of them.
        cost: what a crop costs.
        image_ids: N names of images.
        boxes_N4: pixel edges of the crops' boxes.
        true_N: true classes.
        scores_NK: of each class.
        worst: crops it is surest of and wrong, with their captions.
        attention: feature maps and gates of some crops; None of a network without adaptive attention.
    """

    name: str
    digest: str
    class_names: tuple[str, ...]
    cost: Cost
    image_ids: tuple[str, ...]
    boxes_N4: NDArray[np.float32]
    true_N: NDArray[np.int64]
    scores_NK: NDArray[np.float32]
    worst: tuple[tuple[str, Picture], ...] = field(default=())
    attention: Picture | None = None

    @cached_property
    def answered_N(self) -> NDArray[np.int64]:
        """The best class of each crop."""
        answered: NDArray[np.int64] = self.scores_NK.argmax(1).astype(np.int64)
        return answered

    @cached_property
    def scores(self) -> ClassificationScores:
        """Confusion and what follows from it."""
        return classification_scores(confusion_matrix(self.true_N, self.answered_N, len(self.class_names)))

    @property
    def top2(self) -> float:
        """Share of targets whose class is one of the two best."""
        return top_k_accuracy(self.true_N, self.scores_NK, 2)

    @cached_property
    def calibration(self) -> Calibration:
        """Scores of the best classes as probabilities."""
        return calibrate(self._best_N, self.answered_N == self.true_N)

    @cached_property
    def abstention(self) -> AbstentionCurve:
        """Accuracy against coverage."""
        return abstain(self._best_N, self.answered_N == self.true_N)

    @cached_property
    def veto(self) -> Veto | None:
        """The veto by its clutter score that costs few targets; None where it has no such class, or there are no false alarms."""
        if CLUTTER not in self.class_names:
            return None
        clutter = self.class_names.index(CLUTTER)
        if not (self.true_N == clutter).any():
            return None
        return best_veto(self.scores_NK[:, clutter], self.true_N == clutter)

    @property
    def _best_N(self) -> NDArray[np.float64]:
        best: NDArray[np.float64] = self.scores_NK.max(1, initial=0.0).astype(np.float64)
        return best.clip(max=1.0)

    @property
    def sides_px_N(self) -> NDArray[np.float32]:
        """Longer sides of the boxes."""
        sides: NDArray[np.float32] = (self.boxes_N4[:, 2:] - self.boxes_N4[:, :2]).max(1, initial=0.0)
        return sides

    def sizes(self) -> list[SizeStratum]:
        """Figures by the longer side of the box."""
        sides_N, right_N, best_N = self.sides_px_N, self.answered_N == self.true_N, self._best_N
        strata = []
        for low, high in pairwise(SIZES_PX):
            inside_N = (sides_N >= low) & (sides_N < high)
            num = int(inside_N.sum())
            figures = (float(right_N[inside_N].mean()), float(best_N[inside_N].mean())) if num else (math.nan, math.nan)
            strata.append(SizeStratum(low, high, num, *figures))
        return strata

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """95 % intervals of `INTERVALS`: bootstrap over images, because crops of one image look alike."""
        _, images_N = np.unique(np.array(self.image_ids, object).astype(str), return_inverse=True)
        num_images, num_classes = int(images_N.max(initial=-1)) + 1, len(self.class_names)
        counts_IKK = np.zeros((num_images, num_classes, num_classes), np.int64)
        np.add.at(counts_IKK, (images_N, self.true_N, self.answered_N), 1)
        drawn: dict[str, list[float]] = {name: [] for name in INTERVALS}
        rng = np.random.default_rng(0)
        for _ in range(_DRAWS if num_images else 0):
            weights_I = np.bincount(rng.integers(num_images, size=num_images), minlength=num_images)
            scores = classification_scores(np.tensordot(weights_I, counts_IKK, 1))
            for name in INTERVALS:
                drawn[name].append(getattr(scores, name))
        found = {}
        for name, values in drawn.items():
            known = [value for value in values if math.isfinite(value)]
            low, high = np.percentile(known, [_TAIL, 100 - _TAIL]).tolist() if known else (math.nan, math.nan)
            found[name] = Interval(float(getattr(self.scores, name)), low, high)
        return found

    def as_json(self) -> dict[str, Any]:
        """Everything but the single crops; NaN as None."""
        scores, calibration, curve = self.scores, self.calibration, self.abstention
        figures = {name: float(getattr(scores, name)) for name in _FIGURES} | {"top2": self.top2, "ece": calibration.ece}
        figures |= {"ece_mass": calibration.ece_mass, "aurc": curve.aurc}
        by_class = {
            name: {"targets": int(scores.confusion_KK[index].sum())}
            | {what: _finite(float(getattr(scores, f"{what}_K")[index])) for what in ("precision", "recall", "f1")}
            for index, name in enumerate(self.class_names)
        }
        abstention = [dict(zip(("coverage", "score", "accuracy"), (each, *curve.at_coverage(each)), strict=True)) for each in COVERAGES]
        return {
            "name": self.name,
            "digest": self.digest,
            "targets": len(self.true_N),
            "scores": {name: _finite(value) for name, value in figures.items()},
            "intervals": {name: plain(each) for name, each in self.intervals.items()},
            "classes": by_class,
            "confusion": {"classes": list(self.class_names), "rows_are_truth": scores.confusion_KK.tolist()},
            "reliability": [plain(each) for each in calibration.widths],
            "abstention": [{name: _finite(value) for name, value in each.items()} for each in abstention],
            "by_size_px": [plain(each) for each in self.sizes()],
            "veto": None if self.veto is None else plain(self.veto),
            "cost": plain(self.cost),
        }


def class_rows(results: Sequence[ClassifierResult]) -> pa.Table:
    """One row for each crop and classifier."""
    rows = [
        {
            "model": result.name,
            "digest": result.digest,
            "image_id": result.image_ids[index],
            "box": result.boxes_N4[index].tolist(),
            "label": result.class_names[result.true_N[index]],
            "answer": result.class_names[result.answered_N[index]],
            "score": float(result.scores_NK[index].max()),
            "class_scores": list(zip(result.class_names, result.scores_NK[index].tolist(), strict=True)),
        }
        for result in results
        for index in range(len(result.true_N))
    ]
    return pa.Table.from_pylist(rows, schema=_ROWS)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
