"""Base of the three model actors: a network behind a batcher, and its exchange while frames flow."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor

from actors.batching.batcher import DynamicBatcher
from actors.batching.buckets import ItemSize, Served
from actors.loading import LoadedModel, RawOutput, is_out_of_memory, load, require_finite
from actors.reply import FramePoison
from actors.settings import BatchPolicy, ModelActorSettings
from actors.threads import choose_threads
from contracts.errors import RetryLater
from contracts.frame import Normalisation
from contracts.result import BatchInfo
from models.interface import MetadataBatch, Task
from models.transforms import normalise

_log = structlog.get_logger(__name__)
FLOAT_BYTES = 4
Part = TypeVar("Part")
PartResult = TypeVar("PartResult")
Value = TypeVar("Value")
Shape = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Engine(Generic[Part, PartResult]):
    """One loaded network and the batcher in front of it; exchanged as a whole."""

    settings: ModelActorSettings
    loaded: LoadedModel
    batcher: DynamicBatcher[Part, PartResult]


class ModelActor(ABC, Generic[Part, PartResult]):
    """Answers for whole blocks, computes in batches across blocks.

    `Part` is what is batched: a frame, a tile of one, or a crop. Subclasses say how parts become tensors and results.
    """

    task: ClassVar[Task]

    def __init__(self, settings: ModelActorSettings, policy: BatchPolicy | None = None) -> None:
        """Load the network and compute the usual shapes once.

        Raises:
            SettingsError: network, weights or device cannot be used as the settings say.
        """
        self._policy = policy or BatchPolicy()
        self._threads = choose_threads(settings.threads)
        # torch keeps its thread count per calling thread, so the thread that computes must set it itself.
        self._executor = ThreadPoolExecutor(1, f"{self.task}-batch", torch.set_num_threads, (self._threads,))
        self._swapping = asyncio.Lock()
        self._engine = self._executor.submit(self._build, settings, self._policy).result()

    async def reconfigure(self, settings: ModelActorSettings | Mapping[str, Any], policy: BatchPolicy | None = None) -> None:
        """Take other settings while frames flow: the new network is loaded beside the old one, then they are exchanged.

        Blocks already here are finished by the network they came to, so a block never mixes two.

        Raises:
            SettingsError: the new settings cannot be used; the old network goes on.
        """
        wanted = settings if isinstance(settings, ModelActorSettings) else ModelActorSettings.model_validate(settings)
        async with self._swapping:
            self._policy = policy or self._policy
            old = self._engine
            if wanted == old.settings:
                old.batcher.reconfigure(self._policy)
                return
            self._engine = await asyncio.to_thread(self._build, wanted, self._policy)
            await old.batcher.close()

    @property
    def loaded(self) -> LoadedModel:
        """The network that new blocks come to."""
        return self._engine.loaded

    def stats(self) -> dict[str, Any]:
        """Figures for the live view: the network, and the counts of its batcher since it was loaded."""
        ref, inference = self.loaded.ref, self.loaded.inference
        return {
            "task": ref.task,
            "process": os.getpid(),
            "model": ref.name,
            "digest": ref.digest,
            "device": str(inference.device),
            "dtype": str(inference.dtype).removeprefix("torch."),
            "threads": self._threads,
        } | asdict(self._engine.batcher.stats())

    async def check_health(self) -> None:
        """Serve's health check: a network that fails whatever it is given needs a new process.

        Raises:
            RetryLater: its newest batch failed, and so did the probe.
        """
        failure = self._engine.batcher.stats().failure
        if failure is not None:
            raise RetryLater(expected="a network that computes", got=failure, where=f"{self.task} actor", action="The replica is replaced.")

    async def close(self) -> None:
        """Finish what is in hand and end the thread."""
        await self._engine.batcher.close()
        self._executor.shutdown()

    def _build(self, settings: ModelActorSettings, policy: BatchPolicy) -> Engine[Part, PartResult]:
        loaded = load(settings, self.task)

        def run_batch(shape: Hashable, parts: Sequence[Part]) -> Sequence[PartResult]:
            return self._finish(loaded, _forward(loaded, *self._stack(loaded, parts, _shape(shape))), parts)

        def probe(shape: Hashable) -> None:
            height_px, width_px = _shape(shape)
            # Compiled code is another one for several frames than for one.
            for num in (1, 2) if settings.compiled else (1,):
                _forward(loaded, torch.zeros((num, 1, height_px, width_px)), MetadataBatch.unknown((height_px, width_px), num))

        for shape in self._usual_shapes(loaded, settings):
            probe(shape)
        inference = loaded.inference
        _log.info("model_ready", **asdict(loaded.ref), device=str(inference.device), dtype=str(inference.dtype), threads=self._threads)
        batcher = DynamicBatcher(
            run_batch,
            lambda part: self._measure(loaded, part),
            policy,
            self._executor,
            is_out_of_memory=is_out_of_memory,
            probe=probe,
        )
        return Engine(settings, loaded, batcher)

    @abstractmethod
    def _usual_shapes(self, loaded: LoadedModel, settings: ModelActorSettings) -> set[Shape]:
        """Padded shapes (height, width) to compute once at start."""

    @abstractmethod
    def _measure(self, loaded: LoadedModel, part: Part) -> ItemSize:
        """Padded shape (the key) and weight of a part."""

    @abstractmethod
    def _stack(self, loaded: LoadedModel, parts: Sequence[Part], shape: Shape) -> tuple[Tensor, MetadataBatch]:
        """Normalised pixels `(B, 1, height, width)` of the padded shape, and the metadata of the frames they are of."""

    @abstractmethod
    def _finish(self, loaded: LoadedModel, raw: RawOutput, parts: Sequence[Part]) -> Sequence[PartResult]:
        """Raw outputs to one result per part."""


def stack_pixels(pixels: Sequence[NDArray[Any]], normalisations: Sequence[Normalisation], shape: Shape, device: torch.device) -> Tensor:
    """Counts of some images to one normalised tensor, padded right and bottom with 0 (the mean of every frame).

    Each image is read once: turning its counts into float32 is the copy into the batch, so read-only views of shared
    memory are neither copied before nor written to. The linear map runs on the device.

    Args:
        pixels: `(h, w)` each, uint8, uint16 or float32, no larger than the shape.
        normalisations: the map of each image's frame.
        shape: height and width of the result.
        device: where the result goes.

    Returns:
        `(B, 1, height, width)` float32.
    """
    counts_B1HW = torch.zeros((len(pixels), 1, *shape), pin_memory=device.type == "cuda")
    batch = counts_B1HW.numpy()
    for index, image_HW in enumerate(pixels):
        batch[index, 0, : image_HW.shape[0], : image_HW.shape[1]] = image_HW
    on_device = counts_B1HW.to(device, non_blocking=True)
    for index, (image_HW, normalisation) in enumerate(zip(pixels, normalisations, strict=True)):
        region = on_device[index, 0, : image_HW.shape[0], : image_HW.shape[1]]
        region.copy_(normalise(region, normalisation))
    return on_device


def size_of(shape: Shape) -> ItemSize:
    """Weight of one part of a padded shape, as float32."""
    pixels = shape[0] * shape[1]
    return ItemSize(shape, pixels, pixels * FLOAT_BYTES)


def age_s(read_at: datetime) -> float:
    """Seconds since a block was read, perhaps by a machine whose clock is ahead."""
    return max(0.0, (datetime.now(UTC) - read_at).total_seconds())


@dataclass(slots=True)
class PerFrame:
    """Bookkeeping of a reply: one entry per frame in each list, in order."""

    batches: list[BatchInfo | None]
    compute_ms: list[float]
    wait_ms: list[float]

    @classmethod
    def of(cls, task: Task, served: Sequence[Sequence[Served[Any]]]) -> PerFrame:
        """Sum up the parts of each frame."""
        return cls(
            [BatchInfo(task.value, parts[-1].batch_size, parts[-1].closed_by.value) if parts else None for parts in served],
            [sum(part.compute_ms for part in parts) for parts in served],
            [max((part.wait_ms for part in parts), default=0.0) for parts in served],
        )


def regroup(values: Sequence[Value], counts: Sequence[int]) -> list[list[Value]]:
    """Cut a flat sequence into consecutive runs of the given lengths."""
    ends = np.cumsum(counts).tolist()
    return [list(values[end - count : end]) for end, count in zip(ends, counts, strict=True)]


def values_or_poison(parts: Sequence[Served[Value]]) -> list[Value] | FramePoison:
    """All results of a frame's parts, or the poison mark when one of them has none."""
    values: list[Value] = []
    for part in parts:
        if isinstance(part.value, FramePoison):
            return part.value
        values.append(part.value)
    return values


def _forward(loaded: LoadedModel, pixels_B1HW: Tensor, metadata: MetadataBatch) -> RawOutput:
    raw = loaded.inference.forward(pixels_B1HW, metadata)
    require_finite(raw)
    return raw


def _shape(key: Hashable) -> Shape:
    assert isinstance(key, tuple)  # `_measure` made it
    return key
