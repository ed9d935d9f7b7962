"""The suite `robust` for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from deploy.terminal.consoles import SafeConsole, answer_console
from evaluation.found import RATES
from evaluation.robustness import UNTOUCHED

if TYPE_CHECKING:
    from evaluation.bootstrap import Interval
    from evaluation.robustness import FoundOn, RobustResult

_WIDTH = 120


def suite_json(results: Sequence[RobustResult], *, sets: Mapping[str, int], missing: Sequence[str], every: int) -> dict[str, Any]:
    """Conditions of the measurement, and all figures of each network."""
    how = {"suite": "robust", "every": every, "images": dict(sets), "missing": list(missing)}
    return how | {"models": [result.as_json() for result in results]}


def suite_lead(sets: Mapping[str, int], missing: Sequence[str], every: int, threshold: float | None, flips: bool) -> str:
    """A sentence about what is measured, and what is not there."""
    images = ", ".join(f"{name} ({num} images)" for name, num in sets.items())
    parts = [f"Suite robust on {images}"] + [f"one of {every} images of each set: a sample, no final figures"] * (every != 1)
    parts += [f"missing: {', '.join(missing)}"] * bool(missing) + ["mean over four flips"] * flips
    parts += [] if threshold is None else [f"threshold {threshold:g} instead of the card's"]
    return "; ".join(parts) + "."


def print_suite(results: Sequence[RobustResult]) -> None:
    """On stdout: for each network what changes do to its masks, and what it finds."""
    wide = max(answer_console().width, _WIDTH)  # a table that is cut hides figures
    console = SafeConsole(soft_wrap=True, markup=False, highlight=False, width=wide)
    for result in results:
        console.print(f"\n{result.name}: nIoU in %, and what each change adds to it, with 95 % intervals (threshold {result.threshold:g})")
        console.print(_changed_table(result))
        console.print(
            f"\n{result.name}: Pd in % by centre, by false alarms a frame; calibration error; both at the network's own threshold"
        )
        console.print(_found_table(result))


def _changed_table(result: RobustResult) -> Table:
    table = Table("", *(each.dataset for each in result.changed), box=None, pad_edge=False)
    table.add_row(UNTOUCHED, *(_figure(each.figures[UNTOUCHED]["niou"]) for each in result.changed))
    for change in result.changed[0].changes if result.changed else ():
        table.add_row(change, *(_figure(each.differences[change]["niou"], sign="+") for each in result.changed))
    return table


def _found_table(result: RobustResult) -> Table:
    rates = [f"{rate:g}" for rate in RATES]
    table = Table("", "frames", "targets", *rates, "error", "in use: Pd", "false a frame", "error", box=None, pad_edge=False)
    for each in result.found:
        table.add_row(*_found_row(each))
    return table


def _found_row(each: FoundOn) -> list[str]:
    name = f"{each.dataset} ({'learnt from' if each.learnt else 'unseen'})"
    return [
        name,
        str(each.curve.num_frames),
        str(each.curve.num_targets),
        *(_number(each.curve.at(rate).pd, 100, 1) for rate in RATES),
        _number(each.calibration.ece, 1, 3),
        _number(each.pd_in_use, 100, 1),
        _number(each.false_in_use, 1, 2),
        _number(each.calibration_in_use.ece, 1, 3),
    ]


def _figure(interval: Interval, sign: str = "") -> str:
    value, low, high = (f"{each * 100:{sign}.1f}" for each in (interval.value, interval.low, interval.high))
    return "-" if math.isnan(interval.value) else f"{value} [{low}, {high}]"


def _number(value: float, factor: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value * factor:.{digits}f}"
