"""Options that several commands share, and how they become settings."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pyarrow as pa

    from contracts.errors import RejectReason
    from deploy.settings.app_settings import LoadedSettings, Override

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Settings file; default: ray_config.yaml in the working folder, else the packaged one."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")]
BootstrapOption = Annotated[
    str | None, typer.Option("--bootstrap-servers", help="Kafka address (kafka.bootstrap_servers).", show_default=False)
]
TopicOption = Annotated[str | None, typer.Option("--topic", help="Topic of the frames (kafka.topic).", show_default=False)]
TableOption = Annotated[str | None, typer.Option("--table", help="Path or URL of the results table (sink.table).", show_default=False)]
RunIdOption = Annotated[str | None, typer.Option("--run-id", help="Run the rows belong to (run_id).", show_default=False)]


ReplayOfOption = Annotated[
    str | None,
    typer.Option("--replay-of", help="The run replays rejected frames of this one: no others must have a row.", show_default=False),
]
ReasonOption = Annotated[
    list[str] | None, typer.Option("--reason", help="Only frames rejected for this reason (several times for several).", show_default=False)
]


def length_of_time_s(text: str) -> float | None:
    """Seconds of a length of time such as `90m`, `12h`, `2d`; a bare number is seconds; None where it is not of this form."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", text.strip())
    return float(found[1]) * _UNITS_S[found[2] or "s"] if found else None


def require_writable(file: Path | None, option: str) -> None:
    """Make sure before long work that its result can be written; folders on the way are made.

    Raises:
        SettingsError: it cannot.
    """
    from contracts.errors import SettingsError

    if file is None:
        return
    problem = f"{file} is a folder" if file.is_dir() else None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = str(error)
    if problem or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise SettingsError(
            expected="a file that can be written", got=problem or f"no permission for {file}", where=option, action="Name another file."
        )


def write_result(file: Path, option: str, write: Callable[[], object]) -> None:
    """Write a file at the end of long work, and report a full disk, say, as what it is.

    Raises:
        SettingsError: it cannot be written.
    """
    from contracts.errors import SettingsError

    try:
        write()
    except OSError as error:
        raise SettingsError(expected="a file that can be written", got=str(error), where=option, action=f"Make room for {file}.") from error


def write_page(file: Path, page: str) -> None:
    """Write the page of `--html`, and say so.

    Raises:
        SettingsError: it cannot be written.
    """
    from deploy.terminal.consoles import note_console

    write_result(file, "--html", lambda: file.write_text(page, encoding="utf-8"))
    note_console().print(f"report {file}", soft_wrap=True, markup=False)


def write_rows(file: Path, rows: pa.Table) -> None:
    """Write the rows of `--parquet`, and say so.

    Raises:
        SettingsError: they cannot be written.
    """
    import pyarrow.parquet as pq

    from deploy.terminal.consoles import note_console

    write_result(file, "--parquet", lambda: pq.write_table(rows, file))
    note_console().print(f"rows {file}", soft_wrap=True, markup=False)


def reasons_of(names: list[str] | None) -> list[RejectReason]:
    """Reasons by their public names.

    Raises:
        SettingsError: there is no such reason.
    """
    from contracts.choices import chosen
    from contracts.errors import RejectReason

    known = {reason.value: reason for reason in RejectReason}
    return [chosen(known, name, "--reason", "Use a name as in column `reason` of the table.") for name in names or ()]


def load(
    config: Path | None,
    *,
    bootstrap_servers: str | None = None,
    topic: str | None = None,
    table: str | None = None,
    run_id: str | None = None,
    others: Sequence[Override] = (),
) -> LoadedSettings:
    """Settings of a command: file, environment, and the options given.

    Raises:
        SettingsError: see `deploy.settings.app_settings.load_settings`.
    """
    from deploy.settings.app_settings import Override, load_settings

    return load_settings(
        config,
        [
            Override("kafka.bootstrap_servers", bootstrap_servers, "--bootstrap-servers"),
            Override("kafka.topic", topic, "--topic"),
            Override("sink.table", table, "--table"),
            Override("run_id", run_id, "--run-id"),
            *others,
        ],
    )


@contextmanager
def stdout_for_json(as_json: bool) -> Iterator[None]:
    """With `--json`, keep stdout for the one object: what libraries (Ray above all) print meanwhile goes to stderr."""
    if not as_json:
        yield
        return
    sys.stdout.flush()
    ours = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(ours, 1)
        os.close(ours)


def print_json(value: Any) -> None:
    """One JSON object on stdout: indented for people who look, one line for pipes."""
    indent = 2 if sys.stdout.isatty() else None
    sys.stdout.write(json.dumps(value, indent=indent, default=str) + "\n")
