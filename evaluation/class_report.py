"""An evaluation of classifiers as one HTML page that needs no other file and no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.class_results import INTERVALS, ClassifierResult
from evaluation.fold_plots import confusion, reliability
from evaluation.plots import bare_figure, figure_uri, picture_uri
from evaluation.report import page_template
from evaluation.veto import Veto

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEADS = (
    *("crops", "accuracy %", "balanced accuracy %", "macro precision %", "macro recall %", "macro F1 %", "top 2 %"),
    *("ECE", "parameters", "GMACs", "ms"),
)


def render_class_report(results: Sequence[ClassifierResult], *, title: str, lead: str, foot: str = "") -> str:
    """The page.

    Args:
        results: one or several classifiers.
        title: of the page.
        lead: what was evaluated, in a sentence.
        foot: how to make it again.

    Raises:
        ValueError: no classifier.
    """
    if not results:
        raise ValueError("expected at least one classifier")
    cost = results[0].cost
    return page_template("classes.html").render(
        title=title,
        lead=lead,
        foot=foot,
        timing=f"GMACs and ms (median, batch 1) are for one crop, on {cost.device}.",
        figure_heads=_HEADS,
        figures=[_figures(each) for each in results],
        curve=figure_uri(abstention_curves(results)),
        sizes=figure_uri(size_bars(results)),
        size_rows=_size_rows(results),
        parts=[_part(each) for each in results],
        names=[each.name for each in results],
    )


def _figures(result: ClassifierResult) -> dict[str, Any]:
    scores, intervals = result.scores, result.intervals
    cells = [{"text": str(len(result.true_N)), "interval": ""}]
    for name in ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1"):
        low_high = f"{_percent(intervals[name].low)} to {_percent(intervals[name].high)}" if name in INTERVALS else ""
        cells.append({"text": _percent(getattr(scores, name)), "interval": low_high})
    cost = result.cost
    rest = (_percent(result.top2), _number(result.calibration.ece), f"{cost.parameters:,}", f"{cost.gmacs:.3f}", f"{cost.latency_ms:.2f}")
    return {"name": result.name, "cells": cells + [{"text": text, "interval": ""} for text in rest]}


def _part(result: ClassifierResult) -> dict[str, Any]:
    scores, veto = result.scores, result.veto
    classes = [
        (name, str(int(scores.confusion_KK[index].sum())), *(_percent(column[index]) for column in _columns(result)))
        for index, name in enumerate(result.class_names)
    ]
    return {
        "name": result.name,
        "classes": classes,
        "confusion": figure_uri(confusion(result.class_names, scores.confusion_KK)),
        "reliability": figure_uri(reliability(result.calibration)),
        "veto": None if veto is None else _veto_words(veto),
        "attention": None if result.attention is None else picture_uri(result.attention),
        "worst": [{"caption": caption, "uri": picture_uri(picture)} for caption, picture in result.worst],
    }


def _veto_words(veto: Veto) -> str:
    alarms, targets = f"{_percent(veto.vetoed)} % of {veto.false_alarms} false alarms", f"{_percent(veto.lost)} % of {veto.targets} targets"
    return f"A veto from a clutter score of {_number(veto.score)} on (stream.clutter_veto) removes {alarms} and {targets}."


def _columns(result: ClassifierResult) -> tuple[Any, Any, Any]:
    return result.scores.precision_K, result.scores.recall_K, result.scores.f1_K


def abstention_curves(results: Sequence[ClassifierResult]) -> Figure:
    """Accuracy against the share of crops that are named; the dot: names from a score of 0.5 on, the stream's default."""
    figure, (axis,) = bare_figure(7, 4)
    for result in results:
        curve = result.abstention
        (line,) = axis.plot(curve.coverage_T, curve.accuracy_T, label=f"{result.name} (risk area {curve.aurc:.3f})")
        coverage, accuracy = curve.at_score(0.5)
        axis.plot([coverage], [accuracy], "o", color=line.get_color())
    axis.set(xlabel="coverage: share of crops that are named", ylabel="accuracy of the named", xlim=(0, 1.02))
    axis.legend(fontsize=8)
    return figure


def size_bars(results: Sequence[ClassifierResult]) -> Figure:
    """Accuracy by the longer side of the box."""
    figure, (axis,) = bare_figure(7, 3.6)
    strata = results[0].sizes()
    width = 0.8 / len(results)
    for index, result in enumerate(results):
        places = np.arange(len(strata)) - 0.4 + width * (index + 0.5)
        axis.bar(places, [0.0 if math.isnan(each.accuracy) else each.accuracy for each in result.sizes()], width, label=result.name)
    axis.set_xticks(range(len(strata)), [f"{_size(each.low, each.high)}\n{each.targets} crops" for each in strata], fontsize=8)
    axis.set(ylim=(0, 1.02), ylabel="accuracy", xlabel="longer side of the box, px")
    axis.legend(fontsize=8)
    return figure


def _size_rows(results: Sequence[ClassifierResult]) -> list[list[str]]:
    tables = [result.sizes() for result in results]
    return [
        [_size(first.low, first.high), str(first.targets)]
        + [text for table in tables for text in (_percent(table[index].accuracy), _number(table[index].score))]
        for index, first in enumerate(tables[0])
    ]


def _size(low: float, high: float) -> str:
    return f"from {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
