"""The registry: a new network is one file with `@register_model(name)` and one line in `_MODULES`.

Modules are imported when first asked for, so that naming a model costs nothing. Beside an installed irstream, modules of one's own
are named by an environment variable (`models.own_networks`), in every process that shall know them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from contracts.choices import chosen
from contracts.errors import SettingsError
from models.card import ModelCard, read_card, train_command, weights_file
from models.ensemble import ensemble_of
from models.interface import Model, Task
from models.own_networks import VARIABLE, own_modules
from models.transforms import PREPROCESS_VERSION
from models.weights import WEIGHTS_FOLDER, digest_of, load_weights

_MODULES = (
    "models.segmentation.acm",
    "models.segmentation.alcnet",
    "models.segmentation.classical",
    "models.segmentation.dnanet",
    "models.segmentation.kestrel",
    "models.segmentation.merlin",
    "models.segmentation.mshnet",
    "models.segmentation.rdian",
    "models.segmentation.sgem_unet",
    "models.segmentation.uiunet",
    "models.segmentation.unet",
    "models.detection.auxdet",
    "models.detection.faster_rcnn",
    "models.detection.fcos",
    "models.detection.harrier",
    "models.detection.retinanet",
    "models.classification.aamsf",
    "models.classification.basic_cnn",
    "models.classification.standard",
    "models.classification.wren",
)
AnyModel = Model[Any]
_M = TypeVar("_M", bound=type[AnyModel])
_registry: dict[str, type[AnyModel]] = {}


def register_model(name: str) -> Callable[[_M], _M]:
    """Class decorator: make a network known under a name.

    Raises:
        ValueError: the name is taken by another class.
    """

    def register(kind: _M) -> _M:
        known = _registry.setdefault(name, kind)
        if known.__qualname__ != kind.__qualname__:
            raise ValueError(f"model name {name!r} is taken by {known.__qualname__}")
        _registry[name] = kind
        kind.name = name
        return kind

    return register


def list_models(task: Task | str | None = None) -> list[str]:
    """Registered names, sorted; of one task if given."""
    return sorted(name for name, kind in _all().items() if task is None or kind.task == task)


def list_trained(task: Task | str | None = None) -> list[str]:
    """Those of `list_models` whose weights ship with the package."""
    return [name for name in list_models(task) if (WEIGHTS_FOLDER / f"{name}.safetensors").is_file()]


def create_model(name: str) -> AnyModel:
    """Build a network with random weights.

    Raises:
        SettingsError: unknown name; the text lists those that exist.
    """
    return _kind(name)()


def list_learning(task: Task | str | None = None) -> list[str]:
    """Those of `list_models` that can be trained: all but filters."""
    return [name for name in list_models(task) if _kind(name).learns]


def task_named(name: str) -> Task:
    """The task of a registered network.

    Raises:
        SettingsError: unknown name; the text lists those that exist.
    """
    return _kind(name).task


def load_model(name: str, weights: str | Path | None = None) -> tuple[AnyModel, ModelCard]:
    """Build a network with trained weights, in evaluation mode, and its card.

    Args:
        name: registered name.
        weights: safetensors file with its card beside it (same name, `.json`), or a folder that has both; None for those in the
            package. Where the card names several members, they are an ensemble (`models.ensemble`).

    Raises:
        SettingsError: unknown name, weights or card missing or damaged, they do not belong together, or they were trained with
            other preprocessing or other classes than this version has.
    """
    kind = _kind(name)
    path = WEIGHTS_FOLDER / f"{name}.safetensors" if weights is None else weights_file(weights)
    if not path.is_file():
        raise SettingsError(
            expected="a safetensors file with trained weights",
            got="no such file",
            where=f"model {name}, weights {path}",
            action=f"Train it first ({train_command(name)}) or name another file.",
        )
    card = read_card(path.with_suffix(".json"))
    model = (kind if card.members == 1 else ensemble_of(kind, card.members))()
    _check(card, model, digest_of(path), path)
    load_weights(model, path)
    model.configure(card.postprocess)
    return model.eval(), card


def _check(card: ModelCard, model: AnyModel, digest: str, path: Path) -> None:
    """Refuse what would load and then answer wrongly without an error."""
    own_card = "Use weights together with their own card."
    train_again = f"Train the network again ({train_command(model.name)}), or use the irstream it was trained with."
    for what, expected, got, action in (
        ("name", model.name, card.name, own_card),
        ("task", str(model.task), card.task, own_card),
        ("digest", card.digest, digest, own_card),
        ("preprocess_version", PREPROCESS_VERSION, card.preprocess_version, train_again),
        ("classes", ", ".join(model.class_names), ", ".join(card.classes), train_again),
    ):
        if expected != got:
            raise SettingsError(expected=f"{what} {expected}", got=got, where=f"weights {path} and their card", action=action)


def _kind(name: str) -> type[AnyModel]:
    return chosen(dict(sorted(_all().items())), name, "model name", "Use a registered name (irstream models list).")


def _all() -> dict[str, type[AnyModel]]:
    for module in (*_MODULES, *_own_modules()):
        importlib.import_module(module)
    return _registry


def _own_modules() -> list[str]:
    named = own_modules()
    for name in named:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
            raise SettingsError(
                expected="modules with networks that Python finds",
                got=f"no module {error.name!r}",
                where=VARIABLE,
                action="Correct the name, or add its folder to PYTHONPATH.",
            ) from error
    return named
