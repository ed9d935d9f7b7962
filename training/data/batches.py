"""Batches of training crops, and how they are drawn: each by its number, so that a training that goes on sees what it would have seen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from contracts.frame import Band, Platform
from models.interface import MetadataBatch, Model
from models.transforms import padded_size
from training.data.samples import Sample

KnownOf = tuple[Platform, Band, tuple[int, int]]
_CALIBRATION = 1


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Crops, what is true of them, and the metadata of the frames they are cut from.

    Attributes:
        pixels_B1HW: `(B, 1, H, W)` float32, normalised.
        targets: tensors that the task understands, first axis B: masks, boxes or labels, and weights where it has any.
        metadata: platform, band and size of each frame.
    """

    pixels_B1HW: Tensor
    targets: tuple[Tensor, ...]
    metadata: MetadataBatch

    def __len__(self) -> int:
        """Number of crops."""
        return len(self.pixels_B1HW)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All of it."""
        return (self.pixels_B1HW, *self.targets, *self.metadata.tensors)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same on another device."""
        targets = tuple(each.to(device, non_blocking=non_blocking) for each in self.targets)
        return Batch(self.pixels_B1HW.to(device, non_blocking=non_blocking), targets, self.metadata.to(device, non_blocking))

    def pin_memory(self) -> Batch:
        """The same where a GPU copies it from without waiting."""
        known = MetadataBatch(*(each.pin_memory() for each in self.metadata.tensors))
        return Batch(self.pixels_B1HW.pin_memory(), tuple(each.pin_memory() for each in self.targets), known)


class BatchSource(Protocol):
    """Source of the batches of a training."""

    def batches(self, start: int = 0, stride: int = 1) -> Iterator[Batch]:
        """Batches `start`, `start + stride`, ..., without an end; a batch depends on its number and the seed alone."""
        ...

    def decode(self) -> None:
        """Decode all images now, so that processes made afterwards share them."""
        ...

    def calibration(self, num: int) -> Iterator[Batch]:
        """Some batches drawn as those of training are, always the same ones, for the norms of averaged weights; made one by one."""
        ...


class SeededBatches(ABC):
    """Batches that are made one by one, each with a source of chance of its own."""

    seed: int
    samples: Sequence[Sample]

    def decode(self) -> None:
        """See `BatchSource.decode`."""
        for sample in self.samples:
            _ = sample.normalisation  # of the pixels, which stay

    @abstractmethod
    def picks(self) -> Iterator[Any]:
        """Plans of the batches, in order, without an end; cheap: a training that goes on asks for all from the first on."""

    @abstractmethod
    def make(self, pick: Any, rng: np.random.Generator) -> Batch:
        """The batch of a pick."""

    def batches(self, start: int = 0, stride: int = 1) -> Iterator[Batch]:
        """See `BatchSource.batches`."""
        for number, pick in enumerate(self.picks()):
            if number >= start and (number - start) % stride == 0:
                yield self.make(pick, np.random.default_rng([self.seed, number]))

    def calibration(self, num: int) -> Iterator[Batch]:
        """See `BatchSource.calibration`."""
        for number, pick in enumerate(islice(self.calibration_picks(), num)):
            yield self.make(pick, np.random.default_rng([self.seed, number, _CALIBRATION]))

    def calibration_picks(self) -> Iterator[Any]:
        """Plans of the batches for calibration; those of the training, unless crops change during it."""
        return self.picks()


def padded_pixels(model: Model[Any], batch: Batch) -> Tensor:
    """Pixels of crops of any size as a network takes them: padded at the right and bottom with the mean (0), as frames are in the stream.

    Returns:
        `(B, 1, H, W)` float32 in the memory format `channels_last`, height and width multiples of what the network wants.
    """
    height_px, width_px = batch.pixels_B1HW.shape[2:]
    high, wide = padded_size(height_px, width_px, model.input_spec.size_multiple_px)
    padded_B1HW = functional.pad(batch.pixels_B1HW, (0, wide - width_px, 0, high - height_px))
    return padded_B1HW.contiguous(memory_format=torch.channels_last)


def known_of(sample: Sample, unknown_share: float, rng: np.random.Generator) -> KnownOf:
    """Platform, band and frame size of an image; platform and band, each by itself, become `unknown` in a share of the crops."""
    hidden = rng.random(2) < unknown_share
    platform = Platform.UNKNOWN if hidden[0] else sample.platform
    band = Band.UNKNOWN if hidden[1] else sample.band
    height_px, width_px = sample.pixels_HW.shape
    return platform, band, (height_px, width_px)


def metadata_of(sample: Sample) -> MetadataBatch:
    """Metadata of one image as the stream would know it, for measuring."""
    height_px, width_px = sample.pixels_HW.shape
    return MetadataBatch.of_each([(sample.platform, sample.band, (height_px, width_px))])
