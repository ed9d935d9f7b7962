"""Averaged weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MovingAverage:
    """Exponential average of the weights and buffers of a model, which stay where they are in memory."""

    def __init__(self, average: nn.Module, model: nn.Module) -> None:
        """Pair the tensors of two networks of one kind."""
        pairs = list(zip(average.state_dict().values(), model.state_dict().values(), strict=True))
        self._pairs = [pair for pair in pairs if pair[0].is_floating_point()]
        self._counts = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Keep a share `decay` of the average, take the rest from the model; counts are taken as they are."""
        means, currents = zip(*self._pairs, strict=True)
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch's own gap
        average(means, currents, 0)  # how many models went into it so far is of no account here
        for mean, current in self._counts:
            mean.copy_(current)
