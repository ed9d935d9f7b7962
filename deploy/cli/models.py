"""`irstream models`: the registered networks, the cards of the weights that ship with them, and what is done with both."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli import models_care, models_production, models_reports
from deploy.cli.models_production import RegistryOption
from deploy.cli.options import ConfigOption, JsonOption, print_json

if TYPE_CHECKING:
    from models.card import ModelCard
    from models.cost import Sketch

app = typer.Typer(
    help="The registered networks and their model cards.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
for _command in (models_care.export, models_care.measure, models_care.calibrate, models_care.average, models_care.ship):
    app.command()(_command)
for _change in (models_production.promote, models_production.rollback):
    app.command()(_change)
for _report in (models_reports.tables, models_reports.compare, models_reports.pictures, models_reports.augmentation):
    app.command()(_report)


@app.command("list")
def list_command(
    versions: Annotated[bool, typer.Option("--versions", help="Instead: versions in the registry, and which are in production.")] = False,
    registry: RegistryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name, task, size and weights of every registered network."""
    if versions:
        models_production.print_versions(config, registry, as_json)
        return
    from deploy.terminal.consoles import table_console
    from deploy.terminal.model_text import overview
    from models.cost import sketch
    from models.zoo import list_models

    networks = [(sketch(name), _card(name)) for name in list_models()]
    if as_json:
        print_json({bare.name: _plan(bare) if card is None else card.model_dump(mode="json") for bare, card in networks})
    else:
        table_console().print(overview(networks))


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="Registered name (`irstream models list`), safetensors file, folder of a run; or a role such as detector.")
    ],
    registry: RegistryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The whole model card: paper, data, licence, recipe, measured figures, digest; without weights, what there is to say.

    Of a role: its versions, which one is in production, and how that came to be.
    """
    from models.versions import ROLES

    if name in ROLES:
        models_production.print_role(name, config, registry, as_json)
        return
    from deploy.cli.segmenters import weights_named
    from deploy.terminal.consoles import table_console
    from deploy.terminal.model_text import bare_card, whole_card
    from models.card import read_card, train_command
    from models.cost import sketch
    from models.zoo import list_trained, load_model

    path = weights_named(name)
    if path is not None or name in list_trained():
        card = load_model(name)[1] if path is None else load_model(read_card(path.with_suffix(".json")).name, path)[1]
        facts, text = card.model_dump(mode="json"), whole_card(card)
    else:
        bare = sketch(name)
        facts, text = _plan(bare), bare_card(bare, train_command(name))
    if as_json:
        print_json(facts)
    else:
        table_console().print(text)


def _card(name: str) -> ModelCard | None:
    from models.card import read_card
    from models.weights import WEIGHTS_FOLDER

    path = WEIGHTS_FOLDER / f"{name}.json"
    return read_card(path) if path.is_file() else None


def _plan(bare: Sketch) -> dict[str, Any]:
    """Fields of a card for a network without weights, and how to get some."""
    from models.card import train_command

    return asdict(bare) | {"digest": None, "recipe": {"command": train_command(bare.name)}}
