"""`irstream dataset findings`."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.options import ConfigOption, JsonOption, load, print_json


def findings(
    folder: Annotated[Path, typer.Argument(help="Labelled frames in Parquet (irstream dataset import).", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    name: Annotated[str | None, typer.Option("--name", help="Name of the set; default: the folder's.", show_default=False)] = None,
    missed: Annotated[
        bool, typer.Option("--missed/--no-missed", help="Also true boxes of targets that nothing was found on; --no-missed to measure.")
    ] = True,
    min_score: Annotated[float, typer.Option("--min-score", min=0, max=1, help="Least score of a finding.")] = 0.0,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Look at so many frames only; the others keep their true boxes.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a data set for classifiers: frames with the boxes that detector and segmenter find, labelled by the truth they lie on.

    What lies on no target is labelled `clutter`, so that a classifier learns to veto it (docs/classifiers.md). The networks and their
    thresholds are those of the settings, as in the stream.
    """
    from deploy.predicting.findings import FindingsRequest, write_findings
    from deploy.predicting.networks import networks_here
    from deploy.settings.production import in_production
    from deploy.terminal.consoles import note_console, status
    from deploy.terminal.progress import show_on
    from observability.logging import send_structlog_to_logging
    from pipeline.inference.rules import SensorRules
    from pipeline.inputs.feeds import FrameSource
    from pipeline.inputs.find import Labels, find_inputs
    from pipeline.predict import Predictor
    from training.data.parquet_set import require_parquet_set

    send_structlog_to_logging()  # warnings only, on stderr
    require_parquet_set(folder)
    settings = in_production(load(config).settings)
    networks = {role: getattr(settings.models, role) for role in ("detector", "segmenter")}
    request = FindingsRequest(
        folder=folder,
        name=name or out.resolve().name,
        with_missed=missed,
        models={role: f"{each.model} {each.weights or 'shipped'}" for role, each in networks.items()},
        min_score=min_score,
        limit=limit,
    )
    source = FrameSource(find_inputs([folder], Labels()).sequences)
    with asyncio.Runner() as runner:
        with status("loading the networks"):
            loaded = networks_here(settings, settings.models, runner)
        with loaded as models, show_on(note_console(), "frames") as show:
            predictor = Predictor(runner, models, settings.stream, SensorRules(min_score), settings.preprocess, settings.tracks)
            report, counts = write_findings(request, out, predictor.run(source, limit), partial(show, request.name))
    if as_json:
        print_json(
            {"folder": str(out), "dataset": request.name, "frames": report.frames, "boxes": dict(counts), "refused": dict(report.refused)}
        )
    else:
        boxes = ", ".join(f"{number} {what}" for what, number in counts.items())
        typer.echo(f"{report.frames} frames in {out}: {boxes or 'all there already'}")
    if report.refused:
        typer.echo(f"{sum(report.refused.values())} frames were refused; {out / 'refused.jsonl'} names them", err=True)
        raise typer.Exit(1)
