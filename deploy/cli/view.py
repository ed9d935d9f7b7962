"""`irstream view`: the live page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import BootstrapOption, ConfigOption, RunIdOption, TableOption, TopicOption, load

if TYPE_CHECKING:
    from deploy.settings.app_settings import LoadedSettings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def view(
    port: Annotated[int | None, typer.Option("--port", help="Port of the page (view.port); 0: a free one.", show_default=False)] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address it is served at (view.host).", show_default=False)] = None,
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    topic: TopicOption = None,
    table: TableOption = None,
    run_id: RunIdOption = None,
) -> None:
    """Serve the live page: sensors with their targets, alerts, lag, rejections, history; zones drawn with the mouse.

    A process of its own: it reads Kafka and the table, and only while a page is open. Prints the address with the token that lets in.
    """
    from deploy.settings.app_settings import Override
    from deploy.viewing.serve import serve

    own = [Override("view.port", port, "--port"), Override("view.host", host, "--host")]

    def load_now() -> LoadedSettings:
        return load(config, bootstrap_servers=bootstrap_servers, topic=topic, table=table, run_id=run_id, others=own)

    settings = load_now().settings
    local = settings.view.host in ("127.0.0.1", "localhost", "::1")
    if not local and settings.view.tls_certificate_file is None:
        typer.echo("token and pictures travel unencrypted: set view.tls_certificate_file and view.tls_key_file", err=True)
    serve(load_now, config, lambda url: typer.echo(f"live page: {url}\nCtrl-C ends it; frames and rows stay as they are"))
