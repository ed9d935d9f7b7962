"""Inside of a classifier with adaptive attention: the gate of each channel, and feature maps behind attention and fusion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.classification.base import ClassificationModel
from models.interface import MetadataBatch
from models.layers.adaptive_attention import AdaptiveAttention, MultiScaleFusion


@dataclass(frozen=True, slots=True, eq=False)
class StageMaps:
    """A module and what it gave for B crops.

    Attributes:
        name: `attention 1`, `fusion 1` and so on, in the order in which a crop passes them.
        map_BHW: mean magnitude of its channels, float32.
        gates_BC: of attention: factor of each channel, 0 to 1; None of fusion.
    """

    name: str
    map_BHW: NDArray[np.float32]
    gates_BC: NDArray[np.float32] | None


def has_attention(model: nn.Module) -> bool:
    """True for a network with adaptive attention in it."""
    return any(isinstance(module, AdaptiveAttention) for module in model.modules())


def attention_maps(model: ClassificationModel, crops_B1HW: Tensor) -> tuple[NDArray[np.float32], list[StageMaps]]:
    """Scores of some crops, `(B, K)`, and what the modules gave on the way.

    Args:
        model: in evaluation mode; left as it is.
        crops_B1HW: normalised, of the side that it takes, on its device.

    Raises:
        ValueError: it has no adaptive attention.
    """
    if not has_attention(model):
        raise ValueError(f"expected a network with adaptive attention, got {model.name}")
    found: list[StageMaps] = []
    with torch.inference_mode(), _watched(model, found):
        side_px = crops_B1HW.shape[-1]
        raw = model(crops_B1HW, MetadataBatch.unknown((side_px, side_px), len(crops_B1HW)).to(crops_B1HW.device))
    return model.scores(raw).cpu().numpy(), found


@contextmanager
def _watched(model: nn.Module, found: list[StageMaps]) -> Iterator[None]:
    numbers = {AdaptiveAttention: 0, MultiScaleFusion: 0}

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        kind: Any = type(module)
        numbers[kind] += 1
        gates = module.gates(inputs[0].mean((2, 3))).float().cpu().numpy() if isinstance(module, AdaptiveAttention) else None
        name = f"{'fusion' if gates is None else 'attention'} {numbers[kind]}"
        found.append(StageMaps(name, output.float().abs().mean(1).cpu().numpy(), gates))

    handles = [module.register_forward_hook(keep) for module in model.modules() if isinstance(module, AdaptiveAttention | MultiScaleFusion)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
