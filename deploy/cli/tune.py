"""`irstream tune`: zones and a least score for one sensor, from its own hours in the table."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.options import ConfigOption, JsonOption, RunIdOption, TableOption, length_of_time_s, load, print_json, require_writable

if TYPE_CHECKING:
    from contracts.frame import Pixels
    from deploy.settings.app_settings import AppSettings
    from pipeline.ops.tune import Tuning

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def tune(
    sensor: Annotated[str, typer.Option("--sensor", help="Id of the sensor, the key of its messages.")],
    max_false_per_hour: Annotated[
        float | None,
        typer.Option("--max-false-per-hour", help="False alarms an hour that you put up with: proposes a least score.", show_default=False),
    ] = None,
    zones: Annotated[bool, typer.Option("--zones/--no-zones", help="Propose zones at places that alarm at the same spot.")] = True,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw the zones over a frame and the density of alarms (PNG).", show_default=False)
    ] = None,
    frame: Annotated[
        Path | None,
        typer.Option("--frame", help="Image or video of the sensor for --picture; default: its newest frame in Kafka.", show_default=False),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the proposal into the settings file; its comments stay.")] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Only frames captured since: 12h, 2d, or 2026-03-01T06:00.", metavar="TIME", show_default=False),
    ] = None,
    config: ConfigOption = None,
    table: TableOption = None,
    run_id: RunIdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose filters for a sensor from its own unlabelled hours: zones, and a least score of alerts. Writes nothing without --write.

    --table also takes the results.parquet of irstream predict. Exit code 1 when the hours are too few to promise the rate.
    """
    from contracts.errors import SettingsError
    from deploy.terminal.consoles import status
    from deploy.terminal.tune_view import print_tuning, proposed_settings, tuning_json
    from pipeline.ops.sensor_hours import is_file_of_predict, open_rows
    from pipeline.ops.tune import tune as tune_sensor

    if max_false_per_hour is not None and not (math.isfinite(max_false_per_hour) and max_false_per_hour > 0):
        raise SettingsError(
            expected="a number above 0",
            got=f"{max_false_per_hour:g}",
            where="--max-false-per-hour",
            action="0.1 is one false alarm in ten hours.",
        )
    moment = None if since is None else moment_of(since, datetime.now(UTC))
    require_writable(picture, "--picture")
    loaded = load(config, table=table, run_id=run_id)
    settings = loaded.settings
    run = _RUN_OF_PREDICT if run_id is None and is_file_of_predict(settings.sink.table) else settings.run_id
    rows = open_rows(settings.sink.table, settings.sink.plain_storage_options())
    own = settings.sensors.get(sensor)
    alerts = settings.alerts if own is None else own.alerts.over(settings.alerts)
    with status(f"reading rows of {sensor}"):
        veto = settings.stream.clutter_veto
        found = tune_sensor(rows, run, sensor, max_false_per_hour, moment, alerts, zones=zones, clutter_veto=veto)
    if as_json:
        print_json(tuning_json(found))
    else:
        print_tuning(found)
    if picture is not None:
        _draw(found, settings, frame, picture)
    if write:
        _write(config, proposed_settings(found))
    if found.least is not None and found.least.promised is None:
        raise typer.Exit(1)


_RUN_OF_PREDICT = "predict"


def _draw(found: Tuning, settings: AppSettings, frame: Path | None, picture: Path) -> None:
    """Zones over a frame, where one can be had, and over the density of alarms."""
    from evaluation.drawing import encode_png
    from evaluation.places_picture import places_picture

    pixels_HW = _newest_frame(found, settings) if frame is None else _first_frame(frame)
    heading = f"{found.sensor_id}: {len(found.places)} zones (red); detections that stay (blue)"
    picture.write_bytes(encode_png(places_picture(found.found, found.places, pixels_HW, heading), 6))
    typer.echo(f"picture: {picture}", err=True)


def _first_frame(path: Path) -> Pixels:
    """The first frame of an image, a video or a folder.

    Raises:
        SettingsError: there is none.
    """
    from contracts.codecs import decode_pixels
    from contracts.errors import RejectRecord, SettingsError
    from contracts.image_files import FILE_LIMITS
    from pipeline.inputs.feeds import FrameSource, FrameToSend
    from pipeline.inputs.find import Labels, find_inputs

    first = next(FrameSource(find_inputs([path], Labels()).sequences).frames())
    try:
        if isinstance(first, FrameToSend):
            meta = first.meta(frame_id="", number=0, captured_at=datetime.now(UTC))
            return decode_pixels(first.picture.payload, meta, FILE_LIMITS)[0]
        got = first.why
    except RejectRecord as reject:
        got = str(reject)
    raise SettingsError(expected="an image or a video", got=got, where=f"--frame {path}", action="Name another one, or leave it out.")


def _newest_frame(found: Tuning, settings: AppSettings) -> Pixels | None:
    """The frame that was finished last, if Kafka still has it; else a word on stderr."""
    from contracts.errors import IrstreamError
    from deploy.demo.results import fetch_frames
    from deploy.terminal.consoles import status

    position = found.hours.newest
    if position is None or ":" in position.topic:  # an archive is no topic
        return None
    try:
        with status(f"fetching {position} from Kafka"):
            frames = fetch_frames(settings.kafka, [position], settings.preprocess)
    except IrstreamError as error:
        typer.echo(f"no frame under the zones: {error}", err=True)
        return None
    return frames[position].pixels_HW if position in frames else None


def _write(config: Path | None, changes: dict[str, Any]) -> None:
    """Put the proposal into the settings file that counts.

    Raises:
        SettingsError: it cannot be written, or the settings would be wrong.
    """
    from deploy.settings.own_file import write_changes

    if not changes:
        typer.echo("nothing is written: nothing is proposed", err=True)
        return
    typer.echo(f"written to {write_changes(config, changes)}; a running stream takes it after SIGHUP", err=True)


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
