"""The weights of each fold as a candidate: a folder with weights and card that can be evaluated, loaded and promoted."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import safetensors.torch
from torch import Tensor

from contracts.errors import SettingsError
from models.card import FIGURE_DIGITS, Measurement, ModelCard
from models.cost import FRAME_PX, gmacs, num_parameters
from models.ensemble import TASKS, joined_state
from models.transforms import PREPROCESS_VERSION
from models.zoo import create_model
from training.data.parquet_set import read_table
from training.distributed.cross_validation import CrossValidation
from training.distributed.storage import Storage

WEIGHTS = "weights.safetensors"


def write_candidates(run: CrossValidation, results: Sequence[Mapping[str, Any]], command: str) -> list[str]:
    """Write `fold-N/weights.safetensors` and `fold-N/weights.json` into the folder of a training that is done; the folders.

    Where masks or classes have a mean, the networks of all folds as one, too: `weights.safetensors` and its card, in the folder itself.

    Args:
        run: the training.
        results: of its folds, see `cross_validate`.
        command: that makes them again.

    Raises:
        SettingsError: the weights of a fold are not there.
    """
    storage, places = Storage(run.out), list[str]()
    states, cards = list[dict[str, Tensor]](), list[ModelCard]()
    tables = [read_table(folder, ["dataset", "licence"]) for folder in run.folders]
    names, licences = (sorted({value for table in tables for value in table[column].to_pylist()}) for column in ("dataset", "licence"))
    for result in results:
        fold = f"fold-{result['fold']}"
        value = storage.read(f"{fold}.safetensors")
        if value is None:
            raise SettingsError(
                expected=f"the weights {fold}.safetensors",
                got="none",
                where=storage.place,
                action="Give the command of the training again.",
            )
        card = _card(run, result, names, licences, command, hashlib.sha256(value).hexdigest())
        storage.write(f"{fold}/{WEIGHTS}", value)
        storage.write(f"{fold}/weights.json", _text(card))
        places.append(f"{storage.place}/{fold}")
        states.append(safetensors.torch.load(value))
        cards.append(card)
    if len(cards) == run.folds.num > 1 and cards[0].task in TASKS:
        value = safetensors.torch.save(joined_state(states))
        storage.write(WEIGHTS, value)
        storage.write("weights.json", _text(_ensemble_card(run, cards, hashlib.sha256(value).hexdigest())))
        places.append(storage.place)
    return places


def _text(card: ModelCard) -> bytes:
    return (json.dumps(card.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n").encode()


def _ensemble_card(run: CrossValidation, cards: Sequence[ModelCard], digest: str) -> ModelCard:
    first, num = cards[0], len(cards)
    which = f"{num} networks of {num} folds, which know all images together; data {run.folds.data[:12]}, folds {run.folds.digest[:12]}"
    total = {name: sum(float(str(card.recipe[name])) for card in cards) for name in ("steps", "minutes")}
    return first.model_copy(
        update={
            "parameters": num * first.parameters,
            "gmacs": round(num * first.gmacs, 6),
            "data": f"{first.data.rpartition(' (')[0]} ({which})",
            "recipe": {
                "command": first.recipe["command"],
                "steps": int(total["steps"]),
                "minutes": round(total["minutes"], 1),
                "details": f"{first.recipe['details']}; the mean of the logits of {num} networks, at {num} times the cost of one; "
                "thresholds are the means of theirs",
            },
            "postprocess": {name: sum(card.postprocess[name] for card in cards) / num for name in first.postprocess},
            "measured": (),
            "digest": digest,
            "members": num,
        }
    )


def _card(
    run: CrossValidation, result: Mapping[str, Any], names: Sequence[str], licences: Sequence[str], command: str, digest: str
) -> ModelCard:
    model = create_model(run.training.model)
    side_px = model.input_spec.fixed_size_px or FRAME_PX
    figures = {name: round(value, FIGURE_DIGITS) for name, value in result["figures"].items() if value is not None and math.isfinite(value)}
    which = f"fold {result['fold']} of {run.folds.num}: {result['train']} images; data {run.folds.data[:12]}, folds {run.folds.digest[:12]}"
    return ModelCard(
        name=model.name,
        task=str(model.task),
        paper=model.paper,
        parameters=num_parameters(model),
        gmacs=round(gmacs(model, side_px), 6),
        input_px=side_px,
        classes=model.class_names,
        data=f"{', '.join(names)} ({which})",
        data_licence="; ".join(licences),
        recipe={
            "command": command,
            "steps": result["steps"],
            "minutes": round(result["took_s"] / 60, 1),
            "details": f"{run.training.plan.source}; {run.training.plan.length()}, {run.training.workers} processes",
            "best_step": result["best_step"],
        },
        postprocess=dict(result["settings"]),
        measured=(
            Measurement(
                data=f"{' + '.join(names)} out of fold ({result['test']} images)", command=f"irstream runs show {run.out}", values=figures
            ),
        ),
        preprocess_version=PREPROCESS_VERSION,
        digest=digest,
    )
