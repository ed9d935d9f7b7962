"""Progress of folds, kept by an actor: training processes tell it, the command asks it."""

from __future__ import annotations

from typing import Any


class Board:
    """Progress of each fold; made an actor by `start_board`."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._folds: dict[int, dict[str, Any]] = {}

    def tell(self, fold: int, told: dict[str, Any]) -> None:
        """So far is a fold."""
        self._folds[fold] = told

    def folds(self) -> dict[int, dict[str, Any]]:
        """By fold, what was told last."""
        return self._folds


def start_board() -> Any:
    """The actor; it ends with the command."""
    import ray

    return ray.remote(num_cpus=0)(Board).remote()
