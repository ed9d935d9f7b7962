"""Care of the results table for people: what there was, what there is, what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from deploy.terminal.consoles import answer_console

if TYPE_CHECKING:
    from pipeline.table.maintain import Care

_MB = 1e6


def print_care(care: Care) -> None:
    """On stdout: sizes before and after, then what was merged and deleted; a dry run has no `after`."""
    console = answer_console()
    console.print(_sizes(care))
    would = "would be " if care.dry_run else ""
    merged = care.merged
    console.print(f"{merged.files_before:,} small files {would}merged into {merged.files_after:,}", highlight=False)
    if merged.num_given_up:
        console.print(f"{merged.num_given_up:,} merges given up: other commits came first; the next run takes their files")
    console.print(f"{care.deleted_files:,} files ({care.deleted_bytes / _MB:,.1f} MB) {would}deleted", highlight=False)
    if care.not_vacuumed is not None:
        console.print(f"[yellow]no file could be checked for deletion[/yellow]: {escape(care.not_vacuumed)}")
    console.print(f"version {care.before.version:,} -> {care.after.version:,}, {care.seconds:.1f} s", highlight=False)


def _sizes(care: Care) -> Table:
    table = Table("", "before", "after", box=None, pad_edge=False, header_style="bold")
    for name, before, after in (
        ("data files a reader opens", care.before.files, care.after.files),
        ("  of these small", care.before.small_files, care.after.small_files),
        ("data files stored", care.before.stored_files, care.after.stored_files),
        ("log files", care.before.log_files, care.after.log_files),
    ):
        table.add_row(name, f"{before:,}", "" if care.dry_run else f"{after:,}")
    for name, before, after in (
        ("data stored, MB", care.before.stored_bytes, care.after.stored_bytes),
        ("log, MB", care.before.log_bytes, care.after.log_bytes),
    ):
        table.add_row(name, f"{before / _MB:,.1f}", "" if care.dry_run else f"{after / _MB:,.1f}")
    return table
