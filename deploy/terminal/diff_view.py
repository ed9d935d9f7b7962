"""A comparison of two runs for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from deploy.terminal.consoles import answer_console

if TYPE_CHECKING:
    from evaluation.run_diff import FrameDiff, Sums
    from pipeline.ops.diff import Comparison

_SHOWN_SENSORS = 10


def diff_json(run_a: str, run_b: str, comparison: Comparison, frames: Sequence[FrameDiff]) -> dict[str, Any]:
    """The comparison as an object: sums, by sensor, by label, by time."""
    from evaluation.diff_page import by_label, by_sensor, by_time
    from evaluation.run_diff import sums_of

    return {
        "run_a": run_a,
        "run_b": run_b,
        "match_by": comparison.match_by,
        "only_rows_a": comparison.only_a,
        "only_rows_b": comparison.only_b,
        **_plain(sums_of(frames)),
        "by_sensor": {name: _plain(each) for name, each in by_sensor(frames).items()},
        "by_label": by_label(frames),
        "by_time": {moment.isoformat(): _plain(each) for moment, each in by_time(frames).items()},
    }


def _plain(sums: Sums) -> dict[str, Any]:
    return asdict(sums) | {"change": sums.change}


def print_diff(run_a: str, run_b: str, comparison: Comparison, frames: Sequence[FrameDiff], files: Sequence[Path]) -> None:
    """On stdout: the sums, by sensor and by class, and the files that were written."""
    from evaluation.diff_page import by_label, by_sensor
    from evaluation.run_diff import sums_of

    console = answer_console()
    sums, sensors, labels = sums_of(frames), by_sensor(frames), by_label(frames)
    table = _table("sensor", "change", "frames", "changed", "A", "B", "both", "only A", "only B", "renamed", "other status")
    shown = [("all", sums), *list(sensors.items())[:_SHOWN_SENSORS]] if len(sensors) > 1 else [("all", sums)]
    for name, each in shown:
        counts = (each.frames, each.changed_frames, each.num_a, each.num_b, each.matched, each.only_a, each.only_b, each.relabelled)
        table.add_row(name, f"{100 * each.change:.1f} %", *(f"{number:,}" for number in (*counts, each.restated)))
    console.print(table)
    if len(sensors) > _SHOWN_SENSORS:
        console.print(f"and {len(sensors) - _SHOWN_SENSORS:,} more sensors, which changed less")
    if labels:
        by_class = _table("label", "both", "only A", "only B", "A's renamed", "B's renamed")
        for name, counts_of in labels.items():
            by_class.add_row(name, *(f"{counts_of[key]:,}" for key in ("both", "only_a", "only_b", "from", "to")))
        console.print(by_class)
    way = "their positions" if comparison.match_by == "position" else "sensor, frame id and capture time"
    console.print(f"A is {run_a}, B is {run_b}; frames are matched by {way}", markup=False)
    if comparison.only_a or comparison.only_b:
        console.print(f"rows without a partner: {comparison.only_a:,} of A, {comparison.only_b:,} of B; they are not compared")
    mean = f"; scores of the same target differ by {sums.score_change:.3f}, centroids by {sums.distance_px:.2f} px (means)"
    console.print(f"{100 * sums.change:.1f} % of the targets differ{mean if sums.matched else ''}")
    for path in files:
        console.print(f"written: {path}", markup=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right")
    return table
