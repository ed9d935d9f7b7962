"""Figures of weights that are there: measured again, and written into their card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contracts.errors import SettingsError
from models.card import Measurement, ModelCard, write_card
from models.interface import Task
from models.weights import WEIGHTS_FOLDER
from models.zoo import load_model
from training.data.samples import Role
from training.recipes import default_task
from training.tasks.measuring import Report, no_report

_LABELS = {Task.SEGMENTATION: "masks", Task.DETECTION: "boxes", Task.CLASSIFICATION: "classes"}


def measure_weights(
    name: str,
    weights: Path | None = None,
    role: Role = Role.TEST,
    sets: Sequence[str] = (),
    *,
    write: bool = False,
    device: str = "cpu",
    report: Report = no_report,
) -> list[Measurement]:
    """The figures of a network on the images of a role.

    Args:
        name: registered name.
        weights: safetensors file with its card beside it; None for those that ship.
        role: of the images.
        sets: data sets; none given: those that the default recipe of the task learns from.
        write: replace the figures of the card by those of the same images; how to measure them again stays.
        device: where to compute.
        report: gets the number of images done, and of all.

    Raises:
        SettingsError: no such network, weights or data, or none that it can be measured on; or figures of other images than those of
            role test are to be written.
    """
    if write and role is not Role.TEST:
        raise SettingsError(
            expected="test images, where figures are written into a card",
            got=f"images of role {role}",
            where="`images to measure on`",
            action="Measure without writing, or on the test images.",
        )
    model, card = load_model(name, weights)
    task = default_task(model, sets)
    measured = task.measure(model, role, weights, device=device, report=report)
    if not measured:
        raise SettingsError(
            expected=f"images with {_LABELS[model.task]} to measure on",
            got=f"none of role {role} in {', '.join(task.recipe.sets) or 'no data set'}",
            where="`images to measure on`",
            action=f"Name data sets that have such images, or another role; a {model.task} network is measured on nothing else.",
        )
    if write:
        write_card(remeasured(card, measured), (weights or WEIGHTS_FOLDER / f"{name}.safetensors").with_suffix(".json"))
    return measured


def remeasured(card: ModelCard, measured: Sequence[Measurement]) -> ModelCard:
    """A card with newer figures of the images it has figures of; how to measure them again stays, as do figures of other images.

    Raises:
        SettingsError: it has figures of none of the images that were measured.
    """
    newer = {each.data: each for each in measured}
    if not any(before.data in newer for before in card.measured):
        raise SettingsError(
            expected=f"images that the card of {card.name} has figures of: {', '.join(each.data for each in card.measured) or 'none'}",
            got=", ".join(newer) or "none",
            where="figures to replace",
            action="Measure without writing, or on the data sets of the card.",
        )
    kept = (newer[before.data].replacing(before) if before.data in newer else before for before in card.measured)
    return card.model_copy(update={"measured": tuple(kept)})
