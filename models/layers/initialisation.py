"""First weights."""

from __future__ import annotations

from torch import nn


def he_normal(network: nn.Module) -> None:
    """Draw all kernels of convolutions and linear layers from `N(0, 2 / inputs)`, in place; biases begin at zero.

    Source: He et al. 2015, arXiv:1502.01852, eq. 10.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
