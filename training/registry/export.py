"""Turn a trained checkpoint into weights that ship: `python -m training.registry.export acm`.

Chooses thresholds on `select` images, writes half-precision safetensors, reads them back, measures what was read on
`test` images and writes the card. `--measure` only prints the figures of weights that are already there; with `--write` they replace
those of the card.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue

from contracts.errors import SettingsError
from models.card import Measurement, ModelCard, write_card
from models.classification.base import ClassificationModel
from models.cost import FRAME_PX, gmacs, num_parameters
from models.detection.base import DetectionModel
from models.segmentation.base import SegmentationModel
from models.transforms import PREPROCESS_VERSION
from models.weights import WEIGHTS_FOLDER, load_weights, save_weights
from models.zoo import AnyModel, create_model, list_models, load_model
from training.commands import tells_mistakes
from training.data.catalogue import licence_of
from training.data.samples import Role
from training.loop.checkpoint import read_checkpoint, require_fit
from training.loop.identity import require_same
from training.tasks.classification import ClassificationRecipe
from training.tasks.detection import DetectionRecipe
from training.tasks.measuring import (
    DATASET,
    Counts,
    choose_score_threshold,
    choose_segmentation_threshold,
    count_silently,
    measure_classification,
    measure_detection,
    measure_segmentation,
)
from training.tasks.segmentation import SegmentationRecipe
from training.train import RUNS

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Provenance:
    """How weights came to be, for their card.

    Attributes:
        command: that makes them again.
        details: what it does.
        sets: data sets they learnt from; segmenters are measured on those of them that have masks.
        clock: what the time of the training is: `minutes`, or `processor_minutes`.
        threshold: of a segmenter, fixed; None chooses it on held-out images.
    """

    command: str
    details: str
    sets: tuple[str, ...]
    clock: str = "minutes"
    threshold: float | None = None


def export(
    name: str,
    checkpoint: Path,
    weights: Path,
    provenance: Provenance | None = None,
    *,
    device: str = "cpu",
    tell: Tell = lambda part, done, of: None,
) -> ModelCard:
    """Write weights and card of a trained network: the best averaged weights where a judge chose, else the last ones.

    Weights and card that are there are replaced together, after the measurement; where that fails they stay.

    Args:
        name: registered name.
        checkpoint: as `training.loop.loop` writes it.
        weights: safetensors file to write; the card goes beside it.
        provenance: None for a run of `python -m training.train`.
        device: where segmenters compute what is chosen and measured.
        tell: gets what is done to the images of a segmenter, how many are done, and of how many.

    Raises:
        SettingsError: no such checkpoint, one of another network, or the images to choose thresholds on are not there.
    """
    model, state = _trained(name, checkpoint)
    weights.parent.mkdir(parents=True, exist_ok=True)
    # Whoever runs these weights keeps the old ones until the new ones are measured.
    with tempfile.TemporaryDirectory(dir=weights.parent, prefix=".measuring-") as aside:
        unmeasured = Path(aside) / weights.name
        digest = save_weights(model.eval(), unmeasured)
        load_weights(model, unmeasured)
        card = _measured_card(model, state, digest, weights, provenance, device, tell)
        write_card(card, unmeasured.with_suffix(".json"))
        for file in (unmeasured, unmeasured.with_suffix(".json")):
            file.replace(weights.with_name(file.name))
    return card


def _measured_card(
    model: AnyModel, state: Mapping[str, Any], digest: str, weights: Path, provenance: Provenance | None, device: str, tell: Tell
) -> ModelCard:
    """The card of weights as they were read back: thresholds chosen, figures measured."""
    name = model.name
    told = provenance or _of_train(name, model, float(state["spent_s"]))
    model.configure(_choose(model, told, device, partial(tell, "choosing the threshold")))
    settings = model.settings
    assert isinstance(settings, BaseModel)
    measure_again = None if provenance is None else weights
    measured = measurements(model, sets=told.sets, weights=measure_again, device=device, tell=partial(tell, "measuring"))
    splits = "training splits" if told.threshold is None else "training and validation splits"
    return ModelCard(
        name=name,
        task=str(model.task),
        paper=model.paper,
        parameters=num_parameters(model),
        gmacs=round(gmacs(model, model.input_spec.fixed_size_px or FRAME_PX), 4),
        input_px=model.input_spec.fixed_size_px or FRAME_PX,
        classes=model.class_names,
        data=f"{', '.join(told.sets)} ({splits})",
        data_licence="; ".join(licence_of(dataset) for dataset in told.sets),
        recipe=_recipe(told, state),
        postprocess=settings.model_dump(),
        measured=tuple(measured),
        preprocess_version=PREPROCESS_VERSION,
        digest=digest,
    )


def _trained(name: str, checkpoint: Path) -> tuple[AnyModel, dict[str, Any]]:
    """The network with the weights that ship, and all that the checkpoint holds."""
    if not checkpoint.is_file():
        raise SettingsError(
            expected="a checkpoint",
            got="no such file",
            where=str(checkpoint),
            action=f"Train first (python -m training.train {name}) or name another one (--checkpoint).",
        )
    state = read_checkpoint(checkpoint, ("average", "steps", "spent_s"))
    model = create_model(name)
    require_same(state.get("identity") or {}, {"network": name}, checkpoint)
    tensors = state.get("best") or state["average"]
    require_fit(model, tensors, checkpoint)
    model.load_state_dict(tensors)
    return model, state


def _recipe(told: Provenance, state: Mapping[str, Any]) -> dict[str, JsonValue]:
    """What the card says of the training; which step it is of, where a judge chose."""
    minutes = round(float(state["spent_s"]) / 60, 1)
    recipe: dict[str, JsonValue] = {"command": told.command, "steps": int(state["steps"]), told.clock: minutes, "details": told.details}
    return recipe | ({"best_step": int(state["best_step"])} if state.get("best") else {})


def _of_train(name: str, model: AnyModel, spent_s: float) -> Provenance:
    return Provenance(
        f"python -m training.train {name} --minutes {round(spent_s / 60, 1)}",
        "AdamW, one cycle, averaged weights, last checkpoint; crops and losses as in training/; no test image took part",
        _sets(model),
        clock="processor_minutes",
    )


def measurements(
    model: AnyModel,
    role: Role = Role.TEST,
    sets: Sequence[str] | None = None,
    weights: Path | None = None,
    *,
    device: str = "cpu",
    tell: Counts = count_silently,
) -> list[Measurement]:
    """The figures of a network on the images of a role.

    Args:
        model: with its thresholds configured.
        role: of the images.
        sets: data sets of a segmenter; None for all that have masks.
        weights: named in the command that measures again; None: those that ship.
        device: where a segmenter computes.
        tell: gets the number of images of a segmenter done, and of all.
    """
    command = f"python -m training.registry.export {model.name} --measure" if weights is None else f"irstream evaluate {weights} {DATASET}"
    if isinstance(model, SegmentationModel):
        return measure_segmentation(model, role, command, sets, device=device, tell=tell)
    if isinstance(model, DetectionModel):
        return measure_detection(model, role, command)
    assert isinstance(model, ClassificationModel)
    return measure_classification(model, role, command)


def remeasured(card: ModelCard, measured: Sequence[Measurement]) -> ModelCard:
    """A card with newer figures of the images it has figures of; how to measure them again stays."""
    newer = {each.data: each for each in measured}
    kept = (each.model_copy(update={"command": before.command}) for before in card.measured if (each := newer.get(before.data)))
    return card.model_copy(update={"measured": tuple(kept)})


def _choose(model: AnyModel, told: Provenance, device: str, tell: Counts) -> dict[str, float]:
    if isinstance(model, SegmentationModel):
        if told.threshold is not None:
            return model.settings.model_dump() | {"threshold": told.threshold}
        return choose_segmentation_threshold(model, told.sets, device=device, tell=tell)
    return choose_score_threshold(model) if isinstance(model, DetectionModel) else {}


def _sets(model: AnyModel) -> tuple[str, ...]:
    """Whose training splits its recipe draws from."""
    if isinstance(model, SegmentationModel):
        return tuple(SegmentationRecipe().shares)
    if isinstance(model, DetectionModel):
        return tuple(DetectionRecipe().shares)
    recipe = ClassificationRecipe()
    return recipe.named_sets + recipe.unnamed_sets


@tells_mistakes
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.registry.export", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", choices=list_models())
    parser.add_argument("--checkpoint", type=Path, help="default runs/train/NAME/checkpoint.pt")
    parser.add_argument("--weights", type=Path, help="default: those that ship, in models/weights")
    parser.add_argument("--measure", action="store_true", help="only measure existing weights and print")
    parser.add_argument("--write", action="store_true", help="with --measure: write the figures of test images into the card")
    parser.add_argument("--role", type=Role, choices=list(Role), default=Role.TEST, help="with --measure: images to measure on")
    arguments = parser.parse_args()
    if arguments.write and (not arguments.measure or arguments.role is not Role.TEST):
        parser.error("--write goes with --measure and the images of role test")
    weights = arguments.weights or WEIGHTS_FOLDER / f"{arguments.name}.safetensors"
    if arguments.measure:
        model, card = load_model(arguments.name, weights)
        measured: list[Measurement] = measurements(model, arguments.role)
        if arguments.write:
            write_card(remeasured(card, measured), weights.with_suffix(".json"))
    else:
        measured = list(export(arguments.name, arguments.checkpoint or RUNS / arguments.name / "checkpoint.pt", weights).measured)
    for measurement in measured:
        print(json.dumps({"data": measurement.data} | measurement.values))


if __name__ == "__main__":
    main()
