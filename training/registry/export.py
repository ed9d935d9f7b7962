"""From a trained checkpoint to weights with a card: thresholds chosen on held-out images, figures measured on test images.

Weights are written in half precision and read back, so that what is measured is what ships.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue

from contracts.errors import SettingsError
from models.card import NOTHING, ModelCard, train_command, write_card
from models.cost import FRAME_PX, gmacs, num_parameters
from models.transforms import PREPROCESS_VERSION
from models.weights import load_weights, save_weights
from models.zoo import AnyModel, create_model
from training.data.catalogue import licence_of
from training.data.samples import Role
from training.loop.checkpoint import read_checkpoint, require_fit
from training.loop.identity import require_same
from training.loop.norms import calibrate_norms
from training.tasks.base import Recipe
from training.tasks.known import task_of

FILTER = "a filter: its threshold is chosen, nothing is learnt"
"""Details of a card without a training."""
ReportPart = Callable[[str, int, int], None]
"""Gets what is done to the images, how many are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin of weights, for their card.

    Attributes:
        command: that makes them again.
        details: what it does.
        recipe: which images taught, choose and measure.
        clock: what the time of the training is: `minutes`, or `processor_minutes`.
    """

    command: str
    details: str
    recipe: Recipe
    clock: str = "minutes"

    @property
    def splits(self) -> str:
        """Images of the data sets that were learnt from."""
        return "training and validation splits" if Role.SELECT in self.recipe.roles else "training splits"


def export(
    name: str,
    checkpoint: Path,
    weights: Path,
    provenance: Provenance,
    *,
    device: str = "cpu",
    ships: bool = False,
    report: ReportPart = lambda part, done, of: None,
) -> ModelCard:
    """Write weights and card of a trained network: the best averaged weights where held-out images were asked, else the last ones.

    A filter (`Model.learns`) needs no checkpoint: its threshold is chosen and its figures are measured.

    Weights and card that are there are replaced together, after the measurement; where that fails they stay.

    Args:
        name: registered name.
        checkpoint: as `training.loop.loop` writes it.
        weights: safetensors file to write; the card goes beside it.
        provenance: how they came to be.
        device: where to compute what is chosen and measured.
        ships: the weights are those that ship: the card's commands name the network, not the file.
        report: gets how far it is.

    Raises:
        SettingsError: no such checkpoint, one of another network, or the images to choose thresholds on are not there.
    """
    model, state = _trained(name, checkpoint, provenance.recipe)
    weights.parent.mkdir(parents=True, exist_ok=True)
    # Whoever runs these weights keeps the old ones until the new ones are measured.
    with tempfile.TemporaryDirectory(dir=weights.parent, prefix=".measuring-") as aside:
        unmeasured = Path(aside) / weights.name
        digest = save_weights(model.eval(), unmeasured)
        load_weights(model, unmeasured)
        card = _measured_card(model, state, digest, None if ships else weights, provenance, device, report)
        write_card(card, unmeasured.with_suffix(".json"))
        for file in (unmeasured, unmeasured.with_suffix(".json")):
            file.replace(weights.with_name(file.name))
    return card


def _measured_card(
    model: AnyModel,
    state: Mapping[str, Any],
    digest: str,
    weights: Path | None,
    provenance: Provenance,
    device: str,
    report: ReportPart,
) -> ModelCard:
    """The card of weights as they were read back: thresholds chosen, figures measured."""
    task = task_of(model, provenance.recipe)
    model.configure(task.choose(model, device=device, report=partial(report, "choosing the threshold")))
    settings = model.settings
    assert isinstance(settings, BaseModel)
    measured = task.measure(model, Role.TEST, weights, device=device, report=partial(report, "measuring"))
    sets = provenance.recipe.sets
    return ModelCard(
        name=model.name,
        task=str(model.task),
        paper=model.paper,
        parameters=num_parameters(model),
        gmacs=round(gmacs(model, model.input_spec.fixed_size_px or FRAME_PX), 6),
        input_px=model.input_spec.fixed_size_px or FRAME_PX,
        classes=model.class_names,
        data=f"{', '.join(sets)} ({provenance.splits})" if model.learns else f"{NOTHING} (threshold: held-out images of {', '.join(sets)})",
        data_licence="; ".join(licence_of(dataset) for dataset in sets) if model.learns else f"{NOTHING} was learnt",
        recipe=_recipe(provenance, state),
        postprocess=settings.model_dump(),
        measured=tuple(measured),
        preprocess_version=PREPROCESS_VERSION,
        digest=digest,
    )


def _trained(name: str, checkpoint: Path, recipe: Recipe) -> tuple[AnyModel, dict[str, Any]]:
    """The network with the weights that a training hands on, and all that the checkpoint holds.

    Averaged weights of a training that was stopped have the norms that the training would have given them at its end.
    """
    model = create_model(name)
    if not model.learns:
        return model, {"steps": 0, "spent_s": 0.0}
    if not checkpoint.is_file():
        raise SettingsError(
            expected="a checkpoint",
            got="no such file",
            where=str(checkpoint),
            action=f"Train first ({train_command(name)}) or name another `folder`.",
        )
    state = read_checkpoint(checkpoint, ("average", "steps", "spent_s"))
    require_same(state.get("identity") or {}, {"network": name}, checkpoint)
    over = state.get("result") or state.get("best")
    tensors = over or state["average"]
    require_fit(model, tensors, checkpoint)
    model.load_state_dict(tensors)
    if not over:
        calibrate(model, recipe, int(state.get("calibration_batches", 0)))
    return model, state


def calibrate(model: AnyModel, recipe: Recipe, num_batches: int) -> None:
    """Calibrate the norms of averaged weights on crops of a recipe, in place, as a training does at its end; on 0 batches not at all.

    Raises:
        SettingsError: the images of the recipe are not there.
    """
    if num_batches:
        calibrate_norms(model.eval(), task_of(model, recipe).source().calibration(num_batches))


def _recipe(provenance: Provenance, state: Mapping[str, Any]) -> dict[str, JsonValue]:
    """The card's text about the training; with its step, where held-out images chose it."""
    minutes = round(float(state["spent_s"]) / 60, 1)
    recipe: dict[str, JsonValue] = {"command": provenance.command, "steps": int(state["steps"]), provenance.clock: minutes}
    recipe["details"] = provenance.details
    return recipe | ({"best_step": int(state["best_step"])} if state.get("best") else {})
