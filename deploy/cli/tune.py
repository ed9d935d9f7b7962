"""`irstream tune`: a least score for one sensor, from its own hours in the table."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from deploy.cli.options import ConfigOption, JsonOption, RunIdOption, TableOption, length_of_time_s, load, print_json

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def tune(
    sensor: Annotated[str, typer.Option("--sensor", help="Id of the sensor, the key of its messages.")],
    max_false_per_hour: Annotated[float, typer.Option("--max-false-per-hour", help="False alarms an hour that you put up with.")],
    since: Annotated[
        str | None,
        typer.Option("--since", help="Only frames captured since: 12h, 2d, or 2026-03-01T06:00.", metavar="TIME", show_default=False),
    ] = None,
    config: ConfigOption = None,
    table: TableOption = None,
    run_id: RunIdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose a least score of alerts for a sensor from its own unlabelled hours; writes nothing.

    Exit code 1 when its hours are too few to promise the rate.
    """
    from contracts.errors import SettingsError
    from deploy.terminal.consoles import status
    from deploy.terminal.tune_view import print_tuning, tuning_json
    from pipeline.ops.tune import tune as tune_sensor
    from pipeline.table.delta import open_results

    if not (math.isfinite(max_false_per_hour) and max_false_per_hour > 0):
        raise SettingsError(
            expected="a number above 0",
            got=f"{max_false_per_hour:g}",
            where="--max-false-per-hour",
            action="0.1 is one false alarm in ten hours.",
        )
    moment = None if since is None else moment_of(since, datetime.now(UTC))
    settings = load(config, table=table, run_id=run_id).settings
    results = open_results(settings.sink.table, settings.sink.plain_storage_options())
    with status(f"reading rows of {sensor}"):
        found = tune_sensor(results, settings.run_id, sensor, max_false_per_hour, moment)
    if as_json:
        print_json(tuning_json(found))
    else:
        print_tuning(found)
    if found.least.promised is None:
        raise typer.Exit(1)


def moment_of(text: str, now: datetime) -> datetime:
    """The moment of a length of time before now (`12h`), or of a date with or without time, UTC where it names no zone.

    Raises:
        SettingsError: neither of them.
    """
    from contracts.errors import SettingsError

    try:
        seconds = length_of_time_s(text)
        if seconds is not None:
            return now - timedelta(seconds=seconds)
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError) as error:
        raise SettingsError(
            expected="a length of time such as 90m, 12h or 2d, or a moment such as 2026-03-01T06:00",
            got=repr(text[:80]),
            where="--since",
            action="A moment without a zone is UTC.",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
