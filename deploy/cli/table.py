"""`irstream table maintain`: care of the results table while streams write and readers read."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.errors import SettingsError
from deploy.cli.options import ConfigOption, JsonOption, TableOption, load, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.table.maintain import Care

app = typer.Typer(help="Care of the results table.", no_args_is_help=True, pretty_exceptions_enable=False)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LEAST_S = 60
_MB = 1e6


@app.callback()
def table_commands() -> None:
    """Care of the results table."""  # without this Typer would make `maintain` the whole command


@app.command()
def maintain(
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            help="Keep replaced files so long: 90m, 12h, 2d (sink.file_retention_s).",
            show_default=False,
            metavar="TIME",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    config: ConfigOption = None,
    table: TableOption = None,
    as_json: JsonOption = False,
) -> None:
    """Merge small files, delete files no recent version refers to, remove expired log entries; a stream may be writing meanwhile.

    Exit code 1 when no file could be judged for deletion. Nothing is lost when it is interrupted or killed.
    """
    from rich.console import Console

    older_than_s = None if older_than is None else seconds_of(older_than)
    settings = load(config, table=table).settings
    from pipeline.table.maintain import maintain as maintain_table

    with Console(stderr=True).status(f"reading {settings.sink.table}") as status:
        care = maintain_table(settings.sink, older_than_s=older_than_s, dry_run=dry_run, say=status.update)
    if as_json:
        print_json({"table": settings.sink.table} | asdict(care))
    else:
        _show(Console(soft_wrap=True), care)
    if care.not_vacuumed is not None:
        raise typer.Exit(1)


def seconds_of(text: str) -> float:
    """Seconds of a length of time such as `90m`, `12h`, `2d`; a bare number is seconds.

    Raises:
        SettingsError: not of this form, or less than a minute.
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", text.strip())
    seconds = float(found[1]) * _UNITS_S[found[2] or "s"] if found else 0.0
    if seconds < _LEAST_S:
        raise SettingsError(
            expected="a length of time of at least a minute, such as 90m, 12h or 2d",
            got=repr(text[:80]),
            where="--older-than",
            action="A reader may be in the middle of a file that was replaced a moment ago.",
        )
    return seconds


def _show(console: Console, care: Care) -> None:
    from rich.table import Table

    shown = Table("", "before", "after", box=None, pad_edge=False, header_style="bold")
    for name, before, after in (
        ("data files a reader opens", care.before.files, care.after.files),
        ("  of these small", care.before.small_files, care.after.small_files),
        ("data files stored", care.before.stored_files, care.after.stored_files),
        ("log files", care.before.log_files, care.after.log_files),
    ):
        shown.add_row(name, f"{before:,}", "" if care.dry_run else f"{after:,}")
    for name, before, after in (
        ("data stored, MB", care.before.stored_bytes, care.after.stored_bytes),
        ("log, MB", care.before.log_bytes, care.after.log_bytes),
    ):
        shown.add_row(name, f"{before / _MB:,.1f}", "" if care.dry_run else f"{after / _MB:,.1f}")
    console.print(shown)
    would = "would be " if care.dry_run else ""
    merged = care.merged
    console.print(f"{merged.files_before:,} small files {would}merged into {merged.files_after:,}", highlight=False)
    if merged.num_given_up:
        console.print(f"{merged.num_given_up:,} merges given up: other commits came first; the next run takes their files")
    console.print(f"{care.deleted_files:,} files ({care.deleted_bytes / _MB:,.1f} MB) {would}deleted", highlight=False)
    if care.not_vacuumed is not None:
        console.print(f"[yellow]no file could be judged for deletion[/yellow]: {care.not_vacuumed}")
    console.print(f"version {care.before.version:,} -> {care.after.version:,}, {care.seconds:.1f} s", highlight=False)
