"""The model interface: what every network of every task looks like to actors, training and evaluation.

Metadata is part of it from the first day: a network that uses none ignores it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from contracts.frame import Band, Frame, Platform
from contracts.outputs import Classification, Detections, Segmentation

Output = TypeVar("Output", Detections, Segmentation, Classification)
PLATFORMS = tuple(Platform)
BANDS = tuple(Band)


class Task(StrEnum):
    """The three tasks (column `models.task`)."""

    DETECTION = "detection"
    SEGMENTATION = "segmentation"
    CLASSIFICATION = "classification"


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Sizes of the input that a network accepts.

    Attributes:
        size_multiple_px: height and width must be multiples of it (the caller pads right and bottom).
        fixed_size_px: for classifiers, the side of the square crop; None for any size.
    """

    size_multiple_px: int = 32
    fixed_size_px: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MetadataBatch:
    """Metadata of a batch, index-coded so that it travels with the pixels.

    Attributes:
        platform_B: `(B,)` int64, index into `PLATFORMS`.
        band_B: `(B,)` int64, index into `BANDS`.
        size_px_B2: `(B, 2)` float32, height and width of the whole frame.
    """

    platform_B: Tensor
    band_B: Tensor
    size_px_B2: Tensor

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> MetadataBatch:
        """Collect the metadata of some frames."""
        return cls.of_each([(frame.meta.platform, frame.meta.band, (frame.height_px, frame.width_px)) for frame in frames])

    @classmethod
    def of_each(cls, each: Sequence[tuple[Platform, Band, tuple[int, int]]]) -> MetadataBatch:
        """Platform, band and size (height, width; pixels) of each item."""
        return cls(
            torch.tensor([PLATFORMS.index(platform) for platform, _, _ in each], dtype=torch.int64),
            torch.tensor([BANDS.index(band) for _, band, _ in each], dtype=torch.int64),
            torch.tensor([size_px for _, _, size_px in each], dtype=torch.float32).reshape(-1, 2),
        )

    @classmethod
    def unknown(cls, size_px: tuple[int, int], num: int = 1) -> MetadataBatch:
        """Platform and band unknown, one frame size (height, width) for all."""
        return cls(
            torch.full((num,), PLATFORMS.index(Platform.UNKNOWN)),
            torch.full((num,), BANDS.index(Band.UNKNOWN)),
            torch.tensor([size_px] * num, dtype=torch.float32),
        )

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Platforms, bands and sizes."""
        return self.platform_B, self.band_B, self.size_px_B2

    def to(self, device: torch.device | str, non_blocking: bool = False) -> MetadataBatch:
        """The same on another device."""
        return MetadataBatch(*(each.to(device, non_blocking=non_blocking) for each in self.tensors))


class Model(nn.Module, ABC, Generic[Output]):
    """A network of one task.

    Attributes:
        name: registered name.
        task: which of the three.
        input_spec: what `forward` accepts.
        class_names: labels in column order; `target` alone where a network knows only targets.
        paper: where it is from.
        learns: False for filters: there is nothing in them to train.
        head_names: parts that make the answer out of what the others see; those of them that a network has learn alone where it is told so.
    """

    name: str
    task: Task
    input_spec: InputSpec
    class_names: tuple[str, ...] = ("target",)
    paper: str = ""
    learns: bool = True
    head_names: tuple[str, ...] = ("head", "heads", "side_heads", "fuse")

    @abstractmethod
    def forward(self, pixels_BCHW: Tensor, metadata: MetadataBatch) -> Tensor | tuple[Tensor, ...]:
        """Normalised pixels `(B, 1, H, W)` float32 to raw outputs (logits)."""

    @abstractmethod
    def configure(self, postprocess: Mapping[str, float]) -> None:
        """Take the thresholds of a card (`ModelCard.postprocess`).

        Raises:
            ValueError: unknown name or a value out of range (a pydantic ValidationError).
        """

    @abstractmethod
    def postprocess(self, raw: Tensor | tuple[Tensor, ...], sizes_px: Sequence[tuple[int, int]]) -> list[Output]:
        """Raw outputs to one output per item, in pixels of the item.

        Args:
            raw: what `forward` returned.
            sizes_px: B pairs (height, width) without padding; nothing outside is reported.
        """
