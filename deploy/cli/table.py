"""`irstream table maintain`: care of the results table while streams write and readers read."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from contracts.errors import SettingsError
from deploy.cli.options import ConfigOption, JsonOption, TableOption, length_of_time_s, load, print_json

app = typer.Typer(help="Care of the results table.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
_LEAST_S = 60


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

    Exit code 1 when no file could be checked for deletion. Nothing is lost when it is interrupted or killed.
    """
    older_than_s = None if older_than is None else seconds_of(older_than)
    settings = load(config, table=table).settings
    from deploy.terminal.consoles import status
    from deploy.terminal.table_view import print_care
    from pipeline.table.maintain import maintain as maintain_table

    with status(f"reading {settings.sink.table}") as say:
        care = maintain_table(settings.sink, older_than_s=older_than_s, dry_run=dry_run, say=say)
    if as_json:
        print_json({"table": settings.sink.table} | asdict(care))
    else:
        print_care(care)
    if care.not_vacuumed is not None:
        raise typer.Exit(1)


def seconds_of(text: str) -> float:
    """Seconds of a length of time such as `90m`, `12h`, `2d`; a bare number is seconds.

    Raises:
        SettingsError: not of this form, or less than a minute.
    """
    seconds = length_of_time_s(text) or 0.0
    if seconds < _LEAST_S:
        raise SettingsError(
            expected="a length of time of at least a minute, such as 90m, 12h or 2d",
            got=repr(text[:80]),
            where="--older-than",
            action="A reader may be in the middle of a file that was replaced a moment ago.",
        )
    return seconds
