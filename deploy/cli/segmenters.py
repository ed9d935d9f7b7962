"""Segmenters as people name them on a command line: registered names, files of weights, folders of runs."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.card import ModelCard
    from models.segmentation.base import SegmentationModel


@dataclass(frozen=True, slots=True, eq=False)
class LoadedSegmenter:
    """A segmenter to measure.

    Attributes:
        network: with its weights and thresholds.
        name: how it is called in tables.
        card: of its weights.
    """

    network: SegmentationModel
    name: str
    card: ModelCard


def load_segmenters(names: list[str]) -> list[LoadedSegmenter]:
    """Networks by their names on the command line, with names that differ: those of one name get the beginning of their digest.

    Raises:
        SettingsError: a name leads nowhere or to no segmenter, or the same weights twice.
    """
    return _distinct([_load(name) for name in names])


def _distinct(networks: list[LoadedSegmenter]) -> list[LoadedSegmenter]:
    from contracts.errors import SettingsError

    if len({each.card.digest for each in networks}) < len(networks):
        names = ", ".join(each.name for each in networks)
        raise SettingsError(
            expected="different weights", got=f"the same twice among {names}", where="MODEL, --with", action="Name each once."
        )
    shared = {name for name, times in Counter(each.name for each in networks).items() if times > 1}
    return [replace(each, name=f"{each.name} {each.card.digest[:6]}") if each.name in shared else each for each in networks]


def _load(name: str) -> LoadedSegmenter:
    from contracts.errors import SettingsError
    from models.card import read_card
    from models.segmentation.base import SegmentationModel
    from models.zoo import load_model

    path = _file_of(name)
    network, card = load_model(name) if path is None else load_model(read_card(path.with_suffix(".json")).name, path)
    if not isinstance(network, SegmentationModel):
        raise SettingsError(
            expected="a segmenter",
            got=f"{name}, a network of {card.task}",
            where="MODEL, --with",
            action=f"Measure it with irstream models measure {card.name}{'' if path is None else f' --weights {shlex.quote(str(path))}'}.",
        )
    # `irstream train` writes weights.safetensors into the folder of the run: that is the name people know it by.
    known_as = card.name if path is None else path.parent.name if path.stem == "weights" else path.stem
    return LoadedSegmenter(network, known_as, card)


def _file_of(name: str) -> Path | None:
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
            expected="a registered segmenter, a safetensors file with its card beside it, or a run's folder",
            got=f"{name}, which is no folder",
            where="MODEL, --with",
            action="Check the path; irstream train says at its end where the weights are.",
        )
    return None
