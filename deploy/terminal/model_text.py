"""Networks and their cards as text for people; programs ask for `--json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from models.card import Measurement, ModelCard
    from models.cost import Sketch

# Enough to distinguish networks in a line; the card has them all.
_FIRST_FIGURES = 3
_DIGEST_CHARACTERS = 12


def overview(networks: Sequence[tuple[Sketch, ModelCard | None]]) -> RenderableType:
    """One line a network, a table a task: size, cost, weights, and the first figures of its first test images."""
    tasks = dict.fromkeys(bare.task for bare, _ in networks)
    parts: list[RenderableType] = []
    for task in tasks:
        table = Table(task, "parameters", "GMACs", "weights", "measured", box=None, pad_edge=False)
        for name in ("parameters", "GMACs"):
            next(column for column in table.columns if column.header == name).justify = "right"
        for bare, card in networks:
            if bare.task == task:
                table.add_row(bare.name, f"{bare.parameters:,}", f"{bare.gmacs:.3f}", *_weights(card))
        parts += [table, ""]
    return Group(*parts, "-: no weights ship; irstream train NAME makes some, for any task. irstream models show NAME shows all of one.")


def _weights(card: ModelCard | None) -> tuple[str, str]:
    if card is None:
        return "-", ""
    measured = card.measured[0] if card.measured else None
    return card.digest[:_DIGEST_CHARACTERS], "" if measured is None else f"{measured.data}: {_figures(measured.values, _FIRST_FIGURES)}"


def whole_card(card: ModelCard) -> RenderableType:
    """All that a card says."""
    facts = {
        "from": card.paper,
        "size": f"{card.parameters:,} parameters, {card.gmacs:g} G multiply-adds for {card.input_px} x {card.input_px} px",
        "answers": ", ".join(card.classes),
        "learnt from": card.data,
        "licences": card.data_licence,
        "trained by": str(card.recipe.get("command", "")),
        "how": ", ".join(f"{name} {value}" for name, value in card.recipe.items() if name != "command"),
        "settings": _figures(card.postprocess) or "none",
        "preprocessing": f"version {card.preprocess_version}",
        "weights": f"sha256 {card.digest}",
    }
    return Group(Text(f"{card.name}: {card.task}", "bold"), _facts(facts), *_measured(card))


def bare_card(bare: Sketch, command: str) -> RenderableType:
    """Text about a network without weights."""
    facts = {
        "from": bare.paper,
        "size": f"{bare.parameters:,} parameters, {bare.gmacs:g} G multiply-adds for {bare.input_px} x {bare.input_px} px",
        "weights": f"none ship; {command} makes some",
    }
    return Group(Text(f"{bare.name}: {bare.task}", "bold"), _facts(facts))


def _facts(facts: Mapping[str, str]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for name, fact in facts.items():
        table.add_row(Text(name, "dim", no_wrap=True), Text(fact))
    return Padding(table, (0, 0, 0, 2), expand=False)


def _measured(card: ModelCard) -> Iterator[RenderableType]:
    if not card.measured:
        yield "\nnot measured"
        return
    yield "\nmeasured, on images that taught nothing and chose nothing; rates from 0 to 1"
    for measured in card.measured:
        yield Padding(_measurement(measured, card.classes), (0, 0, 0, 2), expand=False)


def _measurement(measured: Measurement, classes: Sequence[str]) -> RenderableType:
    parts: list[RenderableType] = [Text(measured.data), Text(f"  {_figures(measured.values)}"), Text(f"  again: {measured.command}", "dim")]
    if measured.confusion:
        rows = [(name, row) for name, row in zip(classes, measured.confusion, strict=True) if any(row)]
        table = Table("truth", *classes, box=None, pad_edge=False)
        for name, row in rows:
            table.add_row(name, *map(str, row))
        parts.append(Padding(table, (0, 0, 0, 2), expand=False))
    return Group(*parts)


def _figures(values: Mapping[str, float], num: int | None = None) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in list(values.items())[:num])
