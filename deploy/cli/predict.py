"""`irstream predict PATH...`: targets in images, videos and folders, without Kafka."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from contracts.text import counted
from deploy.cli.options import ConfigOption, JsonOption, load, print_json
from deploy.cli.publish import BandOption, DepthOption, PlatformOption, SensorOption, SplitOption

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images, videos, folders of them, an index.jsonl.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for pictures and rows.")] = Path("predictions"),
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Frames at most.", show_default=False)] = None,
    pictures: Annotated[int, typer.Option("--pictures", min=0, help="Pictures of single frames at most; 0: none.")] = 1000,
    sensor: SensorOption = None,
    platform: PlatformOption = None,
    band: BandOption = None,
    bit_depth: DepthOption = None,
    split: SplitOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find targets in files: a picture of each frame, a sheet, and a Parquet with the columns of the results table.

    Networks, least scores and limits are those of the settings, as in the stream. Nothing else runs: no Kafka, no Ray.
    Exit code 1: something of the input could not be used.
    """
    from deploy.predicting.output import Output
    from deploy.settings.production import in_production
    from deploy.settings.weak_scores import finder_score, with_weak_boxes
    from deploy.terminal.consoles import note_console, status
    from deploy.terminal.predict_view import print_prediction
    from deploy.terminal.progress import show_on
    from observability.logging import send_structlog_to_logging
    from pipeline.inputs.feeds import FrameSource
    from pipeline.inputs.find import Labels, find_inputs

    send_structlog_to_logging()  # warnings only, on stderr
    settings = in_production(load(config).settings)
    found = find_inputs(paths, Labels(platform, band, bit_depth, split=split), not_in=out)
    source = FrameSource(found.sequences, sensor)
    began_s = time.monotonic()
    with asyncio.Runner() as runner, Output(out, pictures) as output:
        with status("loading the three networks"):
            from deploy.predicting.networks import networks_here
            from pipeline.inference.rules import SensorRules
            from pipeline.predict import Predictor

            networks = networks_here(settings, with_weak_boxes(settings), runner)
        of = _total(source.num_frames, limit)
        with networks as models, show_on(note_console(), "frames") as show:
            stream = settings.stream
            rules = SensorRules(
                stream.min_score, settings.alerts, settings.sensors, stream.clutter_veto, finder_score(settings.models.detector)
            )
            predictor = Predictor(runner, models, stream, rules, settings.preprocess, settings.tracks)
            for entry in predictor.run(source, limit):
                output.add(entry)
                counts = output.counts
                done = counts.frames + counts.rejected
                show("", done, max(of, done), counted(counts.detections, "detection"))
        sheet = output.write_sheet()
    seconds, counts = time.monotonic() - began_s, output.counts
    files = output.files(sheet)
    if as_json:
        print_json(asdict(counts) | {"files": files, "left_out": list(found.left_out), "seconds": round(seconds, 3)})
    else:
        print_prediction(counts, files, seconds, found.left_out)
    if counts.rejected or counts.skipped:
        raise typer.Exit(1)


def _total(frames: int | None, limit: int | None) -> int:
    """Frames there will be, as far as is known; 0 where nothing is."""
    return min((number for number in (frames, limit) if number is not None), default=0)
