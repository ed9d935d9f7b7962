"""An evaluation as one HTML page that needs no other file and no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import resources
from itertools import combinations
from typing import TYPE_CHECKING, Any

from evaluation.bootstrap import Interval, paired_differences
from evaluation.plots import accuracy_against_cost, figure_uri, picture_uri, rate_curves, strata_bars, threshold_curves
from evaluation.results import Cost, ModelResult

if TYPE_CHECKING:
    from jinja2 import Template

# Name, column, factor, digits, whether more is better.
_FIGURES = (
    ("iou", "IoU %", 100, 2, True),
    ("niou", "nIoU %", 100, 2, True),
    ("pd", "Pd %", 100, 2, True),
    ("fa", "Fa, 1e-6", 1e6, 1, False),
)
_PLAIN_HEADS = ("F1 %", "precision %", "recall %", "threshold", "parameters", "GMACs", "ms")


def render_report(results: Sequence[ModelResult], *, title: str, lead: str, foot: str = "") -> str:
    """The page.

    Args:
        results: one or several networks on the same images.
        title: of the page.
        lead: what was evaluated, in a sentence.
        foot: how to make it again.

    Raises:
        ValueError: no network, or they were not evaluated on the same images.
    """
    if not results:
        raise ValueError("expected at least one network")
    if len({tuple(row.image_id for row in result.rows) for result in results}) > 1:
        raise ValueError("expected all networks on the same images")
    page = page_template("report.html")
    plots = [
        ("Curves by pixel", rate_curves(results)),
        ("Thresholds", threshold_curves(results)),
        ("By size of the target", strata_bars(results, "sizes")),
        ("By contrast of the target", strata_bars(results, "contrasts")),
    ]
    if len(results) > 1:
        plots.insert(0, ("Accuracy against cost", accuracy_against_cost(results)))
    return page.render(
        title=title,
        lead=lead,
        foot=foot,
        matching=_matching(results[0]),
        timing=_timing(results[0].cost),
        figure_heads=[*(head for _, head, *_ in _FIGURES), *_PLAIN_HEADS],
        figures=_figure_rows(results),
        difference_heads=[head for _, head, *_ in _FIGURES],
        differences=[_difference_row(one, other) for one, other in combinations(results, 2)],
        plots=[{"title": name, "uri": figure_uri(figure)} for name, figure in plots],
        strata=[_strata(results, "sizes"), _strata(results, "contrasts")],
        worst=[
            {
                "name": result.name,
                "frames": [{"uri": picture_uri(each.picture), "image_id": each.image_id, "caption": each.caption} for each in result.worst],
            }
            for result in results
            if result.worst
        ],
    )


def page_template(name: str) -> Template:
    """A page of this folder, to be filled."""
    import jinja2

    folder = resources.files("evaluation")
    loader = jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8"))
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, loader=loader).get_template(name)


def _matching(result: ModelResult) -> str:
    unit = "equivalent diameters of the target" if result.protocol.in_diameters else "px"
    return f"A target counts as found when the centroid of an answer is closer than {result.protocol.max_distance:g} {unit}."


def _timing(cost: Cost) -> str:
    return f"GMACs and ms (median, batch 1) are for one frame of {cost.input_px} x {cost.input_px} px, on {cost.device}."


def _figure_rows(results: Sequence[ModelResult]) -> list[dict[str, Any]]:
    found = [result.intervals() for result in results]
    best = {
        name: (max if better else min)((each[name].value for each in found if not math.isnan(each[name].value)), default=math.nan)
        for name, _, _, _, better in _FIGURES
    }
    rows = []
    for result, mine in zip(results, found, strict=True):
        cells = [
            {
                "text": _number(mine[name].value, factor, digits),
                "interval": _range(mine[name], factor, digits),
                "best": len(results) > 1 and mine[name].value == best[name],
            }
            for name, _, factor, digits, _ in _FIGURES
        ]
        plain = [
            _number(result.scores.f1, 100, 2),
            _number(result.scores.precision, 100, 2),
            _number(result.scores.recall, 100, 2),
            f"{result.threshold:g}",
            f"{result.cost.parameters:,}",
            f"{result.cost.gmacs:.3f}",
            f"{result.cost.latency_ms:.1f}",
        ]
        rows.append({"name": result.name, "cells": cells + [{"text": text, "interval": "", "best": False} for text in plain]})
    return rows


def _difference_row(one: ModelResult, other: ModelResult) -> dict[str, Any]:
    differences = paired_differences(one.counts, other.counts)
    cells = []
    for name, _, factor, digits, better in _FIGURES:
        each = differences[name]
        kind = "" if not each.excludes_zero else "sure" if (each.value > 0) == better else "worse"
        text = _number(each.value, factor, digits)
        cells.append({"text": text if text.startswith("-") else f"+{text}", "interval": _range(each, factor, digits), "kind": kind})
    return {"name": f"{other.name} - {one.name}", "cells": cells}


def _strata(results: Sequence[ModelResult], by: str) -> dict[str, Any]:
    tables = [result.sizes() if by == "sizes" else result.contrasts() for result in results]
    rows = []
    for index, first in enumerate(tables[0]):
        low = "up to" if math.isinf(first.low) or first.low == 0 else f"{first.low:g} to"
        name = f"above {first.low:g}" if math.isinf(first.high) else f"{low} {first.high:g}"
        cells = [(_number(table[index].pd, 100, 1), _number(table[index].iou, 100, 1)) for table in tables]
        rows.append([name, str(first.targets), *(text for pair in cells for text in pair)])
    size = by == "sizes"
    return {
        "title": "Targets by area" if size else "Targets by signal-to-clutter ratio",
        "first": "area, px" if size else "SCR",
        "names": [result.name for result in results],
        "rows": rows,
    }


def _number(value: float, factor: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value * factor:.{digits}f}"


def _range(interval: Interval, factor: float, digits: int) -> str:
    return f"{_number(interval.low, factor, digits)} to {_number(interval.high, factor, digits)}"
