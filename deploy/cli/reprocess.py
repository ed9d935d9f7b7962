"""`irstream reprocess INPUT --run-id R`: an archive at full speed into the results table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.errors import debugging
from deploy.cli.options import BootstrapOption, ConfigOption, JsonOption, TableOption, load, print_json, stdout_for_json
from deploy.cli.publish import AsOption, BandOption, DepthOption, NodataOption, PlatformOption, Radiometric, SensorOption, SplitOption

if TYPE_CHECKING:
    from deploy.settings.app_settings import AppSettings
    from pipeline.reprocess import ArchiveSummary

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_SHARE = re.compile(r"([1-9]\d{0,4})/([1-9]\d{0,4})")


@app.command()
def reprocess(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INPUT...]",
            help="topic:NAME, run:ID, or images, videos, folders of them, an index.jsonl, a Parquet of frames. "
            "Without any, the run goes on with what it began with.",
            show_default=False,
        ),
    ] = None,
    run_id: Annotated[
        str, typer.Option("--run-id", help="Run of the rows; an interrupted one goes on under its own.", show_default=False)
    ] = ...,  # type: ignore[assignment]  # typer's word for "required"
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="OFFSET|P:OFFSET,...|TIME", help="Topic: from here. Default: its beginning.", show_default=False),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="OFFSET|P:OFFSET,...|TIME", help="Topic: up to here, exclusive. Default: its end now.", show_default=False
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            metavar="TASK=NAME|TASK.KEY=VALUE|FILE",
            help="Networks in place of those of the settings, such as segmenter=acm (several times for several).",
            show_default=False,
        ),
    ] = None,
    share: Annotated[
        str, typer.Option("--share", metavar="I/N", help="This driver is number I of N; all are given the same command otherwise.")
    ] = "1/1",
    name: Annotated[
        str | None, typer.Option("--name", help="Files: topic of the rows is archive:NAME. Default: that of the input.", show_default=False)
    ] = None,
    sensor: SensorOption = None,
    platform: PlatformOption = None,
    band: BandOption = None,
    bit_depth: DepthOption = None,
    split: SplitOption = None,
    nodata: NodataOption = None,
    radiometric: AsOption = Radiometric.COUNTS,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    table: TableOption = None,
    as_json: JsonOption = False,
) -> None:
    """Process an archive: each position of its range gets exactly one row, under a run id of its own.

    The range is fixed and stored when the run begins. Ctrl-C drains; given again, the command goes on where the table stands, after a
    crash too. Prove it with `irstream audit --run-id R`. Exit code 0: complete, 1: not complete.
    """
    from deploy.archives.inputs import opener, with_stored_models
    from deploy.cluster.logs import logs_to
    from deploy.run import reprocess_here
    from deploy.settings.chosen_models import with_models
    from deploy.settings.production import in_production
    from deploy.terminal.archive_view import ArchiveView, print_archive, range_text
    from deploy.terminal.consoles import answer_console

    if run_id == load(config).settings.run_id:
        raise typer.BadParameter("expected a run id other than that of the stream (run_id of the settings)", param_hint="--run-id")
    settings = load(config, bootstrap_servers=bootstrap_servers, table=table, run_id=run_id).settings
    settings = in_production(settings)
    settings = with_models(settings, models) if models or inputs else with_stored_models(settings)
    options = {
        "name": name,
        "sensor": sensor,
        "platform": platform,
        "band": band,
        "bit_depth": bit_depth,
        "split": split,
        "nodata": nodata,
        "as": None if radiometric is Radiometric.COUNTS else radiometric.value,
    }
    given = {key: str(value) for key, value in options.items() if value is not None}
    part = _share(share)
    console = answer_console(stdout_is_json=as_json)
    with stdout_for_json(as_json), ArchiveView(console) as view, logs_to(view.say, debug=debugging(), human=console.is_terminal):
        open_archive = opener(settings, tuple(inputs or ()), begin, end, given, view.say)
        summary = reprocess_here(
            settings, open_archive, view, part, lambda archive: view.begin(archive.range, part, range_text(archive.range, part))
        )
    answer = _answer(settings, summary, part)
    if as_json:
        print_json(answer)
    else:
        print_archive(console, summary)
    if not summary.complete:
        raise typer.Exit(1)


def _share(text: str) -> tuple[int, int]:
    found = _SHARE.fullmatch(text.strip())
    if not found or int(found[1]) > int(found[2]):
        raise typer.BadParameter("expected I/N with I from 1 to N, such as 2/3", param_hint="--share")
    return int(found[1]), int(found[2])


def _answer(settings: AppSettings, summary: ArchiveSummary, share: tuple[int, int]) -> dict[str, object]:
    from deploy.terminal.summary import summary_json
    from pipeline.reprocess import span_of

    return {
        "run_id": settings.run_id,
        "topic": summary.range.topic,
        "complete": summary.complete,
        "share": f"{share[0]}/{share[1]}",
        "rows": summary.rows_now,
        "rows_before": summary.rows_before,
        "rows_of_share": span_of(summary.share),
        "rows_of_all_drivers": summary.all_rows_now,
        "rows_of_range": span_of(summary.range),
    } | summary_json(summary.stream)
