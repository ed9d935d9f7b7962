"""Optimisers by name, with weight decay on convolution kernels only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from contracts.choices import chosen

OPTIMISERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = MappingProxyType(
    {
        # Fused: one pass over all weights; tensor by tensor a step of AdamW is a twentieth of a small network's time.
        "adamw": partial(torch.optim.AdamW, fused=True),
        "adam": partial(torch.optim.Adam, fused=True),
        "adagrad": partial(torch.optim.Adagrad, fused=True),
        "sgd": partial(torch.optim.SGD, momentum=0.9, fused=True),
    }
)


def make_optimiser(name: str, model: nn.Module, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """Make an optimiser for everything in a model that learns.

    Raises:
        SettingsError: there is none of this name; the text lists those that exist.
    """
    make = chosen(OPTIMISERS, name, "optimiser")
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [each for each in learning if each.ndim > 1], "weight_decay": weight_decay},
        {"params": [each for each in learning if each.ndim <= 1], "weight_decay": 0.0},
    ]
    return make(groups, lr=lr)
