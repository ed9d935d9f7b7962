"""Identity of the training that a checkpoint belongs to, so that nothing else goes on from it.

Left out is what may change between two starts: how long, how often held-out images are asked, checkpoints, number format, processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias

from contracts.errors import SettingsError
from training.loop.settings import LoopSettings

Identity: TypeAlias = Mapping[str, Any]
"""Plain values by name: text, numbers, and lists or dictionaries of them."""

_LOOP = ("max_lr", "schedule", "optimiser", "weight_decay", "max_gradient_norm", "average_decay", "learns", "frozen_norms")
_NAMES = {
    "max_lr": "peak learning rate",
    "average_decay": "decay of the averaged weights",
    "learns": "mode",
    "frozen_norms": "frozen batch norms",
    "batch_size": "batch size",
    "augmentation.crop_px": "side of the crops",
    "crop_px": "side of the crops",
    "unknown_share": "share of unknown metadata",
    "teachers": "teacher",
    "teacher_share": "share of the teachers",
    "shares": "data sets",
    "start": "weights to begin with",
    "num_images": "number of crops in an epoch",
}
"""Names of settings in a message; others by their own names."""


def loop_identity(settings: LoopSettings) -> Identity:
    """Settings of a loop that may not change."""
    return {name: getattr(settings, name) for name in _LOOP}


def recipe_identity(recipe: Any) -> Identity:
    """Settings of a recipe (a dataclass) that may not change: all of them."""
    shares = getattr(recipe, "shares", None)
    if shares is None:
        return _flat(asdict(recipe))
    return _flat(asdict(replace(recipe, shares={}))) | {"shares": dict(shares)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def require_same(before: Identity, now: Identity, path: Path) -> None:
    """Refuse to go on with another training.

    A name that only one side knows says nothing.

    Args:
        before: of the checkpoint.
        now: of what is asked for; empty where nobody says.
        path: of the checkpoint.

    Raises:
        SettingsError: they differ; the text names every difference.
    """
    differing = [name for name in now if name in before and before[name] != now[name]]
    if differing:
        raise SettingsError(
            expected=", ".join(f"`{_NAMES.get(name, name)}` {_text_of(before[name])}" for name in differing) + " as in the checkpoint",
            got=", ".join(f"`{_NAMES.get(name, name)}` {_text_of(now[name])}" for name in differing),
            where=str(path),
            action="Name another `folder` for this training, or give the same settings as before to go on with that one.",
        )


def _text_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return " + ".join(f"{name} ({share:g})" for name, share in value.items())
    return str(value)
