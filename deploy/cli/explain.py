"""`irstream explain TOPIC/PARTITION/OFFSET`: everything that is known of one frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import (
    BootstrapOption,
    ConfigOption,
    JsonOption,
    RunIdOption,
    TableOption,
    load,
    print_json,
    require_writable,
    write_result,
)

if TYPE_CHECKING:
    from contracts.frame import Frame
    from contracts.result import Detection
    from deploy.settings.app_settings import AppSettings
    from pipeline.ops.explain import Explanation

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_IMAGE_INCHES = 8.0


@app.command()
def explain(
    position: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="As alerts and errors spell it: frames/0/17.")],
    image: Annotated[Path | None, typer.Option("--image", help="Write the frame with its boxes, masks and labels here (PNG).")] = None,
    attention: Annotated[
        Path | None,
        typer.Option(
            "--attention", help="Write what the classifier of the settings attends to here (PNG): a row a detection, ten at most."
        ),
    ] = None,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    table: TableOption = None,
    run_id: RunIdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of one frame: message, stages, batches, models, detections, file and commit, or why it was rejected.

    With --attention: of each detection's crop the classifier's feature maps and channel gates (docs/classifiers.md).

    Exit code 1 when the table has no row for it.
    """
    from contracts.errors import SettingsError
    from contracts.position import KafkaPosition
    from deploy.archives.frames import FrameFinder
    from deploy.terminal.explain_view import explanation_json, print_explanation
    from pipeline.ops.explain import explain as explain_position
    from pipeline.table.delta import open_results
    from pipeline.table.run_shadow import stored_shadow

    require_writable(attention, "--attention")
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
    # Of an archive the message is made again from its file.
    finder = FrameFinder(settings, results)
    shadow = stored_shadow(results, settings.run_id, settings.sink.plain_storage_options())
    found = explain_position(
        settings.kafka,
        results,
        settings.run_id,
        where,
        lambda each: finder.message(settings.run_id, each),
        share=1.0 if shadow is None else shadow.share,
    )
    if as_json:
        print_json(explanation_json(found))
    else:
        print_explanation(found)
    if image is not None:
        _draw(found, settings, image)
    if attention is not None:
        _draw_attention(found, settings, attention)
    if found.outcome is None:
        raise typer.Exit(1)


def _draw(found: Explanation, settings: AppSettings, path: Path) -> None:
    from deploy.demo.contact_sheet import Tile, write_contact_sheet

    frame, detections = _frame_of(found, settings, "--image")
    title = f"{frame.meta.sensor_id}  {frame.meta.band.value}  {frame.width_px}x{frame.height_px}  {frame.bit_depth} bit"
    write_contact_sheet([Tile(frame.pixels_HW, title, detections)], path, str(found.position), _IMAGE_INCHES)
    typer.echo(f"picture: {path}", err=True)


def _draw_attention(found: Explanation, settings: AppSettings, path: Path) -> None:
    from deploy.predicting.attention import attention_of_frame
    from deploy.settings.production import in_production
    from evaluation.drawing import encode_png

    frame, detections = _frame_of(found, settings, "--attention")
    picture = attention_of_frame(frame, detections, in_production(settings).models.classifier)
    write_result(path, "--attention", lambda: path.write_bytes(encode_png(picture)))
    typer.echo(f"attention: {path}", err=True)


def _frame_of(found: Explanation, settings: AppSettings, option: str) -> tuple[Frame, tuple[Detection, ...]]:
    """The decoded frame and the detections of its row.

    Raises:
        RetryLater: there is no message any more, or it cannot be decoded.
    """
    from contracts.errors import RetryLater
    from contracts.frame import Frame
    from contracts.result import FrameResult
    from pipeline.ingest.decode import decode_record

    frame = None if found.message is None else decode_record(found.message, settings.preprocess)
    if not isinstance(frame, Frame):
        raise RetryLater(
            expected="a message in Kafka that can be decoded",
            got="none (any more)" if found.message is None else "one that cannot: see its rejection",
            where=str(found.position),
            action=f"Leave out {option}.",
        )
    return frame, found.outcome.detections if isinstance(found.outcome, FrameResult) else ()
