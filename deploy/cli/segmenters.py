"""Networks as people name them on a command line: registered names, files of weights, folders of runs."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from models.card import ModelCard
    from models.classification.base import ClassificationModel
    from models.segmentation.base import SegmentationModel


_Kind = TypeVar("_Kind", "SegmentationModel", "ClassificationModel")


@dataclass(frozen=True, slots=True, eq=False)
class Loaded(Generic[_Kind]):
    """A network to measure.

    Attributes:
        network: with its weights and thresholds.
        name: how it is called in tables.
        card: of its weights.
    """

    network: _Kind
    name: str
    card: ModelCard


def load_segmenters(names: list[str]) -> list[Loaded[SegmentationModel]]:
    """Networks by their names on the command line, with names that differ: those of one name get the beginning of their digest.

    Raises:
        SettingsError: a name leads nowhere or to no segmenter, or the same weights twice.
    """
    from models.segmentation.base import SegmentationModel

    return _distinct([_load(name, SegmentationModel, "a segmenter") for name in names])


def load_classifiers(names: list[str]) -> list[Loaded[ClassificationModel]]:
    """Likewise classifiers.

    Raises:
        SettingsError: a name leads nowhere or to no classifier, or the same weights twice.
    """
    from models.classification.base import ClassificationModel

    return _distinct([_load(name, ClassificationModel, "a classifier") for name in names])


def names_classifier(name: str) -> bool:
    """True where a name on the command line leads to a classifier; False for all else, be it nothing."""
    from models.card import read_card
    from models.interface import Task
    from models.zoo import list_models, task_named

    path = weights_named(name)
    if path is None:
        return name in list_models() and task_named(name) is Task.CLASSIFICATION
    return path.with_suffix(".json").is_file() and read_card(path.with_suffix(".json")).task == Task.CLASSIFICATION


def _distinct(networks: list[Loaded[_Kind]]) -> list[Loaded[_Kind]]:
    from contracts.errors import SettingsError

    if len({each.card.digest for each in networks}) < len(networks):
        names = ", ".join(each.name for each in networks)
        raise SettingsError(
            expected="different weights", got=f"the same twice among {names}", where="MODEL, --with", action="Name each once."
        )
    shared = {name for name, times in Counter(each.name for each in networks).items() if times > 1}
    return [replace(each, name=f"{each.name} {each.card.digest[:6]}") if each.name in shared else each for each in networks]


def _load(name: str, kind: type[Any], wanted: str) -> Loaded[Any]:
    from contracts.errors import SettingsError
    from models.card import read_card
    from models.zoo import load_model

    path = weights_named(name)
    network, card = load_model(name) if path is None else load_model(read_card(path.with_suffix(".json")).name, path)
    if not isinstance(network, kind):
        raise SettingsError(
            expected=wanted,
            got=f"{name}, a network of {card.task}",
            where="MODEL, --with",
            action=f"Measure it with irstream models measure {card.name}{'' if path is None else f' --weights {shlex.quote(str(path))}'}.",
        )
    # `irstream train` writes weights.safetensors into the folder of the run: that is the name people know it by.
    known_as = card.name if path is None else path.parent.name if path.stem == "weights" else path.stem
    return Loaded(network, known_as, card)


def weights_named(name: str) -> Path | None:
    """The weights that a file or a run's folder means; None: those that ship under a registered name, which never means a folder here.

    Raises:
        SettingsError: a path that leads nowhere.
    """
    from contracts.errors import SettingsError
    from models.zoo import list_models

    if name in list_models():
        return None
    path = Path(name).resolve()
    if path.suffix == ".safetensors":
        return path
    if path.is_dir():
        return path / "weights.safetensors"
    if Path(name).name != name:
        raise SettingsError(
            expected="a registered network, a safetensors file with its card beside it, or a run's folder",
            got=f"{name}, which is no folder",
            where="MODEL, --with",
            action="Check the path; irstream train says at its end where the weights are.",
        )
    return None
