"""The suite `robust` as one HTML page that needs no other file and no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from evaluation.bootstrap import Interval
from evaluation.found import RATES
from evaluation.plots import figure_uri
from evaluation.report import page_template
from evaluation.robust_plots import change_bars, found_curves, reliability
from evaluation.robustness import UNTOUCHED, FoundOn, RobustResult

# Name, column, factor, digits, whether more is better.
_FIGURES = (
    ("iou", "IoU %", 100, 1, True),
    ("niou", "nIoU %", 100, 1, True),
    ("pd", "Pd %", 100, 1, True),
    ("fa", "Fa, 1e-6", 1e6, 1, False),
)


def render_robust(results: Sequence[RobustResult], *, title: str, lead: str, foot: str = "") -> str:
    """The page.

    Args:
        results: one or several networks on the same images.
        title: of the page.
        lead: what was measured, and what was not there.
        foot: how to make it again.

    Raises:
        ValueError: no network, or they were not measured on the same sets.
    """
    if not results:
        raise ValueError("expected at least one network")
    if len({tuple((each.dataset, each.curve.num_frames) for each in result.found) for result in results}) > 1:
        raise ValueError("expected all networks on the same images")
    plots = [("Targets found against false alarms", found_curves(results)), ("Reliability of scores", reliability(results))]
    plots += [("What changes do to masks", change_bars(results))] if results[0].changed else []
    return page_template("robust.html").render(
        title=title,
        lead=lead,
        foot=foot,
        rates=[f"{rate:g}" for rate in RATES],
        found=[_found_table(results, index) for index in range(len(results[0].found))],
        plots={name: figure_uri(figure) for name, figure in plots},
        figure_heads=[head for _, head, *_ in _FIGURES],
        changed=[_changed_table(result, index) for index in range(len(results[0].changed)) for result in results],
    )


def _found_table(results: Sequence[RobustResult], index: int) -> dict[str, Any]:
    first = results[0].found[index].curve
    rate = "nothing" if math.isinf(first.lowest_rate) else f"{first.lowest_rate:.2g}"
    return {
        "title": results[0].found[index].dataset,
        "note": f"{first.num_targets} targets in {first.num_frames} frames; fewest false alarms a frame that can be measured: {rate}",
        "rows": [_found_row(result.name, result.found[index]) for result in results],
    }


def _found_row(name: str, each: FoundOn) -> list[str]:
    return [
        name,
        "learnt from" if each.learnt else "unseen",
        *(_number(each.curve.at(rate).pd, 100, 1) for rate in RATES),
        _number(each.calibration.ece, 1, 3),
        _number(each.calibration.ece_mass, 1, 3),
        str(each.curve.num_detections),
        _number(each.pd_in_use, 100, 1),
        _number(each.false_in_use, 1, 2),
        _number(each.calibration_in_use.ece, 1, 3),
    ]


def _changed_table(result: RobustResult, index: int) -> dict[str, Any]:
    each = result.changed[index]
    untouched = each.figures[UNTOUCHED]
    rows = [{"name": UNTOUCHED, "cells": [_cell(untouched[name], factor, digits) for name, _, factor, digits, _ in _FIGURES]}]
    for change in each.changes:
        differences = each.differences[change]
        cells = [
            _cell(differences[name], factor, digits)
            | {"kind": _kind(differences[name], better), "text": _signed(differences[name], factor)}
            for name, _, factor, digits, better in _FIGURES
        ]
        rows.append({"name": change, "cells": cells})
    seen = "learnt from its training images" if each.learnt else "unseen"
    return {"title": f"{each.dataset}, {result.name} ({len(each.image_ids)} images; {seen})", "rows": rows}


def _kind(interval: Interval, more_is_better: bool) -> str:
    if not interval.excludes_zero:
        return ""
    return "sure" if (interval.value > 0) == more_is_better else "worse"


def _cell(interval: Interval, factor: float, digits: int) -> dict[str, str]:
    low, high = (_number(each, factor, digits) for each in (interval.low, interval.high))
    return {"text": _number(interval.value, factor, digits), "interval": f"{low} to {high}", "kind": ""}


def _signed(interval: Interval, factor: float) -> str:
    return "-" if math.isnan(interval.value) else f"{interval.value * factor:+.1f}"


def _number(value: float, factor: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value * factor:.{digits}f}"
