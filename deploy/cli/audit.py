"""`irstream audit`: is there exactly one row for every message? Reads the broker and the table only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from deploy.cli.options import (
    BootstrapOption,
    ConfigOption,
    JsonOption,
    ReasonOption,
    ReplayOfOption,
    RunIdOption,
    TableOption,
    TopicOption,
    load,
    print_json,
    reasons_of,
)

if TYPE_CHECKING:
    from contracts.position import OffsetRange
    from pipeline.ops.audit import PartitionAudit

app = typer.Typer(pretty_exceptions_enable=False)
# Field, and what it means to whoever has to act on it.
_FAULTS = (
    ("lost", "no row for a message that is in the log"),
    ("doubled", "more than one row for an offset"),
    ("beyond", "rows at or beyond the watermark: a restart would write them again"),
    ("unproved", "no row, and retention has deleted what stood there: a loss, unless it was a transaction marker or compacted"),
)
_SHOWN = 5
_WIDTH = 120


@app.command()
def audit(
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    topic: TopicOption = None,
    table: TableOption = None,
    run_id: RunIdOption = None,
    replay_of: ReplayOfOption = None,
    reason: ReasonOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that every message up to the table's watermark has exactly one row; a stream may be writing meanwhile.

    Exit code 1 on any loss or double.
    """
    from rich.console import Console

    from pipeline.ops.audit import audit as audit_partitions
    from pipeline.ops.replay import rejected_offsets
    from pipeline.table.delta import open_results

    if reason and not replay_of:
        raise typer.BadParameter("only with --replay-of", param_hint="--reason")
    settings = load(config, bootstrap_servers=bootstrap_servers, topic=topic, table=table, run_id=run_id).settings
    results = open_results(settings.sink.table, settings.sink.plain_storage_options())
    selected_offsets = None if replay_of is None else rejected_offsets(results, replay_of, settings.kafka.topic, reasons_of(reason))
    found: list[PartitionAudit] = []
    with Console(stderr=True).status(f"auditing {settings.kafka.topic}") as status:
        for each in audit_partitions(settings.kafka, results, settings.run_id, selected_offsets):
            found.append(each)
            status.update(f"auditing {settings.kafka.topic}: {len(found)} partitions")
    clean = all(each.clean for each in found)
    if as_json:
        run = {"run_id": settings.run_id, "topic": settings.kafka.topic, "table_version": results.version(), "clean": clean}
        print_json(run | {"partitions": [_plain(each) for each in found]})
    else:
        console = Console(soft_wrap=True)
        console.width = max(console.width, _WIDTH)  # a pipe has 80 columns, too few for the table
        _show(console, found, f"run {settings.run_id}, table version {results.version()}")
    if not clean:
        raise typer.Exit(1)


def _plain(each: PartitionAudit) -> dict[str, Any]:
    counts = {name: sum(map(len, getattr(each, name))) for name, _ in _FAULTS}
    first = {f"first_{name}": [str(span) for span in getattr(each, name)[:_SHOWN]] for name, _ in _FAULTS}
    return {name: value for name, value in asdict(each).items() if name not in counts} | {"expected": each.expected} | counts | first


def _show(console: Any, found: Sequence[PartitionAudit], where: str) -> None:
    from rich.table import Table

    columns = ("partition", "log", "watermark", "expected", "ok", "rejected", "gaps", "empty", *(name for name, _ in _FAULTS))
    shown = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for each in found:
        next_offset = "-" if each.watermark is None else f"{each.watermark:,}"
        counts = (
            each.expected,
            each.ok,
            each.rejected,
            each.gaps,
            each.empty,
            *(sum(map(len, getattr(each, name))) for name, _ in _FAULTS),
        )
        shown.add_row(str(each.partition), f"{each.log_start:,}..{each.log_end:,}", next_offset, *(f"{count:,}" for count in counts))
    console.print(shown)
    for name, meaning in _FAULTS:
        spans = [span for each in found for span in getattr(each, name)]
        if spans:
            more = f" and {len(spans) - _SHOWN:,} more" if len(spans) > _SHOWN else ""
            console.print(f"[red]{name}[/red] ({meaning}): {', '.join(map(_spelt, spans[:_SHOWN]))}{more}")
    total = sum(each.expected for each in found)
    if all(each.clean for each in found):
        console.print(f"clean: each of {total:,} positions up to the watermark has exactly one row ({where})")
    else:
        console.print(f"[red]not clean[/red]: {total:,} positions expected ({where})")


def _spelt(span: OffsetRange) -> str:
    last = f"..{span.stop - 1}" if len(span) > 1 else ""
    return f"{span.topic_partition}/{span.start}{last}"
