"""What layers compute, in elementary operations, and what goes in and out of them; no layer of `models` is called here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.interface import MetadataBatch

_NORM_EPS = 1e-5


def stirred(model: nn.Module, seed: int = 0) -> nn.Module:
    """In evaluation mode, with norms that have learnt something."""
    generator = torch.Generator().manual_seed(seed)
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        for value in (norm.weight.data, norm.bias.data, norm.running_mean):
            assert value is not None
            value.normal_(0.3, 0.5, generator=generator)
        assert norm.running_var is not None
        norm.running_var.uniform_(0.5, 2, generator=generator)
    return model.eval()


def noise(*shape: int, seed: int = 1) -> Tensor:
    """Normal numbers, in double precision."""
    return torch.randn(*shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def sigmoid(x: Tensor) -> Tensor:
    """`1 / (1 + e^-x)`."""
    return 1 / (1 + torch.exp(-x))


def relu(x: Tensor) -> Tensor:
    """`max(x, 0)`."""
    return x.clamp(min=0)


def halved(x_BCHW: Tensor) -> Tensor:
    """Maxima of blocks of 2 by 2."""
    num, channels, height, width = x_BCHW.shape
    return x_BCHW.reshape(num, channels, height // 2, 2, width // 2, 2).amax((3, 5))


def resized(x_BCHW: Tensor, height: int, width: int, *, corners: bool = False) -> Tensor:
    """Bilinear: each pixel is a tent; with `corners`, corners stay on corners."""
    rows, columns = (_tents(old, new, corners).to(x_BCHW) for old, new in zip(x_BCHW.shape[-2:], (height, width), strict=True))
    return rows @ x_BCHW @ columns.T


def _tents(old: int, new: int, corners: bool) -> Tensor:
    places = torch.arange(new, dtype=torch.double)
    places = places * (old - 1) / max(new - 1, 1) if corners else ((places + 0.5) * old / new - 0.5).clamp(0, old - 1)
    return (1 - (places[:, None] - torch.arange(old)).abs()).clamp(min=0)


def convolved(x_BCHW: Tensor, layer: nn.Module) -> Tensor:
    """A convolution of the layer's weights that keeps the size."""
    values = layer.state_dict()
    return functional.conv2d(x_BCHW, values["weight"], values.get("bias"), padding=values["weight"].shape[-1] // 2)


def normed(x_BCHW: Tensor, layer: nn.Module) -> Tensor:
    """A batch norm by the statistics it keeps."""
    values = {key: value[:, None, None] for key, value in layer.state_dict().items() if value.ndim == 1}
    scale_C11 = values["weight"] / (values["running_var"] + _NORM_EPS).sqrt()
    same_shape: Tensor = (x_BCHW - values["running_mean"]) * scale_C11 + values["bias"]
    return same_shape


def layers_of(module: nn.Module, *kinds: type[nn.Module]) -> list[nn.Module]:
    """Those of some kinds, in the order they were made."""
    return [layer for layer in module.modules() if isinstance(layer, kinds)]


def convolved_and_normed(x_BCHW: Tensor, module: nn.Module) -> Tensor:
    """Convolution, norm, and again, with a ReLU between: of a module that holds nothing else."""
    layers = layers_of(module, nn.Conv2d, nn.BatchNorm2d)
    x_BCHW = normed(convolved(x_BCHW, layers[0]), layers[1])
    return convolved_and_normed(relu(x_BCHW), nn.Sequential(*layers[2:])) if layers[2:] else x_BCHW


@dataclass(frozen=True, slots=True)
class Passed:
    """What went into a layer and what came out of it."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def input(self) -> Tensor:
        """The only one."""
        (only,) = self.inputs
        return only

    @property
    def output(self) -> Tensor:
        """The only one."""
        (only,) = self.outputs
        return only


def recorded(model: nn.Module, height_px: int, width_px: int) -> dict[str, Passed]:
    """One image of noise through a network; the whole of it has the name "all"."""
    seen: dict[str, Passed] = {}
    with torch.no_grad():
        for name, layer in model.named_modules():
            _watch(name or "all", layer, seen)
        model(noise(1, 1, height_px, width_px).float(), MetadataBatch.unknown((height_px, width_px)))
    return seen


def _watch(name: str, layer: nn.Module, seen: dict[str, Passed]) -> None:
    def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen[name] = Passed(_copies(inputs), ())

    def after(_: nn.Module, inputs: tuple[Any, ...], outputs: Any) -> None:
        seen[name] = Passed(seen[name].inputs, _copies(outputs if isinstance(outputs, tuple) else (outputs,)))

    layer.register_forward_pre_hook(before)
    layer.register_forward_hook(after)


def _copies(values: tuple[Any, ...]) -> tuple[Tensor, ...]:
    # Layers that work in place overwrite what went in, and sometimes what came out of the one before.
    return tuple(value.clone() for value in values if isinstance(value, Tensor))
