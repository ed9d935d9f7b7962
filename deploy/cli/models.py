"""`irstream models list|show`: the registered networks, and the cards of the weights that ship with them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from models.card import ModelCard

app = typer.Typer(help="The registered networks and their model cards.", no_args_is_help=True, pretty_exceptions_enable=False)


@app.command("list")
def list_command(as_json: JsonOption = False) -> None:
    """Name, task, size and weights of every registered network."""
    from models.zoo import list_models

    cards = {name: _card(name) for name in list_models()}
    if as_json:
        print_json({name: _plan(name) if card is None else card.model_dump(mode="json") for name, card in cards.items()})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "task", "parameters", "GMACs", "measured on", "digest", box=None, pad_edge=False)
    for name, card in cards.items():
        table.add_row(*(_bare_row(name) if card is None else _row(name, card)))
    Console(soft_wrap=True).print(table)


@app.command()
def show(name: Annotated[str, typer.Argument(help="Registered name, see `irstream models list`.")], as_json: JsonOption = False) -> None:
    """The whole model card: paper, data, licence, recipe, measured figures, digest; without weights, what there is to say."""
    from models.zoo import list_trained, load_model

    told = load_model(name)[1].model_dump(mode="json") if name in list_trained() else _plan(name)
    if as_json:
        print_json(told)
    else:
        from rich.console import Console

        Console().print_json(data=told)


def _card(name: str) -> ModelCard | None:
    from models.card import read_card
    from models.weights import WEIGHTS_FOLDER

    path = WEIGHTS_FOLDER / f"{name}.json"
    return read_card(path) if path.is_file() else None


def _plan(name: str) -> dict[str, Any]:
    """What is known of a network without weights, under the names of a card, and how to get some."""
    from models.cost import sketch

    return asdict(sketch(name)) | {"digest": None, "recipe": {"command": f"irstream train {name}"}}


def _bare_row(name: str) -> tuple[str, ...]:
    from models.cost import sketch

    bare = sketch(name)
    return name, bare.task, f"{bare.parameters:,}", f"{bare.gmacs:.2f}", f"no weights here: irstream train {name}", ""


def _row(name: str, card: ModelCard) -> tuple[str, ...]:
    measured = "; ".join(f"{item.data}: {_figures(item.values)}" for item in card.measured[:1]) or "not measured"
    return name, card.task, f"{card.parameters:,}", f"{card.gmacs:.2f}", measured, card.digest[:12]


def _figures(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value:.3g}" for key, value in list(values.items())[:3])
