"""Texture of a frame, which shows what kind of imagery it is, and maps that are scaled by it.

Cameras and data sets differ in noise, sharpness and compression, and with these in what a target looks like and how its mask was
drawn: a network that learns several of them at once has to guess which rule holds. The energies of a frame in the 63 waves of an
8 x 8 cosine transform tell them apart almost without error (benchmarks/2026-11-kestrel.md), wherever its targets are and whatever it shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK_PX = 8
"""Side of the blocks: that of JPEG, whose traces say much about where an image is from. Crops to learn from start on multiples."""
_WAVES = BLOCK_PX**2 - 1
_HIDDEN = 32
# Squares of normalised pixels: a block of less is flat (padding, saturated), and a wave of less is as good as none.
_FLAT_ENERGY, _LEAST_ENERGY = 1e-5, 1e-4
_SLOWEST = 200
_MOST_DEVIATIONS = 4.0
# Share of the frames of a training that count as of usual texture.
_WITHHELD = 0.2

Adapt = Callable[[str, Tensor], Tensor]
"""Takes the name of a stage and its `(B, C, H, W)` map; gives that map scaled and shifted, channel by channel."""


class Texture(nn.Module):
    """Mean and standard deviation over a frame's blocks of the logarithm of each wave's energy, in units of those learnt from."""

    def __init__(self) -> None:
        """Build; what is usual is learnt in training, as in a batch norm, but never taken from the batch alone."""
        super().__init__()
        self.keeps_usual = False
        self.waves: Tensor
        self.usual: Tensor
        self.variance: Tensor
        self.batches: Tensor
        self.register_buffer("waves", _cosines(), persistent=False)
        self.register_buffer("usual", torch.zeros(2 * _WAVES))
        self.register_buffer("variance", torch.ones(2 * _WAVES))
        self.register_buffer("batches", torch.zeros(()))

    def train(self, mode: bool = True) -> Self:
        """As of any module; what is usual is learnt again (`models.layers.norms.freeze_norms`)."""
        self.keeps_usual = False
        return super().train(mode)

    @torch.no_grad()
    def forward(self, pixels_B1HW: Tensor) -> Tensor:
        """`(B, 1, H, W)` normalised pixels to `(B, 126)` float32; the sides are at least 8 pixels."""
        with _in_float32(pixels_B1HW.device):
            measured_BF = self._measure(pixels_B1HW.float())
            if self.training and not self.keeps_usual:
                self._learn(measured_BF)
            deviations_BF: Tensor = (measured_BF - self.usual) / self.variance.sqrt()
            deviations_BF = deviations_BF.clamp(-_MOST_DEVIATIONS, _MOST_DEVIATIONS)
            return deviations_BF * self._shown(deviations_BF) if self.training else deviations_BF

    def _shown(self, deviations_BF: Tensor) -> Tensor:
        """1 for frames whose texture is shown in training, else 0, `(B, 1)`: some are withheld, for cameras that were not learnt from."""
        return (torch.rand(len(deviations_BF), 1, device=deviations_BF.device) >= _WITHHELD).float()

    def _measure(self, pixels_B1HW: Tensor) -> Tensor:
        energies_BWN = functional.conv2d(pixels_B1HW, self.waves, stride=BLOCK_PX).square().flatten(2)
        textured_B1N = (energies_BWN.sum(1, keepdim=True) > _FLAT_ENERGY).float()
        num_B1 = textured_B1N.sum(2).clamp(min=1)
        logs_BWN = torch.log(energies_BWN + _LEAST_ENERGY)
        mean_BW = (logs_BWN * textured_B1N).sum(2) / num_B1
        variance_BW = ((logs_BWN - mean_BW[..., None]).square() * textured_B1N).sum(2) / num_B1
        return torch.cat([mean_BW, (variance_BW + _LEAST_ENERGY).sqrt()], 1)

    def _learn(self, measured_BF: Tensor) -> None:
        self.batches.add_(1).clamp_(max=_SLOWEST)
        rate = 1 / self.batches
        self.usual.lerp_(measured_BF.mean(0), rate)
        self.variance.lerp_((measured_BF - self.usual).square().mean(0) + _LEAST_ENERGY, rate)


class TextureAdaptation(nn.Module):
    """A gain and an offset for every channel of some stages, by the texture of the frame.

    Source: Perez et al. 2018 (FiLM), arXiv:1709.07871, with the texture in the place of a question.
    """

    def __init__(self, channels: Mapping[str, int]) -> None:
        """Build for stages with so many channels each; all gains start close to 1 and all offsets close to 0."""
        super().__init__()
        self.channels = dict(channels)
        self.texture = Texture()
        self.hidden = nn.Linear(2 * _WAVES, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, 2 * sum(self.channels.values()))
        nn.init.normal_(self.out.weight, std=0.02)
        nn.init.zeros_(self.out.bias)

    def forward(self, pixels_B1HW: Tensor) -> Adapt:
        """`(B, 1, H, W)` normalised pixels to what adapts the stages."""
        with _in_float32(pixels_B1HW.device):
            both_BC = self.out(functional.relu(self.hidden(self.texture(pixels_B1HW))))
        parts: tuple[Tensor, ...] = both_BC[..., None, None].split([2 * num for num in self.channels.values()], 1)
        by_stage = {stage: part.chunk(2, 1) for stage, part in zip(self.channels, parts, strict=True)}

        def adapt(stage: str, map_BCHW: Tensor) -> Tensor:
            gain_BC11, offset_BC11 = (each.to(map_BCHW.dtype) for each in by_stage[stage])
            return map_BCHW * (1 + gain_BC11) + offset_BC11

        return adapt


def unadapted(stage: str, map_BCHW: Tensor) -> Tensor:
    """The map as it is."""
    return map_BCHW


def _in_float32(device: torch.device) -> AbstractContextManager[object]:
    """Half precision would round away the faint waves. A sketch (device `meta`) has no number format to turn off."""
    known = torch.amp.is_autocast_available(device.type)
    return torch.autocast(device.type, enabled=False) if known else nullcontext()


def _cosines() -> Tensor:
    """The 63 waves of an 8 x 8 cosine transform (type II, orthonormal) that are not constant, `(63, 1, 8, 8)`."""
    frequency, place = torch.meshgrid(torch.arange(BLOCK_PX), torch.arange(BLOCK_PX), indexing="ij")
    line = torch.cos(math.pi * frequency * (2 * place + 1) / (2 * BLOCK_PX)) * math.sqrt(2 / BLOCK_PX)
    line[0] /= math.sqrt(2)
    return torch.einsum("uy,vx->uvyx", line, line).reshape(-1, 1, BLOCK_PX, BLOCK_PX)[1:].clone()
