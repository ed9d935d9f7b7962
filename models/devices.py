"""Device and number format of a network."""

from __future__ import annotations

import re
import statistics
import time
from functools import lru_cache

import torch
from torch import nn

from contracts.errors import SettingsError

# Half precision must win clearly: it costs accuracy in the last digits and makes results depend on the machine.
_MIN_GAIN = 1.5
MAX_IOU_CHANGE = 0.001
"""A tenth of a point: what a way of computing may cost where nobody asked for it."""
_PROBE_SHAPES = {"cpu": (4, 32, 64, 64), "cuda": (8, 64, 256, 256)}
"""A GPU needs more: what is too small for it takes the same time in any format."""


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
