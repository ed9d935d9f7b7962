"""Make the weights of a run those that ship: `python -m training.registry.ship runs/train/kestrel`.

The card stays what `irstream train` measured; only the commands that measure again name the network instead of the run's file.
Weights that know one data set only ship beside the general ones, `--alone nudt-sirst`, and are named by their file.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from models.card import ModelCard, read_card, write_card
from models.weights import WEIGHTS_FOLDER
from models.zoo import load_model
from training.commands import tells_mistakes


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
    _, card = load_model(name, weights)
    model = name if alone is None else f"models/weights/{alone}/{name}.safetensors"
    measured = tuple(each.model_copy(update={"command": f"irstream evaluate {model} {each.data.split()[0]}"}) for each in card.measured)
    card = card.model_copy(update={"measured": measured})
    folder = folder if alone is None else folder / alone
    folder.mkdir(exist_ok=True)
    shutil.copyfile(weights, folder / f"{name}.safetensors")
    write_card(card, folder / f"{name}.json")
    return card


@tells_mistakes
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.registry.ship", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--alone", metavar="DATASET", help="the one data set that these weights know")
    arguments = parser.parse_args()
    for run in arguments.runs:
        card = ship(run, alone=arguments.alone)
        print(f"{card.name} {card.digest}")


if __name__ == "__main__":
    main()
