"""An audit for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from deploy.terminal.consoles import answer_console

if TYPE_CHECKING:
    from contracts.position import OffsetRange
    from pipeline.ops.audit import PartitionAudit

# Field, and what it means to whoever has to act on it.
_FAULTS = (
    ("lost", "no row for a message that is in the log, or for a position of an archive"),
    ("doubled", "more than one row for an offset"),
    ("beyond", "rows at or beyond the watermark: a restart would write them again"),
    ("unproved", "no row, and retention has deleted what stood there: a loss, unless it was a transaction marker or compacted"),
)
_SHOWN = 5
_LEAST_COLUMNS = 120


def audit_json(each: PartitionAudit) -> dict[str, Any]:
    """One partition as an object for programs: its counts, and the first places of each fault."""
    counts = {name: sum(map(len, getattr(each, name))) for name, _ in _FAULTS}
    first = {f"first_{name}": [str(span) for span in getattr(each, name)[:_SHOWN]] for name, _ in _FAULTS}
    return {name: value for name, value in asdict(each).items() if name not in counts} | {"expected": each.expected} | counts | first


def print_audit(found: Sequence[PartitionAudit], where: str, *, whole_range: bool = False, share: float | None = None) -> None:
    """On stdout: a row a partition, the first places of each fault, and the verdict.

    Args:
        found: of each partition.
        where: run and table version, for the last line.
        whole_range: True for an archive run, whose range is known.
        share: of the positions, for a shadow.
    """
    console = answer_console()
    console.width = max(console.width, _LEAST_COLUMNS)  # a pipe has 80 columns, too few for the table
    console.print(_table(found))
    for name, meaning in _FAULTS:
        spans = [span for each in found for span in getattr(each, name)]
        if spans:
            more = f" and {len(spans) - _SHOWN:,} more" if len(spans) > _SHOWN else ""
            console.print(f"[red]{name}[/red] ({meaning}): {', '.join(map(_spelt, spans[:_SHOWN]))}{more}")
    total = sum(each.expected for each in found)
    if all(each.clean for each in found):
        which = "of its range" if whole_range else "up to the watermark"
        if share is None:
            console.print(f"clean: each of {total:,} positions {which} has exactly one row ({where})")
        else:
            answered = sum(each.ok + each.rejected for each in found)
            each_of = f"each position of the shadow's share ({share:.0%}) has exactly one row or lies in a gap row"
            console.print(f"clean: {each_of}, {answered:,} have an answer ({where})")
    else:
        console.print(f"[red]not clean[/red]: {total:,} positions expected ({where})")


def _table(found: Sequence[PartitionAudit]) -> Table:
    columns = ("partition", "log", "watermark", "expected", "ok", "rejected", "gaps", "empty", *(name for name, _ in _FAULTS))
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for each in found:
        next_offset = "-" if each.watermark is None else f"{each.watermark:,}"
        faults = (sum(map(len, getattr(each, name))) for name, _ in _FAULTS)
        counts = (each.expected, each.ok, each.rejected, each.gaps, each.empty, *faults)
        number = str(each.partition) if each.partition >= 0 else "elsewhere"
        table.add_row(number, f"{each.log_start:,}..{each.log_end:,}", next_offset, *(f"{count:,}" for count in counts))
    return table


def _spelt(span: OffsetRange) -> str:
    last = f"..{span.stop - 1}" if len(span) > 1 else ""
    return f"{span.topic_partition}/{span.start}{last}"
