"""`irstream replay-dead`: rejected frames once more, after what made them unusable was mended."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.cli.errors import debugging
from deploy.cli.options import (
    BootstrapOption,
    ConfigOption,
    JsonOption,
    ReasonOption,
    TableOption,
    TopicOption,
    load,
    print_json,
    reasons_of,
    stdout_for_json,
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command("replay-dead")
def replay_dead(
    run_id: Annotated[
        str, typer.Option("--run-id", help="Run of the new rows; an interrupted replay goes on under its own.", show_default=False)
    ],
    of: Annotated[str | None, typer.Option("--of", help="Run whose rejected frames are meant (default: run_id of the settings).")] = None,
    reason: ReasonOption = None,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    topic: TopicOption = None,
    table: TableOption = None,
    as_json: JsonOption = False,
) -> None:
    """Feed the rejected frames of a run through again, from where they still lie in Kafka, under a run id of their own.

    The old rows stay. Each frame gets one new row: a result, a rejection, or a gap where retention has deleted it since.
    Prove it with `irstream audit --run-id NEW --replay-of OLD`.
    """
    from contracts.errors import SettingsError
    from deploy.cluster.logs import logs_to
    from deploy.run import run_here
    from deploy.terminal.consoles import answer_console
    from deploy.terminal.stream_view import open_view
    from deploy.terminal.summary import summary_json, summary_table
    from pipeline.ops.replay import rejected_offsets
    from pipeline.table.delta import open_results

    reasons = reasons_of(reason)
    old = of or load(config).settings.run_id
    settings = load(config, bootstrap_servers=bootstrap_servers, topic=topic, table=table, run_id=run_id).settings
    if settings.run_id == old:
        raise SettingsError(
            expected="a run of its own for the new rows",
            got=f"{run_id}, whose rejected frames are meant",
            where="--run-id",
            action=f"Take another name, such as {old}-replayed.",
        )
    results = open_results(settings.sink.table, settings.sink.plain_storage_options())
    selected_offsets = rejected_offsets(results, old, settings.kafka.topic, reasons)
    console = answer_console(stdout_is_json=as_json)
    num = sum(map(len, selected_offsets.values()))
    if not num:
        console.print(f"nothing to replay: no rejected frame of run {old}, topic {settings.kafka.topic}", markup=False)
        if as_json:
            print_json({"replayed": 0, "of": old, "run_id": settings.run_id})
        return
    title = f"irstream {settings.run_id}: {num:,} rejected frames of run {old}"
    with stdout_for_json(as_json), open_view(console, title) as view, logs_to(view.say, debug=debugging(), human=console.is_terminal):
        summary = run_here(settings, view, selected_offsets=selected_offsets)
    if as_json:
        print_json({"replayed": num, "of": old, "run_id": settings.run_id} | summary_json(summary))
    else:
        console.print(summary_table(summary))
    if not summary.drained:
        raise typer.Exit(1)
