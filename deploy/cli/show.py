"""`irstream show TABLE`: pictures and clips from a results table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.errors import SettingsError
from contracts.text import counted
from deploy.cli.options import ConfigOption, JsonOption, RunIdOption, length_of_time_s, load, print_json, require_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deltalake import DeltaTable

    from contracts.result import FrameResult
    from deploy.settings.app_settings import AppSettings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_SHOWN_SENSORS = 5


@app.command()
def show(
    table: Annotated[str | None, typer.Argument(help="Path or URL of the results table; default: sink.table.", show_default=False)] = None,
    sensor: Annotated[list[str] | None, typer.Option("--sensor", help="Only of this sensor (several times).", show_default=False)] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only frames taken since: 90m, 12h, 2d, or a time (UTC).", show_default=False)
    ] = None,
    track: Annotated[str | None, typer.Option("--track", help="Only frames that this track is seen in.", show_default=False)] = None,
    worst: Annotated[
        int | None, typer.Option("--worst", min=1, max=200, help="The N frames the networks are least sure of.", show_default=False)
    ] = None,
    num: Annotated[int, typer.Option("--num", min=1, max=200, help="Frames of the sheet.")] = 12,
    out: Annotated[Path, typer.Option("--out", help="File of the sheet (PNG).")] = Path("show.png"),
    clip: Annotated[
        Path | None, typer.Option("--clip", help="Instead of a sheet: a video (MP4) of one sensor or track.", show_default=False)
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", min=1, max=60, help="Of the video; default: as the frames were taken.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Frames of the video at most.")] = 3000,
    config: ConfigOption = None,
    run_id: RunIdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a table holds: a sheet of frames with their targets, or a video with boxes, masks, labels and tracks.

    Frames are fetched again by reference, from Kafka or from the files of an archive run; those that are gone are left out.
    Exit code 1: not one of the chosen frames is there any more.
    """
    from pipeline.table.delta import open_results

    if clip is not None and worst is not None:
        raise typer.BadParameter("not together with --worst", param_hint="--clip")
    target = out if clip is None else clip
    require_writable(target, "--out" if clip is None else "--clip")
    settings = load(config, table=table, run_id=run_id).settings
    results = open_results(settings.sink.table, settings.sink.plain_storage_options())
    rows, total = _chosen(results, settings, sensor, since, track, worst, num, limit, in_order=clip is not None)
    drawn = _sheet(settings, results, rows, out, worst) if clip is None else _clip(settings, results, rows, clip, fps)
    gone = len(rows) - drawn
    if as_json:
        print_json({"file": str(target) if drawn else None, "frames": drawn, "gone": gone, "rows": total})
    else:
        cut = f", the first of {total} (--limit)" if total > len(rows) and clip is not None else ""
        lost = f", {counted(gone, 'frame')} no longer there" if gone else ""
        typer.echo(f"{target}: {counted(drawn, 'frame')}{cut}{lost}" if drawn else f"nothing to show{lost}")
    if not drawn:
        raise typer.Exit(1)


def _chosen(
    results: DeltaTable,
    settings: AppSettings,
    sensor: list[str] | None,
    since: str | None,
    track: str | None,
    worst: int | None,
    num: int,
    limit: int,
    *,
    in_order: bool,
) -> tuple[list[FrameResult], int]:
    """Rows to be drawn, and how many there are to choose from."""
    from deploy.showing import rows
    from deploy.terminal.consoles import status

    wanted = rows.Wanted(sensors=tuple(sensor or ()), since=_moment(since), track=track)
    with status(f"looking through {settings.sink.table}"):
        found = rows.rows_of(results, settings.run_id, wanted)
        if in_order:
            chosen, total = rows.in_order(found, limit)
        else:
            chosen = rows.spread_over(found, num) if worst is None else rows.worst_of(found, worst)
            total = len(chosen)
    where = f"run {settings.run_id} of {settings.sink.table}"
    if not chosen:
        raise SettingsError(
            expected="rows that fit", got="none", where=where, action="Take other values for --sensor, --since, --track or --run-id."
        )
    sensors = sorted({row.sensor_id for row in chosen})
    if in_order and len(sensors) > 1:
        more = f" and {len(sensors) - _SHOWN_SENSORS} more" if len(sensors) > _SHOWN_SENSORS else ""
        got = ", ".join(sensors[:_SHOWN_SENSORS]) + more
        raise SettingsError(
            expected="frames of one sensor for a video", got=got, where=where, action="Name one with --sensor, or a --track."
        )
    return chosen, total


def _sheet(settings: AppSettings, results: DeltaTable, rows: Sequence[FrameResult], out: Path, worst: int | None) -> int:
    from deploy.demo.contact_sheet import Tile, write_contact_sheet
    from deploy.showing.frames import frames_of
    from deploy.terminal.consoles import note_console
    from deploy.terminal.progress import show_on

    found = {}
    with show_on(note_console(), "frames") as progress:
        for row, frame in frames_of(settings, results, rows):
            title = f"{row.sensor_id}  {row.captured_at:%Y-%m-%d %H:%M:%S}  {row.position}"
            found[row.position] = Tile(frame.pixels_HW, title, row.shown)
            progress("", len(found), len(rows))
    tiles = [found[row.position] for row in rows if row.position in found]
    if tiles:
        which = f"the {counted(len(tiles), 'frame')} the networks are least sure of" if worst else counted(len(tiles), "frame")
        write_contact_sheet(tiles, out, f"irstream: {which}, run {settings.run_id}")
    return len(tiles)


def _clip(settings: AppSettings, results: DeltaTable, rows: Sequence[FrameResult], out: Path, fps: float | None) -> int:
    from deploy.showing.clip import ClipWriter, pace_of, pictures_of
    from deploy.showing.frames import frames_of
    from deploy.terminal.consoles import note_console
    from deploy.terminal.progress import show_on

    with show_on(note_console(), "frames") as progress, ClipWriter(out, fps or pace_of(rows)) as writer:
        for picture in pictures_of(frames_of(settings, results, rows)):
            writer.add(picture)
            progress("", writer.num_frames, len(rows))
        return writer.num_frames


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    length_s = length_of_time_s(text)
    if length_s is not None:
        return datetime.now(UTC) - timedelta(seconds=length_s)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(
            expected="a length of time such as 90m, 12h, 2d, or a time such as 2026-05-01T12:30",
            got=repr(text),
            where="--since",
            action="Correct it.",
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
