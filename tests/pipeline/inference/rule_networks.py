"""Networks that answer by rule instead of by weights, so that a test knows what must come out."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import numpy as np

from actors.reply import ClassifierReply, DetectorReply, FramePoison, SegmenterReply
from contracts.block import unpack_block
from contracts.outputs import Classification, Detections, Float32, Segmentation
from contracts.result import BatchInfo, ModelRef
from pipeline.inference.router import ModelHandles

DIGEST = "0" * 64
MARKED_SIZES_PX = ((64, 96), (8, 64))  # frames of any other size (height, width) hold no target


class RuleNetworks:
    """A frame whose first pixel is n has n boxes; 255 poisons the detector, 254 the segmenter, 253 the classifier."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.classified: list[list[int]] = []

    def handles(self) -> ModelHandles:
        return ModelHandles(self.detect, self.segment, self.classify)

    async def detect(self, block: Any) -> DetectorReply:
        await asyncio.sleep(self.delay_s)
        marks = await self._marks(block)
        outputs = [FramePoison("boom") if mark == 255 else _boxes(1 if mark >= 253 else mark) for mark in marks]
        return DetectorReply(outputs, ModelRef("detection", "rule", DIGEST), *self._rest("detection", len(marks)))

    async def segment(self, block: Any) -> SegmenterReply:
        marks = await self._marks(block)
        outputs = [FramePoison("bang") if mark == 254 else Segmentation.empty() for mark in marks]
        return SegmenterReply(outputs, ModelRef("segmentation", "rule", DIGEST), *self._rest("segmentation", len(marks)))

    async def classify(self, block: Any, boxes_xyxy_px: list[Float32]) -> ClassifierReply:
        self.classified.append([len(boxes) for boxes in boxes_xyxy_px])
        marks = await self._marks(block)
        outputs = [
            FramePoison("crash")
            if mark == 253
            else Classification(("bird", "drone"), np.tile(np.array([0.2, 0.8], np.float32), (len(boxes), 1)))
            for mark, boxes in zip(marks, boxes_xyxy_px, strict=True)
        ]
        return ClassifierReply(outputs, ModelRef("classification", "rule", DIGEST), *self._rest("classification", len(marks)))

    async def _marks(self, block: Any) -> list[int]:
        # A table, or the ObjectRef of one, as the stream hands it over.
        if inspect.isawaitable(block):
            block = await block
        frames = unpack_block(block).frames
        return [int(frame.pixels_HW[0, 0]) if frame.pixels_HW.shape in MARKED_SIZES_PX else 0 for frame in frames]

    def _rest(self, task: str, num: int) -> tuple[list[BatchInfo | None], list[float], list[float]]:
        return [BatchInfo(task, num, "full")] * num, [2.0] * num, [1.0] * num


def _boxes(num: int) -> Detections:
    corners = np.array([[10 * i, 0, 10 * i + 4, 4] for i in range(num)], np.float32).reshape(-1, 4)
    return Detections(corners, np.full(num, 0.9, np.float32))
