"""An evaluation of segmenters for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from deploy.terminal.consoles import SafeConsole, answer_console
from evaluation.bootstrap import paired_differences
from evaluation.results import plain

if TYPE_CHECKING:
    from evaluation.bootstrap import Interval
    from evaluation.results import ModelResult
    from training.report.evaluate import EvaluationPlan


def evaluation_json(results: Sequence[ModelResult], plan: EvaluationPlan) -> dict[str, Any]:
    """Conditions of the measurement, and all figures of each network with their differences to the first."""
    how = {"protocol": plan.protocol, "flips": plan.flips, "threshold_from": "card" if plan.threshold is None else "--threshold"}
    return how | {"models": [result.as_json() | {"difference": _difference(results[0], result)} for result in results]}


def _difference(first: ModelResult, result: ModelResult) -> dict[str, Any] | None:
    """Figures less those of the first network, with paired intervals; None of the first itself."""
    if result is first:
        return None
    return {name: plain(each) for name, each in paired_differences(first.counts, result.counts).items()}


def remarks(plan: EvaluationPlan) -> str:
    """Remarks about what is unusual in an evaluation, to go on with after its first line; empty when nothing is."""
    settings = [f"protocol {plan.protocol}"] * (plan.protocol != "default") + ["mean over four flips"] * plan.flips
    settings += [] if plan.threshold is None else [f"threshold {plan.threshold:g} instead of the card's"]
    return "".join(f"; {each}" for each in settings)


def print_evaluation(lead: str, results: Sequence[ModelResult]) -> None:
    """On stdout: a line about the images, then the figures.

    Args:
        lead: the line.
        results: of each network.
    """
    SafeConsole(soft_wrap=True, markup=False, width=answer_console().width).print(lead, _table(results), sep="\n")


def _table(results: Sequence[ModelResult]) -> Table:
    """One column a network: a row of figures with intervals would not fit a terminal."""
    table = Table("", *(result.name for result in results), box=None, pad_edge=False)
    columns = [_column(result) for result in results]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    return table


def _column(result: ModelResult) -> dict[str, str]:
    scores, found, cost = result.scores, result.intervals(), result.cost
    column = {f"{title} %": _figure(found[name], 100, 2) for title, name in (("IoU", "iou"), ("nIoU", "niou"), ("Pd", "pd"))}
    return column | {
        "Fa 1e-6": _figure(found["fa"], 1e6, 1),
        "F1 %": _number(scores.f1, 100, 2),
        "precision %": _number(scores.precision, 100, 2),
        "recall %": _number(scores.recall, 100, 2),
        "ROC area %": _number(result.curves.auc, 100, 3),
        "average precision %": _number(result.curves.average_precision, 100, 2),
        "threshold": f"{result.threshold:g}",
        "parameters": f"{cost.parameters:,}",
        f"GMACs at {cost.input_px} px": f"{cost.gmacs:.3f}",
        "ms, median": f"{cost.latency_ms:.1f}",
    }


def _figure(interval: Interval, factor: float, digits: int) -> str:
    low, high = (_number(each, factor, digits - 1) for each in (interval.low, interval.high))
    return _number(interval.value, factor, digits) + ("" if math.isnan(interval.low) else f" [{low}, {high}]")


def _number(value: float, factor: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value * factor:.{digits}f}"
