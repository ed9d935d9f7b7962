"""Learning rate over a training, by name: every schedule is a function of progress in [0, 1] with values in (0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from contracts.choices import chosen

Schedule = Callable[[float], float]
_WARM_UP = 0.08
_WARM_UP_FROM = 0.04
_END = 0.005
_POLY_POWER = 0.9
_DETECTOR_WARM_UP, _DETECTOR_WARM_UP_FROM = 0.02, 0.001
_HALVINGS = 100 / 15
_STABLE_FROM, _STABLE_UNTIL, _STABLE_END = 0.005, 0.7, 0.01


def one_cycle(progress: float) -> float:
    """Linear up for the first 8 %, then a cosine down to half a percent (Smith 2018, arXiv:1708.07120, as torch draws it)."""
    if progress < _WARM_UP:
        return _WARM_UP_FROM + (1 - _WARM_UP_FROM) * progress / _WARM_UP
    return cosine((progress - _WARM_UP) / (1 - _WARM_UP))


def cosine(progress: float) -> float:
    """A cosine down to half a percent (Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts)."""
    return _END + (1 - _END) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def warm_up_stable_decay(progress: float) -> float:
    """Linear up for the first half percent, level until 70 %, a cosine down to one percent (Hu et al. 2024, arXiv:2404.06395).

    Averaged weights of the level part are worth measuring at any time, and the fall begins where a training that goes on is told to
    be shorter: unlike one cycle it need not be known before how long there is.
    """
    if progress < _STABLE_FROM:
        return max(_WARM_UP_FROM, progress / _STABLE_FROM)
    fallen = min(1.0, max(0.0, (progress - _STABLE_UNTIL) / (1 - _STABLE_UNTIL)))
    return _STABLE_END + (1 - _STABLE_END) * 0.5 * (1 + math.cos(math.pi * fallen))


def poly(progress: float) -> float:
    """`(1 - progress)^0.9`, down to half a percent (DeepLab; ACM, ABC and RDIAN train with it)."""
    return max(_END, math.pow(1 - min(1.0, progress), _POLY_POWER))


def multi_step(progress: float) -> float:
    """A tenth after half of the training, a hundredth after three quarters (BasicIRSTD: epochs 200 and 300 of 400)."""
    return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01


def twelve_epochs(progress: float) -> float:
    """Linear up for the first 2 %, a tenth after eight of twelve epochs, a hundredth after eleven (detectors since Mask R-CNN)."""
    if progress < _DETECTOR_WARM_UP:
        return max(_DETECTOR_WARM_UP_FROM, progress / _DETECTOR_WARM_UP)
    return 1.0 if progress < 8 / 12 else 0.1 if progress < 11 / 12 else 0.01


def halved(progress: float) -> float:
    """Half after every 15 of 100 epochs: one reading of the adaptive-attention classifier paper (section 4)."""
    return math.pow(0.5, math.floor(round(progress * _HALVINGS, 9)))


def exponential(progress: float) -> float:
    """`gamma^step`, the paper's other reading (section 3.2); it names no gamma: here the rate is halved in 15 of 100 epochs, as above."""
    return math.pow(0.5, progress * _HALVINGS)


def constant(progress: float) -> float:
    """Always the same (SGEM U-Net's paper names no schedule; UIU-Net, MSHNet)."""
    return 1.0


SCHEDULES: Mapping[str, Schedule] = MappingProxyType(
    {
        each.__name__: each
        for each in (one_cycle, cosine, warm_up_stable_decay, poly, multi_step, twelve_epochs, halved, exponential, constant)
    }
)


def schedule_named(name: str) -> Schedule:
    """The schedule of a name.

    Raises:
        SettingsError: there is none; the text lists those that exist.
    """
    return chosen(SCHEDULES, name, "`schedule`")
