"""A network rewritten for inference: batch norms become part of the convolutions before them, and both ends compute in float32."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.layers.reparam import RepConv

_PIXEL_CHANNELS = (1, 3, 4)
_M = TypeVar("_M", bound=nn.Module)


def fold_batch_norms(model: _M) -> _M:
    """Fold every batch norm that follows a convolution into it, in place; outputs stay equal up to rounding.

    Knows the patterns our networks are made of: neighbours in an `nn.Sequential`, and `RepConv`, whose branches become one convolution.

    Raises:
        ValueError: the model is in training mode, where batch norm is no linear map.
    """
    if model.training:
        raise ValueError("expected a model in evaluation mode")
    for module in list(model.modules()):
        _replace_branches(module)
        if isinstance(module, nn.Sequential):
            _fold_neighbours(module)
    return model


def _replace_branches(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, RepConv):
            setattr(module, name, nn.Sequential(child.fused(), child.act))


def _fold_neighbours(sequence: nn.Sequential) -> None:
    for index in range(len(sequence) - 1):
        first, second = sequence[index], sequence[index + 1]
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            sequence[index], sequence[index + 1] = fuse_conv_bn_eval(first, second), nn.Identity()


class _InFloat32(nn.Module):
    """A layer that computes in float32 whatever is around it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x_BCHW: Tensor) -> Tensor:
        with torch.autocast(x_BCHW.device.type, enabled=False):
            return self.layer(x_BCHW.float())  # type: ignore[no-any-return]  # nn.Module.__call__ is Any


def keep_ends_exact(model: nn.Module) -> None:
    """Let the convolutions that see pixels (one channel, thrice, or 2 x 2 regrouped) and those that give one map use float32, in place.

    Half precision has eight bits: less than the pixels have, and less than a logit close to its threshold needs.
    """
    for name, child in model.named_children():
        if isinstance(child, nn.Conv2d) and (child.in_channels in _PIXEL_CHANNELS or child.out_channels == 1):
            setattr(model, name, _InFloat32(child))
        else:
            keep_ends_exact(child)
