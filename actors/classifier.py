"""The classifier actor: class scores for crops around the targets that the other two found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from torch import Tensor

from actors.batching.buckets import ItemSize
from actors.loading import LoadedModel, RawOutput
from actors.model_actor import ModelActor, PerFrame, Shape, age_s, regroup, size_of, stack_pixels, values_or_poison
from actors.reply import ClassifierReply, FramePoison
from actors.settings import ModelActorSettings
from contracts.block import unpack_block
from contracts.frame import Frame
from contracts.outputs import Classification, Float32
from models.interface import MetadataBatch, Task
from models.transforms import crop_square


@dataclass(frozen=True, slots=True, eq=False)
class CropPart:
    """One target: a box, `(4,)` float32 pixel edges, in a frame."""

    frame: Frame
    box_xyxy_px: Float32


class ClassifierActor(ModelActor[CropPart, Classification]):
    """Crops of all frames of all blocks share batches; a frame without targets costs nothing."""

    task = Task.CLASSIFICATION

    async def run(self, block: pa.Table, boxes_xyxy_px: Sequence[Float32]) -> ClassifierReply:
        """Classify the targets of a block.

        Args:
            block: one row, `contracts.block.BLOCK_SCHEMA`; its pixels are only read.
            boxes_xyxy_px: per frame, `(n, 4)` float32 pixel edges; n may be 0.

        Returns:
            One `Classification` per frame, in order, with a row for each of its boxes.

        Raises:
            RunnerFailed: the network itself is sick.
            ValueError: not a block, or not one array of boxes per frame.
        """
        engine = self._engine
        view = unpack_block(block)
        crops = [
            CropPart(frame, box_4)
            for frame, boxes_n4 in zip(view.frames, boxes_xyxy_px, strict=True)
            for box_4 in np.reshape(boxes_n4, (-1, 4))
        ]
        served = await engine.batcher.submit(crops, age_s=age_s(view.read_at))
        answers = regroup(served, [len(boxes_n4) for boxes_n4 in boxes_xyxy_px])
        outputs = [_together(engine.loaded, values_or_poison(mine)) for mine in answers]
        sums = PerFrame.of(self.task, answers)
        return ClassifierReply(outputs, engine.loaded.ref, sums.batches, sums.compute_ms, sums.wait_ms)

    def _usual_shapes(self, loaded: LoadedModel, settings: ModelActorSettings) -> set[Shape]:
        return {_crop_shape(loaded)}

    def _measure(self, loaded: LoadedModel, part: CropPart) -> ItemSize:
        return size_of(_crop_shape(loaded))

    def _stack(self, loaded: LoadedModel, parts: Sequence[CropPart], shape: Shape) -> tuple[Tensor, MetadataBatch]:
        # Cut first, normalise the few pixels of the crops after: resampling and the linear map commute.
        crops = [crop_square(part.frame.pixels_HW, part.box_xyxy_px, shape[0]) for part in parts]
        frames = [part.frame for part in parts]
        return stack_pixels(crops, [frame.normalisation for frame in frames], shape, loaded.inference.device), MetadataBatch.of(frames)

    def _finish(self, loaded: LoadedModel, raw: RawOutput, parts: Sequence[CropPart]) -> Sequence[Classification]:
        named: list[Classification] = loaded.inference.model.postprocess(raw, [_crop_shape(loaded)] * len(parts))
        return named


def _crop_shape(loaded: LoadedModel) -> Shape:
    side_px = loaded.inference.model.input_spec.fixed_size_px
    if side_px is None:
        raise TypeError(f"expected a classifier with a fixed crop size, got {loaded.ref.name}")
    return side_px, side_px


def _together(loaded: LoadedModel, crops: list[Classification] | FramePoison) -> Classification | FramePoison:
    if isinstance(crops, FramePoison):
        return crops
    if not crops:
        names = loaded.class_names
        return Classification(names, np.zeros((0, len(names)), np.float32))
    return Classification(crops[0].class_names, np.concatenate([crop.scores for crop in crops]))
