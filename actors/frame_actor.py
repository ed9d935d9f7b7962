"""The actors that look at whole frames (detector, segmenter): frames, or tiles of large ones, are what is batched."""

from __future__ import annotations

import asyncio
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import pyarrow as pa
from torch import Tensor

from actors.batching.buckets import ItemSize
from actors.loading import LoadedModel
from actors.model_actor import Engine, ModelActor, PartResult, PerFrame, Shape, age_s, regroup, size_of, stack_pixels, values_or_poison
from actors.reply import FramePoison, Output, Reply
from actors.settings import TILE_GRID_PX, ModelActorSettings
from actors.tiling import Tile, plan_tiles
from contracts.block import unpack_block
from contracts.frame import Frame, Pixels
from models.interface import MetadataBatch
from models.transforms import padded_size


@dataclass(frozen=True, slots=True, eq=False)
class FramePart:
    """A frame (its only tile), or one of several tiles of it."""

    frame: Frame
    tile: Tile
    is_whole: bool

    @property
    def pixels_HW(self) -> Pixels:
        """Pixels of the tile: a view."""
        y, x = self.tile.y, self.tile.x
        return self.frame.pixels_HW[y.start : y.stop, x.start : x.stop]

    @property
    def size_px(self) -> Shape:
        """Height and width of the tile."""
        return self.tile.height_px, self.tile.width_px


class FrameActor(ModelActor[FramePart, PartResult], Generic[PartResult, Output]):
    """Runs a network over every frame of a block."""

    async def run(self, block: pa.Table) -> Reply[Output]:
        """Compute a block.

        Args:
            block: one row, `contracts.block.BLOCK_SCHEMA`; its pixels are only read.

        Returns:
            One entry per frame of the block, in order.

        Raises:
            RunnerFailed: the network itself is sick.
            ValueError: not a block.
        """
        engine = self._engine
        view = unpack_block(block)
        grid_px = _grid_px(engine.loaded)
        frames = [_parts_of(frame, engine.settings, grid_px) for frame in view.frames]
        served = await engine.batcher.submit([part for parts in frames for part in parts], age_s=age_s(view.read_at))
        answers = regroup(served, [len(parts) for parts in frames])
        outputs = [await self._output(engine, parts, values_or_poison(mine)) for parts, mine in zip(frames, answers, strict=True)]
        sums = PerFrame.of(self.task, answers)
        return Reply(outputs, engine.loaded.ref, sums.batches, sums.compute_ms, sums.wait_ms)

    async def _output(
        self, engine: Engine[FramePart, PartResult], parts: list[FramePart], results: list[PartResult] | FramePoison
    ) -> Output | FramePoison:
        if isinstance(results, FramePoison):
            return results
        if parts[0].is_whole:
            return self._join(engine.loaded, parts, results)
        # Joining many tiles takes milliseconds: not on the loop that serves everybody.
        return await asyncio.to_thread(self._join, engine.loaded, parts, results)

    def _usual_shapes(self, loaded: LoadedModel, settings: ModelActorSettings) -> set[Shape]:
        multiple = loaded.inference.model.input_spec.size_multiple_px
        tiles = [plan_tiles(height_px, width_px, settings.tiles, _grid_px(loaded))[0] for height_px, width_px in settings.warm_up_px]
        return {padded_size(tile.height_px, tile.width_px, multiple) for tile in tiles}

    def _measure(self, loaded: LoadedModel, part: FramePart) -> ItemSize:
        return size_of(padded_size(*part.size_px, loaded.inference.model.input_spec.size_multiple_px))

    def _stack(self, loaded: LoadedModel, parts: Sequence[FramePart], shape: Shape) -> tuple[Tensor, MetadataBatch]:
        frames = [part.frame for part in parts]
        pixels = [part.pixels_HW for part in parts]
        stacked = stack_pixels(pixels, [frame.normalisation for frame in frames], shape, loaded.inference.device)
        return stacked, MetadataBatch.of(frames)

    @abstractmethod
    def _join(self, loaded: LoadedModel, parts: Sequence[FramePart], results: Sequence[PartResult]) -> Output:
        """The output of a frame from the results of its parts."""


def _grid_px(loaded: LoadedModel) -> int:
    """Pixels on whose multiples tiles start: few networks have a larger stride than the grid."""
    return math.lcm(TILE_GRID_PX, loaded.inference.model.input_spec.size_multiple_px)


def _parts_of(frame: Frame, settings: ModelActorSettings, grid_px: int) -> list[FramePart]:
    tiles = plan_tiles(frame.height_px, frame.width_px, settings.tiles, grid_px)
    return [FramePart(frame, tile, len(tiles) == 1) for tile in tiles]
