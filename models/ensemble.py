"""Several networks of one kind as one: the mean of their logits. It loads, computes and is measured as any other of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from models.interface import MetadataBatch, Model, Task

_M = TypeVar("_M", bound=type[Model[Any]])
_OTHERS = "others"
TASKS = (Task.SEGMENTATION, Task.CLASSIFICATION)
"""Tasks whose logits have a mean: boxes of several detectors are not the same boxes."""


@cache
def ensemble_of(kind: _M, num: int) -> _M:
    """The class of an ensemble, a subclass of that of its networks: `num` times the parameters, and the time.

    Raises:
        ValueError: fewer than two, or networks whose answers have no mean.
    """
    if num < 2 or kind.task not in TASKS:
        raise ValueError(f"expected two or more networks for masks or classes, got {num} for {kind.task}")

    class Ensemble(kind):  # type: ignore[valid-type,misc]  # a class that is a variable
        """The networks; the first one's layers are its own."""

        def __init__(self) -> None:
            super().__init__()
            setattr(self, _OTHERS, nn.ModuleList(kind() for _ in range(num - 1)))

        def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor:
            """Mean of the logits."""
            raws = [super().forward(pixels_BCHW, metadata), *(each(pixels_BCHW, metadata) for each in getattr(self, _OTHERS))]
            return torch.stack([raw if isinstance(raw, Tensor) else raw[0] for raw in raws]).mean(0)

    Ensemble.__name__ = Ensemble.__qualname__ = f"{kind.__name__}Ensemble"
    return Ensemble  # type: ignore[return-value]


def joined_state(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of an ensemble, by those of its networks."""
    first, *others = states
    return dict(first) | {f"{_OTHERS}.{index}.{name}": tensor for index, state in enumerate(others) for name, tensor in state.items()}
