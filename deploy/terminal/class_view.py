"""An evaluation of classifiers for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from deploy.terminal.consoles import SafeConsole, answer_console

if TYPE_CHECKING:
    from evaluation.class_results import ClassifierResult

_FIGURES = {
    "accuracy %": "accuracy",
    "balanced accuracy %": "balanced_accuracy",
    "macro precision %": "macro_precision",
    "macro recall %": "macro_recall",
    "macro F1 %": "macro_f1",
}


def print_classes(lead: str, results: Sequence[ClassifierResult]) -> None:
    """On stdout: a line about the images, then the figures, a column a network.

    Args:
        lead: the line.
        results: of each network.
    """
    table = Table("", *(result.name for result in results), box=None, pad_edge=False)
    columns = [_column(result) for result in results]
    for name in dict.fromkeys(name for column in columns for name in column):
        table.add_row(name, *(column.get(name, "-") for column in columns))
    SafeConsole(soft_wrap=True, markup=False, width=answer_console().width).print(lead, table, sep="\n")


def _column(result: ClassifierResult) -> dict[str, str]:
    scores, intervals, curve = result.scores, result.intervals, result.abstention
    column = {}
    for title, name in _FIGURES.items():
        text = _percent(getattr(scores, name))
        if name in intervals and math.isfinite(intervals[name].low):
            text += f" [{_percent(intervals[name].low)}, {_percent(intervals[name].high)}]"
        column[title] = text
    coverage, accuracy = curve.at_score(0.5)
    column |= {
        "top 2 %": _percent(result.top2),
        "calibration error": _number(result.calibration.ece),
        "named from 0.5 on %": _percent(coverage),
        "accuracy of these %": _percent(accuracy),
    }
    for stratum in result.sizes():
        reach = f"from {stratum.low:g}" if math.isinf(stratum.high) else f"{stratum.low:g} to {stratum.high:g}"
        column[f"accuracy, {reach} px %"] = f"{_percent(stratum.accuracy)} of {stratum.targets}"
    column |= {f"F1 of {name} %": _percent(f1) for name, f1 in zip(result.class_names, scores.f1_K, strict=True)}
    if result.veto is not None:
        veto = result.veto
        column["clutter vetoed %"] = f"{_percent(veto.vetoed)} from {_number(veto.score)} on, {_percent(veto.lost)} of targets lost"
    cost = result.cost
    return column | {"parameters": f"{cost.parameters:,}", "GMACs": f"{cost.gmacs:.3f}", "ms a crop, median": f"{cost.latency_ms:.2f}"}


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
