"""`irstream explain TOPIC/PARTITION/OFFSET`: everything that is known of one frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.options import BootstrapOption, ConfigOption, JsonOption, RunIdOption, TableOption, load, print_json

if TYPE_CHECKING:
    from contracts.frame import RawRecord
    from contracts.result import FrameResult
    from deploy.settings.app_settings import AppSettings
    from pipeline.ops.explain import Explanation

app = typer.Typer(pretty_exceptions_enable=False)
Lines = Iterator[tuple[str, str]]
_IMAGE_INCHES = 8.0


@app.command()
def explain(
    position: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="As alerts and errors spell it: frames/0/17.")],
    image: Annotated[Path | None, typer.Option("--image", help="Write the frame with its boxes, masks and labels here (PNG).")] = None,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    table: TableOption = None,
    run_id: RunIdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of one frame: message, stages, batches, models, detections, file and commit, or why it was rejected.

    Exit code 1 when the table has no row for it.
    """
    from contracts.errors import SettingsError
    from contracts.position import KafkaPosition
    from pipeline.ops.explain import explain as explain_position
    from pipeline.table.delta import open_results

    try:
        where = KafkaPosition.parse(position)
    except ValueError as error:
        raise SettingsError(
            expected="TOPIC/PARTITION/OFFSET such as frames/0/17",
            got=repr(position),
            where="POSITION",
            action="Alerts carry it as `id`, the table as source_topic, source_partition and source_offset.",
        ) from error
    settings = load(config, bootstrap_servers=bootstrap_servers, topic=where.topic, table=table, run_id=run_id).settings
    results = open_results(settings.sink.table, settings.sink.plain_storage_options())
    found = explain_position(settings.kafka, results, settings.run_id, where)
    if as_json:
        print_json(_plain(found))
    else:
        _show(found)
    if image is not None:
        _draw(found, settings, image)
    if found.outcome is None:
        raise typer.Exit(1)


def _plain(found: Explanation) -> dict[str, Any]:
    message = found.message
    return {
        "position": str(found.position),
        "run_id": found.run_id,
        "standing": found.standing.name.lower(),
        "watermark": found.watermark,
        "row": None if found.outcome is None else {"kind": type(found.outcome).__name__, **asdict(found.outcome)},
        "file": None if found.file is None else asdict(found.file),
        "commit": None if found.commit is None else asdict(found.commit),
        "message": None
        if message is None
        else {"key": _text(message.key), "bytes": len(message.value or b""), "timestamp_ms": message.timestamp_ms}
        | {"headers": [[name, _text(value)] for name, value in message.headers]},
    }


def _show(found: Explanation) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column(overflow="fold")
    for name, text in _lines(found):
        shown.add_row(name, Text(text))  # what cameras wrote is no markup
    Console().print(shown)


def _lines(found: Explanation) -> Lines:
    from contracts.result import DeadLetter, FrameResult, Gap

    yield "position", f"{found.position}, run {found.run_id}"
    next_offset = "nothing of this partition" if found.watermark is None else f"everything before offset {found.watermark:,}"
    yield "standing", f"{found.standing.value} (the table has {next_offset})"
    yield from _message_lines(found.message)
    outcome = found.outcome
    if isinstance(outcome, FrameResult):
        yield from _result_lines(outcome)
    elif isinstance(outcome, DeadLetter):
        yield "rejected", f"{outcome.reason.value}: {outcome.detail}"
    elif isinstance(outcome, Gap):
        yield "gap", f"offsets {outcome.position.offset:,} to {outcome.stop - 1:,}: {outcome.detail}"
    if outcome is not None:
        yield "finished", outcome.finished_at.isoformat()
    if found.commit is not None:
        yield "visible since", f"version {found.commit.version} of the table, {found.commit.committed_at.isoformat()}"
    if found.file is not None:
        doubled = f"; {found.file.num_rows} rows for this position, run `irstream audit`" if found.file.num_rows > 1 else ""
        yield "file", found.file.path + doubled


def _message_lines(message: RawRecord | None) -> Lines:
    if message is None:
        yield "message", "nothing there in Kafka (any more)"
        return
    size = "no value" if message.value is None else f"{len(message.value):,} bytes"
    yield "message", f"key {_text(message.key)!r}, {size}"
    for name, value in message.headers:
        yield f"  {name}", _text(value) or ""


def _result_lines(result: FrameResult) -> Lines:
    number = "" if result.frame_number is None else f", number {result.frame_number}"
    yield "frame", f"{result.frame_id} of {result.sensor_id}{number}"
    yield "", f"{result.width_px} x {result.height_px}, {result.bit_depth} bit, {result.platform.value}, {result.band.value}"
    yield "captured", f"{result.captured_at.isoformat()}, in Kafka {result.ingested_at.isoformat()}"
    stages = {name: ms for name, ms in asdict(result.stage_ms).items() if ms}
    yield "stages", ", ".join(f"{name} {ms:.1f} ms" for name, ms in stages.items())
    for batch in result.batch:
        yield f"batch {batch.task}", f"{batch.size}, closed because {batch.closed_by}"
    for model in result.models:
        yield f"model {model.task}", f"{model.name}, sha256 {model.digest}"
    yield "preprocessing", f"version {result.preprocess_version}"
    yield "detections", str(len(result.detections))
    for index, each in enumerate(result.detections):
        box = f"x {each.x_min_px:.1f}..{each.x_max_px:.1f}, y {each.y_min_px:.1f}..{each.y_max_px:.1f}"
        yield f"  {index}", f"{each.label} {each.score:.2f}, {box}, {each.area_px:.0f} px, found by {' and '.join(each.found_by)}"


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _draw(found: Explanation, settings: AppSettings, path: Path) -> None:
    from contracts.errors import RetryLater
    from contracts.frame import Frame
    from contracts.result import FrameResult
    from deploy.demo.contact_sheet import Tile, write_contact_sheet
    from pipeline.ingest.decode import decode_record

    frame = None if found.message is None else decode_record(found.message, settings.preprocess)
    if not isinstance(frame, Frame):
        raise RetryLater(
            expected="a message in Kafka that can be decoded",
            got="none (any more)" if found.message is None else "one that cannot: see its rejection",
            where=str(found.position),
            action="Leave out --image.",
        )
    detections = found.outcome.detections if isinstance(found.outcome, FrameResult) else ()
    title = f"{frame.meta.sensor_id}  {frame.meta.band.value}  {frame.width_px}x{frame.height_px}  {frame.bit_depth} bit"
    write_contact_sheet([Tile(frame.pixels_HW, title, detections)], path, str(found.position), _IMAGE_INCHES)
    typer.echo(f"picture: {path}", err=True)
