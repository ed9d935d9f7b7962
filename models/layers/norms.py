"""Norms that keep their statistics while the rest learns."""

from __future__ import annotations

from torch import nn

from models.layers.texture import Texture

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def freeze_norms(model: nn.Module) -> None:
    """Batch norms use and keep their running statistics until the next `model.train()`; their gains and offsets still learn.

    What is usual of textures stays, too; that a share of the frames counts as of usual texture remains.

    For going on from trained weights: each norm is then a linear map, so `RepConv` computes one convolution in place of three
    branches and as many norms, and small batches are no worse than large ones.
    """
    for module in model.modules():
        if isinstance(module, _BATCH_NORMS):
            module.eval()
        elif isinstance(module, Texture):
            module.keeps_usual = True
