"""Ready for inference: batch norms folded away, channels last, and the number format that suits this device.

In half precision both ends of a network stay exact.

On request also compiled (`torch.compile`) and averaged over flips.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock

from contracts.errors import SettingsError
from models.interface import MetadataBatch, Task
from models.layers.reparam import RepConv
from models.zoo import AnyModel

# Half precision must win clearly: it costs accuracy in the last digits and makes results depend on the machine.
_MIN_GAIN = 1.5
MAX_IOU_CHANGE = 0.001
"""A tenth of a point: what a way of computing may cost where nobody asked for it."""
_PROBE_SHAPES = {"cpu": (4, 32, 64, 64), "cuda": (8, 64, 256, 256)}
"""A GPU needs more: what is too small for it takes the same time in any format."""
_FLIPS = ((2,), (3,), (2, 3))
_PIXEL_CHANNELS = (1, 4)
_M = TypeVar("_M", bound=nn.Module)


@dataclass(frozen=True, slots=True, eq=False)
class InferenceModel:
    """A prepared network on its device; only `forward` differs from the network it was made from, by rounding.

    Attributes:
        model: folded copy; its `postprocess` is the original's.
        device: where it computes.
        dtype: float32, or what autocast uses.
        compute: `model`, or a compiled one.
        flips: give the mean of the logits of the four flips of a frame; for segmenters only.
    """

    model: AnyModel
    device: torch.device
    dtype: torch.dtype
    compute: Callable[[Tensor, MetadataBatch], Tensor | tuple[Tensor, ...]]
    flips: bool = False

    @property
    def passes(self) -> int:
        """Passes of the network for one frame."""
        return 1 + len(_FLIPS) if self.flips else 1

    def forward(self, pixels_B1HW: Tensor, metadata: MetadataBatch) -> Tensor | tuple[Tensor, ...]:
        """Normalised pixels `(B, 1, H, W)` float32 (any device) to raw outputs on the model's device, without gradients."""
        autocast = self.dtype is not torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype if autocast else None, enabled=autocast):
            pixels, known = pixels_B1HW.to(self.device, non_blocking=True, memory_format=torch.channels_last), metadata.to(self.device)
            raw = self.compute(pixels, known)
            if not self.flips:
                return raw
            turned = [self.compute(pixels.flip(dims), known).flip(dims) for dims in _FLIPS]  # type: ignore[union-attr]  # one map of logits
            return torch.stack([raw, *turned]).mean(0)  # type: ignore[list-item]


def prepare(
    model: AnyModel,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    compiled: bool = False,
    flips: bool = False,
) -> InferenceModel:
    """Make a folded copy of a network on a device.

    Args:
        model: left as it is.
        device: where to compute.
        dtype: number format: float32 or bfloat16; see `suitable_dtype`.
        compiled: let `torch.compile` write code for it: takes most of a minute at the first batches (of one frame, and of more),
            any other size then is served by the same code. Needs a C++ compiler where the device is a CPU.
        flips: average over the four flips of each frame, at four times the cost; for segmenters only.

    Raises:
        TypeError: flips of a network that is no segmenter.
    """
    if flips and model.task is not Task.SEGMENTATION:
        raise TypeError(f"expected a segmenter to average over flips, got a network for {model.task}")
    place = torch.device(device)
    folded = fold_batch_norms(deepcopy(model).eval()).to(place).requires_grad_(False)
    folded.to(memory_format=torch.channels_last)
    if dtype is not torch.float32:
        _keep_ends_exact(folded)
    compute = torch.compile(folded, dynamic=True) if compiled else folded
    return InferenceModel(folded, place, dtype, compute, flips)


def fold_batch_norms(model: _M) -> _M:
    """Fold every batch norm that follows a convolution into it, in place; outputs stay equal up to rounding.

    Knows the patterns our networks are made of: neighbours in an `nn.Sequential`, torchvision's `BasicBlock`, and `RepConv`, whose
    branches become one convolution.

    Raises:
        ValueError: the model is in training mode, where batch norm is no linear map.
    """
    if model.training:
        raise ValueError("expected a model in evaluation mode")
    for module in list(model.modules()):
        _replace_branches(module)
        if isinstance(module, BasicBlock):
            module.conv1, module.bn1 = fuse_conv_bn_eval(module.conv1, module.bn1), nn.Identity()
            module.conv2, module.bn2 = fuse_conv_bn_eval(module.conv2, module.bn2), nn.Identity()
        elif isinstance(module, nn.Sequential):
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


def _keep_ends_exact(model: nn.Module) -> None:
    """Let the convolutions that see pixels (one channel, or 2 x 2 regrouped) and those that give one map compute in float32, in place.

    Half precision has eight bits: less than the pixels have, and less than a logit close to its threshold needs.
    """
    for name, child in model.named_children():
        if isinstance(child, nn.Conv2d) and (child.in_channels in _PIXEL_CHANNELS or child.out_channels == 1):
            setattr(model, name, _InFloat32(child))
        else:
            _keep_ends_exact(child)


def choose_device(name: str, where: str = "device", action: str = "Use cpu, or a machine whose GPU torch sees.") -> torch.device:
    """The device a name means; `auto`: the first CUDA device when there is one, else the CPU.

    Args:
        name: auto, cpu, cuda or cuda:N.
        where: the setting or option it was written in.
        action: what to do where the device is not there.

    Raises:
        SettingsError: no such name, or a CUDA device that torch does not see.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", name):
        raise SettingsError(expected="auto, cpu, cuda or cuda:N", got=repr(name), where=where, action="Use one of these.")
    num = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda" if num else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= num:
        raise SettingsError(expected=f"one of the {num} CUDA devices torch sees", got=name, where=where, action=action)
    return device


def suitable_dtype(device: torch.device, iou_change: float | None) -> torch.dtype:
    """The number format where nobody names one: float32 on a CPU; on a GPU bfloat16 where it is faster and right enough.

    Right enough: known to move no IoU by more than a tenth of a point (`MAX_IOU_CHANGE`).

    On a CPU answers shall not depend on the machine: whoever wants the speed of AMX asks for bfloat16.

    Args:
        device: where the network computes.
        iou_change: how far bfloat16 moves the IoU of these weights (`ModelCard.bfloat16_iou_change`); None: nobody measured it.
    """
    if device.type == "cpu" or iou_change is None or iou_change > MAX_IOU_CHANGE:
        return torch.float32
    return fastest_dtype(str(device))


@lru_cache
def fastest_dtype(device: str) -> torch.dtype:
    """Time a convolution in float32 and bfloat16 on this very device and take bfloat16 only where it wins clearly."""
    plain, half = (_probe_ms(device, dtype) for dtype in (torch.float32, torch.bfloat16))
    return torch.bfloat16 if half * _MIN_GAIN < plain else torch.float32


@torch.inference_mode()
def _probe_ms(device: str, dtype: torch.dtype) -> float:
    shape = _PROBE_SHAPES[torch.device(device).type]
    layer = nn.Conv2d(shape[1], shape[1], 3, padding=1).to(device, dtype).to(memory_format=torch.channels_last)
    x = torch.zeros(shape, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        layer(x)
        if x.is_cuda:
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[2:])
