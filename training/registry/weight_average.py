"""The mean of the weights of several trainings of one network.

For trainings where one began with the weights of another: their mean is between both in what it answers, and often better than
that (Wortsman et al. 2022, Model soups, arXiv:2203.05482). Statistics of batch norms are
taken, thresholds chosen and figures measured anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import JsonValue
from torch import Tensor

from contracts.errors import SettingsError
from models.card import ModelCard, read_card, write_card
from models.interface import Task
from models.weights import digest_of
from models.zoo import create_model
from training.loop.checkpoint import read_checkpoint
from training.loop.settings import LoopSettings
from training.recipes import DEFAULT, plan_named
from training.registry.export import Provenance, calibrate, export
from training.tasks.base import Recipe

_SPLITS = " (training splits)"
_CLOCKS = ("minutes", "processor_minutes")


def weight_average(runs: Sequence[Path], folder: Path) -> ModelCard:
    """Write weights and card of the mean.

    The last averaged weights of each count, also where held-out images chose others.

    Args:
        runs: folders of trainings of the same network on the same data sets, with checkpoint, weights and card.
        folder: for what comes out.

    Raises:
        SettingsError: one is missing, or they are of different networks or data.
    """
    cards = [read_card(run / "weights.json") for run in runs]
    kinds = {(card.name, card.data) for card in cards}
    if len(runs) < 2 or len(kinds) > 1 or not cards[0].data.endswith(_SPLITS):
        raise SettingsError(
            expected="two or more trainings of one network on the training splits of the same data sets",
            got="; ".join(f"{card.name} on {card.data}" for card in cards),
            where="runs to average",
            action="Name runs of `irstream train NAME` with recipe ours or robust, one with the other's as `weights to begin with`.",
        )
    states = [read_checkpoint(run / "checkpoint.pt", ("average", "steps", "spent_s")) for run in runs]
    steps, spent_s = (sum(state[name] for state in states) for name in ("steps", "spent_s"))
    mean = {key: _mean([state["average"][key] for state in states]) for key in states[0]["average"]}
    recipe = _recipe_of(cards[0])
    result = _calibrated(cards[0].name, mean, recipe, min(LoopSettings(max_steps=steps).calibration_batches, steps))
    folder.mkdir(parents=True, exist_ok=True)
    state = {"average": mean, "result": result, "steps": steps, "spent_s": spent_s, "identity": {"network": cards[0].name}}
    torch.save(state, folder / "checkpoint.pt")
    provenance = Provenance(
        f"irstream models average {' '.join(map(str, runs))} --out {folder}",
        "mean of the weights of trainings: " + "; and ".join(_text_of(run, card) for run, card in zip(runs, cards, strict=True)),
        recipe,
    )
    card = export(cards[0].name, folder / "checkpoint.pt", folder / "weights.safetensors", provenance)
    card = card.model_copy(update={"recipe": {key: value for key, value in card.recipe.items() if key not in _CLOCKS} | _times(cards)})
    write_card(card, folder / "weights.json")
    return card


def _recipe_of(card: ModelCard) -> Recipe:
    """The default recipe of the task on the data of the runs: its crops give the batch norms their statistics."""
    return plan_named(DEFAULT, card.data.removesuffix(_SPLITS).split(", "), task=Task(card.task)).recipe


def _calibrated(name: str, tensors: dict[str, Tensor], recipe: Recipe, batches: int) -> dict[str, Tensor]:
    network = create_model(name)
    network.load_state_dict(tensors)
    calibrate(network, recipe, batches)
    return dict(network.state_dict())


def _times(cards: Sequence[ModelCard]) -> dict[str, JsonValue]:
    """Minutes of all by what they were counted with: those of a GPU's clock and of a processor's are not added."""
    spent = {clock: [float(str(card.recipe[clock])) for card in cards if clock in card.recipe] for clock in _CLOCKS}
    return {clock: round(sum(minutes), 1) for clock, minutes in spent.items() if minutes}


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).mean(0) if tensors[0].is_floating_point() else tensors[-1]


def _text_of(run: Path, card: ModelCard) -> str:
    recipe = card.recipe
    return f"{digest_of(run / 'weights.safetensors')[:12]} ({recipe['command']}, {recipe['steps']:,} steps: {recipe['details']})"
