"""`irstream diff RUN_A RUN_B`: live against reprocessed, or one network against another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deploy.cli.options import BootstrapOption, ConfigOption, JsonOption, TableOption, load, print_json, require_writable, write_result

if TYPE_CHECKING:
    from deploy.settings.app_settings import AppSettings
    from evaluation.diff_page import Pictured
    from evaluation.run_diff import FrameDiff

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def diff(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="The run that is compared with.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="The run that may differ.")],
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with plots and the frames that differ most: one file.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write one row for each frame.")] = None,
    max_change: Annotated[
        float | None,
        typer.Option("--max-change", min=0, max=1, help="Exit code 1 where a larger share of the targets differs.", show_default=False),
    ] = None,
    min_common: Annotated[
        float,
        typer.Option("--min-common", min=0, max=1, help="With --max-change: share of the smaller run's frames that must be in both."),
    ] = 0.9,
    worst: Annotated[int, typer.Option("--worst", min=0, max=100, help="Frames to show as pictures; 0: none.")] = 8,
    match: Annotated[
        str | None,
        typer.Option(
            "--match",
            metavar="position|frame",
            help="How a frame is found again: by its position, or by sensor, frame id and capture time. Default: what fits the runs.",
            show_default=False,
        ),
    ] = None,
    min_iou: Annotated[float, typer.Option("--min-iou", min=0, max=1, help="Detections whose boxes have this IoU are one target.")] = 0.1,
    distance_px: Annotated[float, typer.Option("--distance-px", min=0, help="Or whose centroids are closer than this.")] = 3.0,
    sensor: Annotated[str | None, typer.Option("--sensor", help="Frames of this sensor only.", show_default=False)] = None,
    table: TableOption = None,
    other_table: Annotated[
        str | None, typer.Option("--other-table", help="Table of RUN_B, where it is another one.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two runs: per frame and in sum, by sensor, class and time.

    Targets are the same where boxes overlap or centroids are near. The change is the share of the targets of either run that one alone
    has, or under another label. Exit code 1: more than --max-change, or too few frames of which that could be said.
    """
    from deploy.terminal.consoles import note_console, status
    from deploy.terminal.diff_view import diff_json, print_diff
    from deploy.terminal.progress import show_on
    from evaluation.diff_page import Runs, render_diff
    from evaluation.run_diff import MatchRules, spread_worst, sums_of
    from pipeline.ops.diff import Side, compare_runs, models_of
    from pipeline.table.delta import open_results

    require_writable(html, "--html")
    require_writable(parquet, "--parquet")
    settings = load(config, bootstrap_servers=bootstrap_servers, table=table).settings
    storage_options = settings.sink.plain_storage_options()
    results_a = open_results(settings.sink.table, storage_options)
    results_b = results_a if other_table is None else open_results(other_table, storage_options)
    sides = Side(results_a, run_a, sensor, storage_options), Side(results_b, run_b, sensor, storage_options)
    with status("finding the frames that both runs have"):
        comparison = compare_runs(*sides, MatchRules(min_iou, distance_px), _way(match))
    frames: list[FrameDiff] = []
    with show_on(note_console(), "frames") as show:
        for frame in comparison.frames:
            frames.append(frame)
            if len(frames) % 200 == 0 or len(frames) == comparison.num_frames:
                show("", len(frames), comparison.num_frames)
    sums = sums_of(frames)
    if parquet is not None:
        from evaluation.run_diff_table import frames_table

        write_result(parquet, "--parquet", lambda: _write_parquet(frames_table(frames), parquet))
    if html is not None:
        with status("drawing the frames that differ most"):
            pictured = _pictures(settings, sides, spread_worst(frames, worst))
        foot = f"irstream diff {run_a} {run_b}, {comparison.num_frames:,} frames; a target of both: IoU {min_iou:g} or {distance_px:g} px"
        runs = Runs(run_a, run_b, models_of(sides[0]), models_of(sides[1]), comparison.only_a, comparison.only_b, comparison.match_by, foot)
        page = render_diff(runs, frames, pictured)
        write_result(html, "--html", lambda: html.write_text(page, encoding="utf-8"))
    if as_json:
        print_json(diff_json(run_a, run_b, comparison, frames))
    else:
        print_diff(run_a, run_b, comparison, frames, [path for path in (html, parquet) if path is not None])
    if max_change is None:
        return
    smaller = comparison.num_frames + min(comparison.only_a, comparison.only_b)
    if comparison.num_frames < min_common * smaller:
        typer.echo(f"{comparison.num_frames:,} of {smaller:,} frames of the smaller run are in both, fewer than --min-common", err=True)
        raise typer.Exit(1)
    if sums.change > max_change:
        raise typer.Exit(1)


def _way(match: str | None) -> Literal["position", "frame"] | None:
    if match in ("position", "frame", None):
        return match  # type: ignore[return-value]  # one of the words
    raise typer.BadParameter("expected position or frame", param_hint="--match")


def _write_parquet(rows: object, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(rows, path, compression="zstd")


def _pictures(settings: AppSettings, sides: Sequence[object], chosen: Sequence[FrameDiff]) -> list[Pictured]:
    """The frames of A with A's targets and with B's."""
    from contracts.position import KafkaPosition
    from contracts.result import FrameResult
    from deploy.archives.frames import FrameFinder
    from deploy.predicting.picture import annotated
    from evaluation.diff_page import Pictured
    from pipeline.ops.diff import Side, outcome_at

    first, second = sides
    assert isinstance(first, Side)
    assert isinstance(second, Side)
    finder = FrameFinder(settings, first.table)
    found = []
    for each in chosen:
        place_a, place_b = KafkaPosition.parse(each.position_a), KafkaPosition.parse(each.position_b)
        frame = finder.frame(first.run_id, place_a)
        if isinstance(frame, str):
            found.append(Pictured(each, None, None, frame))
            continue
        both = [
            annotated(frame.pixels_HW, outcome.detections if isinstance(outcome, FrameResult) else ())
            for outcome in (outcome_at(first, place_a), outcome_at(second, place_b))
        ]
        found.append(Pictured(each, both[0], both[1]))
    return found
