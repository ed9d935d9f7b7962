"""`irstream stream`: frames from Kafka through three networks into the results table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.errors import debugging
from deploy.cli.options import (
    BootstrapOption,
    ConfigOption,
    JsonOption,
    RunIdOption,
    TableOption,
    TopicOption,
    load,
    print_json,
    stdout_for_json,
)

if TYPE_CHECKING:
    from deploy.settings.app_settings import AppSettings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def stream(
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End when every offset that existed at the start has its row.")
    ] = False,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    topic: TopicOption = None,
    table: TableOption = None,
    run_id: RunIdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read frames from Kafka, detect, segment, classify, write the results table: one row for every message, exactly once.

    Starts where the table stands. Ctrl-C (or SIGTERM) drains: frames in flight get their rows, then it ends. Several of one run
    share the partitions. SIGHUP reads the settings again and exchanges models and filters that changed, while frames flow.
    With `stream.restart: true` a driver that dies is followed by another one.
    """
    from deploy.cluster.logs import logs_to
    from deploy.respawn import respawned
    from deploy.run import run_here
    from deploy.settings.mistakes import without_secrets
    from deploy.terminal.consoles import answer_console
    from deploy.terminal.error_line import show_warning
    from deploy.terminal.stream_view import open_view
    from deploy.terminal.streams import last_words
    from deploy.terminal.summary import summary_json, summary_table

    def read_settings() -> AppSettings:
        return load(config, bootstrap_servers=bootstrap_servers, topic=topic, table=table, run_id=run_id).settings

    settings = read_settings()
    if settings.stream.restart and (code := respawned(show_warning)) is not None:
        raise typer.Exit(code)
    settings = read_settings()  # a driver that follows another one takes what has been changed since
    console = answer_console(stdout_is_json=as_json)
    title = f"irstream {settings.run_id}: {settings.kafka.topic} -> {without_secrets(('sink', 'table'), settings.sink.table)}"
    with stdout_for_json(as_json), open_view(console, title) as view, logs_to(view.say, debug=debugging(), human=console.is_terminal):
        summary = run_here(settings, view, until_caught_up=until_caught_up, again=read_settings)
    with last_words():
        if as_json:
            print_json(summary_json(summary))
        else:
            console.print(summary_table(summary))
    if not summary.drained:
        raise typer.Exit(1)
