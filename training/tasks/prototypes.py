"""Classes from a few images: the last layer of a classifier takes the mean features of each class, and nothing is trained.

Source: Qi, Brown, Lowe 2018 (imprinted weights), arXiv:1712.07136; class prototypes are those of Snell, Swersky, Zemel 2017
(arXiv:1703.05175), by direction.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from models.classification.base import ClassificationModel
from models.heads import last_linear
from models.interface import MetadataBatch

_BATCH = 64


def imprint(model: ClassificationModel, crops_of_class: Mapping[int, Tensor]) -> None:
    """Give the rows of some classes in the last layer the direction of their prototypes, in place; other classes keep theirs.

    A row gets the mean length of all rows, and the bias with which its own crops answer as surely, in the mean, as they did with the
    network's best row: scores stay comparable with those of classes that keep theirs.

    Args:
        model: in evaluation mode afterwards.
        crops_of_class: by index of the class, normalised crops `(K, 1, side, side)`, K at least 1.

    Raises:
        SettingsError: the last layer is not linear.
    """
    layer = last_linear(model.eval())
    length = float(layer.weight.detach().norm(dim=1).mean())
    features = {index: _features(model, layer, crops) for index, crops in crops_of_class.items()}
    with torch.no_grad():
        before = {index: layer(each_KF).max(1).values.mean() for index, each_KF in features.items()}
        for index, each_KF in features.items():
            prototype_F = functional.normalize(functional.normalize(each_KF, dim=1).mean(0), dim=0)
            layer.weight[index] = prototype_F * length
            if layer.bias is not None:
                layer.bias[index] = before[index] - (each_KF @ layer.weight[index]).mean()


def _features(model: ClassificationModel, layer: torch.nn.Linear, crops_K1HW: Tensor) -> Tensor:
    """Input of the last layer for each crop, `(K, F)`."""
    found: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: found.append(given[0].detach()))
    device = layer.weight.device
    try:
        with torch.no_grad():
            for crops in torch.split(crops_K1HW, _BATCH):
                side = (int(crops.shape[-2]), int(crops.shape[-1]))
                model(crops.to(device), MetadataBatch.unknown(side, len(crops)).to(device))
    finally:
        hook.remove()
    return torch.cat(found)
