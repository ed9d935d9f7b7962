"""Statistics of batch norms for weights that no batch has run through: averages of weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from models.interface import Model
from models.layers.texture import Texture
from training.data.batches import Batch, padded_pixels


class _OnBatches(nn.Module):
    """A network that takes a whole batch, and whose idea of usual textures stays: that was learnt, not averaged over."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.network.modules():
            if isinstance(module, Texture) and mode:
                module.keeps_usual = True
        return self

    def forward(self, batch: Batch) -> object:
        assert isinstance(self.network, Model)
        return self.network(padded_pixels(self.network, batch), batch.metadata)


def calibrate_norms(network: nn.Module, batches: Iterable[Batch]) -> None:
    """Replace the running mean and variance of all batch norms by those over some batches, in place.

    Averaged weights answer with other activations than those whose statistics were averaged beside them (Izmailov et al. 2018,
    arXiv:1803.05407, section 3.2). The state of chance stays as it was.

    Args:
        network: left in the mode (training or evaluation) it is in.
        batches: on any device, taken one after another; of any size, padded as in training.
    """
    device = next(network.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        update_bn(batches, _OnBatches(network).train(network.training), device)
