"""`irstream demo`: the whole system on this machine in a few minutes (`make demo`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploy.cli.errors import debugging
from deploy.cli.options import ConfigOption, JsonOption, load, print_json, stdout_for_json

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def demo(
    frames: Annotated[
        Path | None, typer.Option("--frames", help="Your own images, clips or dataset index. Default: four synthetic infrared sensors.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the results table and the contact sheet.")] = Path("demo-out"),
    num_frames: Annotated[int, typer.Option("--num-frames", min=1, help="Most frames to publish.")] = 200,
    fps: Annotated[
        float | None,
        typer.Option("--fps", min=0.1, help="Frames a second of each sensor; default: 4 of all together.", show_default=False),
    ] = None,
    feed_at_most_s: Annotated[float, typer.Option("--feed-at-most-s", min=1, help="The feeds end after this time.")] = 75.0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a real Kafka and a local Ray, publish camera feeds, run the stream with its three networks, show what was found.

    Set IRSTREAM_KAFKA__BOOTSTRAP_SERVERS to use a Kafka of yours. Everything the demo starts is stopped again.
    """
    from deploy.cluster.logs import logs_to
    from deploy.demo.demo import DemoPlan, run_demo
    from deploy.demo.next_steps import next_steps
    from deploy.terminal.consoles import answer_console
    from deploy.terminal.stream_view import open_view
    from deploy.terminal.summary import summary_json, summary_table

    settings = load(config).settings
    console = answer_console(stdout_is_json=as_json)
    plan = DemoPlan(frames, out, num_frames, fps, feed_at_most_s)
    with stdout_for_json(as_json), open_view(console, "irstream demo") as view, logs_to(view.say, debug=debugging()):
        report = run_demo(plan, settings, view)
    if as_json:
        sheet = None if report.contact_sheet is None else str(report.contact_sheet)
        print_json({"summary": summary_json(report.summary), "table": str(report.table), "contact_sheet": sheet})
    else:
        console.print(summary_table(report.summary))
        typer.echo("\n" + next_steps(report.table, report.contact_sheet))
    if not report.summary.drained:
        raise typer.Exit(1)
