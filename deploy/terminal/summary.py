"""Summary of a finished stream: a table for people, an object for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from deploy.settings.mistakes import without_secrets
from deploy.terminal.words import count, listed, seconds

if TYPE_CHECKING:
    from pipeline.runtime.progress import StreamSummary


def summary_json(summary: StreamSummary) -> dict[str, Any]:
    """The summary as one JSON object (field names of `StreamSummary`); passwords in the table's URL stay hidden."""
    return asdict(summary) | {"table": without_secrets(("table",), summary.table)}


def summary_table(summary: StreamSummary) -> Group:
    """The summary as a table for a terminal or a log."""
    progress = summary.progress
    busy_s = progress.busy_s or progress.elapsed_s
    frames_per_s = progress.frames_out / busy_s if busy_s > 0 else 0.0
    table_name: str = without_secrets(("table",), summary.table)
    rows = [
        ("rows written", f"{count(progress.frames_out)}  ({count(progress.rejected)} rejected, {count(progress.gaps)} gaps)"),
        ("detections", f"{count(progress.detections)}  {listed(summary.by_label)}".rstrip()),
        *([("suppressed", listed(progress.suppressed))] if progress.suppressed else []),
        ("sensors", listed(summary.by_sensor) or "none"),
        ("latency", f"p50 {seconds(summary.latency_p50_s)}, p99 {seconds(summary.latency_p99_s)} (message time to row visible)"),
        ("throughput", f"{frames_per_s:.1f} frames/s while there were frames: {seconds(busy_s)} of {seconds(progress.elapsed_s)}"),
        ("time per frame", ", ".join(f"{stage} {ms:.1f}" for stage, ms in summary.stage_ms_mean.items()) + " ms"),
        ("batches", ", ".join(f"{task.task} {task.batch_size_mean:.1f}" for task in progress.tasks) or "none"),
        ("generations", str(progress.generation)),
        ("table", table_name + ("" if summary.table_version is None else f"  (version {summary.table_version})")),
    ]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    verdict = (
        Text("drained: everything read has its row", style="green")
        if summary.drained
        else Text("not drained: frames in flight were dropped; the next start reads them again", style="yellow")
    )
    return Group(table, verdict)
