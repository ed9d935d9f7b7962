"""`irstream broker up|down|status`: a real one-node Apache Kafka for demos and tests."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.errors import SettingsError
from deploy.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from deploy.broker.broker import Broker
    from deploy.broker.process import BrokerInfo

USUAL_PORT = 9092
HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        "--data-dir",
        envvar="IRSTREAM_BROKER_HOME",
        help="Folder of the broker: data, log, state. Default: ~/.local/state/irstream/broker.",
        show_default=False,
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port",
        envvar="IRSTREAM_BROKER_PORT",
        min=1,
        max=65535,
        help=f"Port for clients. Default: the last one of this folder, else {USUAL_PORT}, else any free one.",
        show_default=False,
    ),
]

app = typer.Typer(
    help="Start, stop and find a real one-node Kafka for demos and tests.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def up(home: HomeOption = None, port: PortOption = None, as_json: JsonOption = False) -> None:
    """Start the broker; it stays until `irstream broker down`. If it runs already, only its address is printed.

    Exit code 1 when it runs already on another port than the one asked for.
    """
    broker = _broker(home, port)
    began = time.monotonic()
    known = broker.status()
    info = broker.up()
    if as_json:
        _print_info(info, home=broker.home.root)
    else:
        how = "already up" if known is not None and known.pid == info.pid else f"up in {time.monotonic() - began:.1f} s"
        typer.echo(f"Kafka is {how} at {info.bootstrap_servers} (pid {info.pid})")
        typer.echo(f"  log   {info.log_file}\n  stop  irstream broker down{'' if home is None else f' --home {home}'}")
        if not info.bootstrap_servers.endswith(f":{USUAL_PORT}"):
            typer.echo(f"  use   export IRSTREAM_KAFKA__BOOTSTRAP_SERVERS={info.bootstrap_servers}")
    if port is not None and not info.bootstrap_servers.endswith(f":{port}"):
        typer.echo(f"  it keeps the port it was started with, not {port}: stop it first to change that", err=True)
        raise typer.Exit(1)  # `broker up --port 9092 && ...` must not go on with whoever owns that port


@app.command()
def down(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Stop the broker; its data stays. Not running is no error."""
    from deploy.broker.process import in_use

    broker = _broker(home)
    was_up = broker.down()
    if not was_up and in_use(broker.home):
        raise SettingsError(
            expected="a broker that was started from this folder, or none",
            got=f"a process that holds {broker.home.lock} and is not the one in {broker.home.state.name}",
            where=f"broker home {broker.home.root}",
            action=f"If a broker is starting, try again when it is up; else find the process with `fuser {broker.home.lock}` and stop it.",
        )
    if as_json:
        print_json({"stopped": was_up, "home": str(broker.home.root)})
    else:
        typer.echo("Kafka is stopped" if was_up else f"No broker runs in {broker.home.root}")


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print the address of the broker; exit code 1 when it does not run or does not answer."""
    broker = _broker(home)
    info = broker.status()
    frozen = info if info is not None and not broker.answers(info) else None
    if as_json:
        _print_info(None if frozen else info, home=broker.home.root)
    elif frozen is not None:
        typer.echo(f"The broker (pid {frozen.pid}) runs but does not answer at {frozen.bootstrap_servers}; log {frozen.log_file}")
    elif info is not None:
        typer.echo(f"Kafka is up at {info.bootstrap_servers} (pid {info.pid}), log {info.log_file}")
    else:
        typer.echo(f"No broker runs in {broker.home.root}")
    if info is None or frozen is not None:
        raise typer.Exit(1)


def _broker(home: Path | None, port: int | None = None) -> Broker:
    from deploy.broker.broker import Broker

    return Broker(home, port, preferred_port=USUAL_PORT, say=lambda text: typer.echo(text, err=True))


def _print_info(info: BrokerInfo | None, home: Path) -> None:
    print_json({"bootstrap_servers": None, "home": str(home)} if info is None else asdict(info))
