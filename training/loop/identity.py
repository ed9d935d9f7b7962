"""Which training a checkpoint belongs to, so that nothing else goes on from it.

Left out is what may change between two starts: how long, how often a judge is asked, checkpoints, number format, processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from contracts.errors import SettingsError

if TYPE_CHECKING:
    from training.loop.settings import LoopSettings
    from training.tasks.segmentation import SegmentationRecipe

Identity: TypeAlias = Mapping[str, Any]
"""Plain values by name: text, numbers, and lists or dictionaries of them."""

_LOOP = ("max_lr", "schedule", "optimiser", "weight_decay", "max_gradient_norm", "average_decay", "frozen_norms")
_OPTIONS = {
    "max_lr": "--lr",
    "schedule": "--schedule",
    "average_decay": "--ema",
    "frozen_norms": "--frozen-norms",
    "batch_size": "--batch-size",
    "loss": "--loss",
    "seed": "--seed",
    "augmentation.crop_px": "--crop-px",
    "shares": "data sets",
    "start": "weights to begin with (--start)",
    "num_images": "number of training images",
}


def loop_identity(settings: LoopSettings) -> Identity:
    """What of a loop may not change."""
    return {name: getattr(settings, name) for name in _LOOP}


def recipe_identity(recipe: SegmentationRecipe) -> Identity:
    """What of a recipe may not change: all of it."""
    return _flat(asdict(replace(recipe, shares={}))) | {"shares": dict(recipe.shares)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def require_same(before: Identity, now: Identity, path: Path) -> None:
    """Refuse to go on with another training.

    A name that only one side knows says nothing: an older version did not write it.

    Args:
        before: of the checkpoint; empty where an older version wrote it.
        now: of what is asked for; empty where nobody says.
        path: of the checkpoint.

    Raises:
        SettingsError: they differ; the text names every difference.
    """
    differing = [name for name in now if name in before and before[name] != now[name]]
    if differing:
        raise SettingsError(
            expected=", ".join(f"{_OPTIONS.get(name, name)} {_told(before[name])}" for name in differing) + " as in the checkpoint",
            got=", ".join(f"{_OPTIONS.get(name, name)} {_told(now[name])}" for name in differing),
            where=str(path),
            action="Name another folder (--out) for this training, or give the same options as before to go on with that one.",
        )


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return " + ".join(f"{name} ({share:g})" for name, share in value.items())
    return str(value)
