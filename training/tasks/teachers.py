"""Networks that are trained already and teach another one: the mean of their logits on its crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from contracts.errors import SettingsError
from models.card import read_card
from models.interface import Task
from models.weights import WEIGHTS_FOLDER, digest_of
from models.zoo import AnyModel, list_trained, load_model
from training.data.batches import Batch, padded_pixels
from training.data.folds import folds_of_file

_WEIGHTS, _FOLDS = "weights.safetensors", "folds.json"


@dataclass(frozen=True, slots=True)
class Teacher:
    """Weights that teach.

    Attributes:
        path: file with its card beside it.
        digest: of the file.
    """

    path: str
    digest: str


def teachers_named(names: Sequence[str]) -> tuple[Teacher, ...]:
    """Weights by their names: registered networks whose weights ship, files, folders of runs; a run in folds is all of its networks.

    Raises:
        SettingsError: a name leads to no weights.
    """
    return tuple(Teacher(str(path), digest_of(path)) for name in names for path in _files_of(name))


def _files_of(name: str) -> list[Path]:
    if name in list_trained():
        return [WEIGHTS_FOLDER / f"{name}.safetensors"]
    path = Path(name).resolve()
    folds = sorted(path.glob(f"fold-*/{_WEIGHTS}"))
    if (path / _FOLDS).is_file() and len(folds) != (num := folds_of_file(path / _FOLDS).num):
        raise SettingsError(
            expected=f"the weights of all {num} folds",
            got=f"those of {len(folds)}",
            where=f"`teacher` {path}",
            action="Give the command of that training again, or name single folds (fold-0, ...).",
        )
    found = folds or ([path / _WEIGHTS] if (path / _WEIGHTS).is_file() else [path])
    if not all(each.is_file() for each in found):
        raise SettingsError(
            expected="a network whose weights ship, a safetensors file with its card beside it, or the folder of a run",
            got=repr(name),
            where="`teacher`",
            action="Check the path; irstream models list says which weights ship.",
        )
    return found


def what_they_know(teachers: Sequence[Teacher], sets: Sequence[str]) -> str:
    """Text for the card of a student: the images that its teachers learnt from, and which figures of it say too much therefore.

    Args:
        teachers: of the student.
        sets: data sets of the student.

    Raises:
        SettingsError: a card cannot be read.
    """
    cards = [read_card(Path(each.path).with_suffix(".json")) for each in teachers]
    learnt = "; ".join(dict.fromkeys(card.data for card in cards))
    known = sorted({name for card in cards if card.knows_tests for name in card.learnt_from} & set(sets))
    warning = f", so they know test images of {', '.join(known)}: figures on these say too much" if known else ""
    return f"which learnt from {learnt}{warning}"


class Teachers:
    """Loaded teachers of one task, never trained.

    Args:
        teachers: at least one.
        student: the network that learns from them.

    Raises:
        SettingsError: one cannot be loaded, is of another task or of other classes than the student, or is a filter.
    """

    def __init__(self, teachers: Sequence[Teacher], student: AnyModel) -> None:
        """Load them."""
        self._networks = [self._load(teacher, student) for teacher in teachers]

    @classmethod
    def of(cls, teachers: Sequence[Teacher], student: AnyModel) -> Self | None:
        """None where there are no teachers."""
        return cls(teachers, student) if teachers else None

    @staticmethod
    def _load(teacher: Teacher, student: AnyModel) -> AnyModel:
        path = Path(teacher.path)
        network, card = load_model(read_card(path.with_suffix(".json")).name, path)
        if card.digest != teacher.digest:
            raise SettingsError(
                expected=f"weights {teacher.digest[:12]}", got=card.digest[:12], where=f"`teacher` {path}", action="Begin anew."
            )
        named = ", ".join(student.class_names)
        if network.task != student.task or network.class_names != student.class_names or not network.learns:
            raise SettingsError(
                expected=f"a network that learns {student.task} with the classes of {student.name} ({named})",
                got=f"{network.name}, {network.task} ({', '.join(network.class_names)})",
                where=f"`teacher` {path}",
                action="Name weights of the same task and classes.",
            )
        return network.requires_grad_(False)

    @torch.no_grad()
    def logits(self, batch: Batch) -> Tensor:
        """Mean of what they answer on the crops of a batch, in float32.

        Args:
            batch: on its device.

        Returns:
            `(B, 1, H, W)` of masks, H and W those of the crops, or `(B, K)` of classes.
        """
        device = batch.pixels_B1HW.device
        return torch.stack([self._answer(network, batch, device) for network in self._networks]).mean(0)

    @staticmethod
    def _answer(network: AnyModel, batch: Batch, device: torch.device) -> Tensor:
        network.to(device)
        raw: Any = network(_as_it_takes(network, batch), batch.metadata)
        first = raw if isinstance(raw, Tensor) else raw[0]
        height_px, width_px = batch.pixels_B1HW.shape[2:]
        return first.float() if network.task == Task.CLASSIFICATION else first.float()[..., :height_px, :width_px]


def _as_it_takes(network: AnyModel, batch: Batch) -> Tensor:
    """Crops of its own size where it takes no other, else padded."""
    side_px = network.input_spec.fixed_size_px
    if side_px is None:
        return padded_pixels(network, batch)
    pixels_B1HW = batch.pixels_B1HW
    if pixels_B1HW.shape[2:] == (side_px, side_px):
        return pixels_B1HW
    return functional.interpolate(pixels_B1HW, (side_px, side_px), mode="bilinear", align_corners=False, antialias=True)


def blended(own: Tensor, taught: Tensor, share: float) -> Tensor:
    """Loss of a student: its own with the truth, and that with its teachers, which has a share of it."""
    return (1 - share) * own + share * taught
