"""Make the weights of a run those that ship.

The card stays what `irstream train` measured; only the commands that measure again name the network instead of the run's file.
Weights that know one data set only ship beside the general ones and are named by their file.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from models.card import ModelCard, read_card, write_card
from models.weights import WEIGHTS_FOLDER
from models.zoo import load_model
from training.recipes import default_task


def ship(run: Path, folder: Path = WEIGHTS_FOLDER, alone: str | None = None) -> ModelCard:
    """Copy weights and card of a run.

    Args:
        run: folder with `weights.safetensors` and its card, as `irstream train` writes them.
        folder: where weights that ship lie.
        alone: the one data set they know, also the name of their folder in there; None: they are the network's general ones.

    Raises:
        SettingsError: one is missing, or they do not belong together.
    """
    weights = run / "weights.safetensors"
    name = read_card(weights.with_suffix(".json")).name
    network, card = load_model(name, weights)
    task = default_task(network, card.learnt_from)
    shipped = None if alone is None else Path(f"models/weights/{alone}/{name}.safetensors")
    commands = [task.measured_by(name, shipped, each.dataset) for each in card.measured]
    measured = tuple(each.model_copy(update={"command": command}) for each, command in zip(card.measured, commands, strict=True))
    card = card.model_copy(update={"measured": measured})
    folder = folder if alone is None else folder / alone
    folder.mkdir(exist_ok=True)
    shutil.copyfile(weights, folder / f"{name}.safetensors")
    write_card(card, folder / f"{name}.json")
    return card
