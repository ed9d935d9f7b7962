"""From a block of frames to its outcomes: detector and segmenter side by side, fusion, classifier, one row per position.

Runs in the driver on one asyncio loop. Pixels never pass through it: the model actors get ObjectRefs.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from actors.reply import ClassifierReply, DetectorReply, FramePoison, SegmenterReply
from contracts.block import FrameBlock, unpack_block
from contracts.errors import RejectReason, RetryLater
from contracts.frame import Frame
from contracts.klv import decode_klv
from contracts.outputs import Classification, Detections, Float32, Segmentation
from contracts.position import KafkaPosition, OffsetRange
from contracts.result import DeadLetter, Detection, FrameResult, Gap, Outcome, StageTimes
from models.transforms import PREPROCESS_VERSION
from pipeline.inference.crash_isolation import Isolation
from pipeline.inference.fusion import Targets, name_targets
from pipeline.inference.geolocation import placed
from pipeline.inference.patience import Patience
from pipeline.inference.rules import LiveRules, SensorRules
from pipeline.inference.weak import join_all
from pipeline.settings import StreamSettings

# The first argument is a block or its ObjectRef; the classifier also gets the boxes of each of its frames.
DetectorCall = Callable[[Any], Awaitable[DetectorReply]]
SegmenterCall = Callable[[Any], Awaitable[SegmenterReply]]
ClassifierCall = Callable[[Any, list[Float32]], Awaitable[ClassifierReply]]


@dataclass(frozen=True, slots=True, eq=False)
class ModelHandles:
    """Handles by which the router reaches the three networks (of Serve, or the actors themselves in tests)."""

    detector: DetectorCall
    segmenter: SegmenterCall
    classifier: ClassifierCall


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Answers of the three networks for the frames of a block, in its order; the classifier is not asked where nothing was found."""

    detector: DetectorReply
    segmenter: SegmenterReply
    classifier: ClassifierReply | None


@dataclass(frozen=True, slots=True, eq=False)
class RoutedBlock:
    """A block with its outcomes, ready for the committer.

    Attributes:
        span: the offsets it accounts for.
        outcomes: one per record (and per gap), in offset order.
        read_bytes: message bytes its reader was charged for.
        view: the block; its pixels are those of the shared memory, and hold it as long as somebody holds them.
        answers: of the networks; None for a block without frames.
    """

    span: OffsetRange
    outcomes: tuple[Outcome, ...]
    read_bytes: int
    view: FrameBlock
    answers: Answers | None = None


class Router:
    """Calls the three networks for blocks and joins their answers."""

    def __init__(self, models: ModelHandles, settings: StreamSettings, rules: LiveRules, patience: Patience | None = None) -> None:
        """Keep the handles; calls are made on the loop that runs `route`.

        Args:
            models: the three networks.
            settings: how long to wait, what is joined and named.
            rules: least scores of rows, and filters of detections.
            patience: what is known of their slowness; None for nothing yet.
        """
        self._settings = settings
        self._rules = rules
        self._answered_at = time.monotonic()
        self._patience = patience or Patience(settings.model_timeout_s)
        self._num_waiting = 0
        self._detector: Isolation[Detections] = Isolation("detector", self._timed("detector", models.detector))
        self._segmenter: Isolation[Segmentation] = Isolation("segmenter", self._timed("segmenter", models.segmenter))
        self._classifier: Isolation[Classification] = Isolation("classifier", self._timed("classifier", models.classifier))

    @property
    def answered_at(self) -> float:
        """Moment of the last answer of a network (monotonic seconds)."""
        return self._answered_at

    @property
    def computing(self) -> bool:
        """True while a network owes an answer and has not been silent for too long."""
        return self._num_waiting > 0

    @property
    def patience_s(self) -> float:
        """Silence of all networks that is no slowness any more."""
        return self._patience.longest_s

    async def route(self, block: Any, fetch: Callable[[Any], Awaitable[pa.Table]]) -> RoutedBlock:
        """Take one block through the networks.

        Args:
            block: what the networks are given: an ObjectRef, or the table itself.
            fetch: how the driver gets the table (a zero-copy view; only its metadata is read here).

        Raises:
            RetryLater: a network did not answer in time.
            Exception: whatever a network raised; the generation ends.
        """
        view = unpack_block(await fetch(block))
        results: list[Outcome] = []
        answers = None
        if view.frames:
            results, answers = await self._infer(block, view)
        outcomes = [*_gap_of(view), *results, *view.rejections]
        outcomes.sort(key=lambda outcome: outcome.position.offset)
        return RoutedBlock(view.span, tuple(outcomes), view.credit_bytes, view, answers)

    async def _infer(self, block: Any, view: FrameBlock) -> tuple[list[Outcome], Answers]:
        rules = self._rules.now
        detector, segmenter = await self._side_by_side(self._detector(block, view), self._segmenter(block, view))
        began = time.perf_counter()
        targets = [
            self._join(frame, found, regions, rules)
            for frame, found, regions in zip(view.frames, detector.outputs, segmenter.outputs, strict=True)
        ]
        fuse_ms = (time.perf_counter() - began) * 1e3 / len(view.frames)
        boxes = [
            _no_boxes() if isinstance(item, FramePoison) else item.boxes_xyxy_px[: item.num_named]
            for frame, item in zip(view.frames, targets, strict=True)
        ]
        classifier = None
        if any(len(item) for item in boxes):
            classifier = await self._classifier(block, view, boxes)
        finished_at = datetime.now(UTC)
        outcomes = [
            self._outcome(_FrameWork(view, index, item, detector, segmenter, classifier, fuse_ms, finished_at), rules)
            for index, item in enumerate(targets)
        ]
        return outcomes, Answers(detector, segmenter, classifier)

    async def _side_by_side(
        self, detecting: Coroutine[Any, Any, DetectorReply], segmenting: Coroutine[Any, Any, SegmenterReply]
    ) -> tuple[DetectorReply, SegmenterReply]:
        """Both answers; when one fails, the other is given up."""
        tasks = asyncio.ensure_future(detecting), asyncio.ensure_future(segmenting)
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _timed(self, network: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        return lambda *arguments: self._in_time(network, call(*arguments))

    async def _in_time(self, network: str, call: Awaitable[Any]) -> Any:
        """Wait for a network as long as any answers anybody: a slow machine is no failure, a silent one is."""
        began_at = time.monotonic()
        answer = asyncio.ensure_future(call)
        self._num_waiting += 1
        try:
            while True:
                asked_at = time.monotonic()
                timeout_s = self._patience.of(network)
                done, _ = await asyncio.wait([answer], timeout=timeout_s)
                if done:
                    self._answered_at = time.monotonic()  # a crash, too, is a sign of life
                    self._patience.answered_after(network, self._answered_at - began_at)
                    return answer.result()
                if self._answered_at < asked_at:
                    break
        finally:
            self._num_waiting -= 1
            if not answer.done():
                answer.cancel()
                await asyncio.wait([answer])
                _ = answer.cancelled() or answer.exception()  # looked at, or asyncio complains
        self._patience.in_vain(network, timeout_s)
        raise RetryLater(
            expected=f"an answer of the model actors within {timeout_s:g} s",
            got="none",
            where="router",
            action="The generation restarts and waits twice as long; see the Serve logs if it happens again.",
        )

    def _join(
        self, frame: Frame, found: Detections | FramePoison, regions: Segmentation | FramePoison, rules: SensorRules
    ) -> Targets | FramePoison:
        if isinstance(found, FramePoison):
            return found
        if isinstance(regions, FramePoison):
            return regions
        settings = self._settings
        return join_all(
            found,
            regions,
            (frame.height_px, frame.width_px),
            match_iou=settings.match_iou,
            match_distance_px=settings.match_distance_px,
            max_targets=settings.max_detections,
            finder_score=rules.finder_score,
            max_weak=settings.max_weak,
            min_score=rules.min_score(frame.meta.sensor_id),
        )

    def _outcome(self, work: _FrameWork, rules: SensorRules) -> Outcome:
        classes: Classification | None = None
        if isinstance(work.targets, FramePoison):
            return work.poisoned(work.targets)
        if work.classifier is not None:
            answer = work.classifier.outputs[work.index]
            if isinstance(answer, FramePoison):
                return work.poisoned(answer)
            classes = answer if work.targets.num_named else None
        result = work.result(
            name_targets(work.targets, classes, self._settings.label_min_score), work.targets, is_named=classes is not None
        )
        return rules.filters(result.sensor_id).marked(result)


@dataclass(frozen=True, slots=True, eq=False)
class _FrameWork:
    """Everything known of one frame when its row is made."""

    view: FrameBlock
    index: int
    targets: Targets | FramePoison
    detector: DetectorReply
    segmenter: SegmenterReply
    classifier: ClassifierReply | None
    fuse_ms: float
    finished_at: datetime

    @property
    def frame(self) -> Frame:
        return self.view.frames[self.index]

    def result(self, detections: tuple[Detection, ...], targets: Targets, *, is_named: bool) -> FrameResult:
        frame, meta = self.frame, self.frame.meta
        # What a row says may depend on its own frame only, not on who else was in the block.
        named = self.classifier if is_named else None
        replies = [reply for reply in (self.detector, self.segmenter, named) if reply is not None]
        packet = None if meta.klv is None else decode_klv(base64.b64decode(meta.klv))
        numbers = {} if packet is None else packet.numbers
        return FrameResult(
            position=frame.position,
            sensor_id=meta.sensor_id,
            frame_id=meta.frame_id,
            frame_number=meta.frame_number,
            captured_at=meta.captured_at,
            ingested_at=frame.ingested_at,
            finished_at=self.finished_at,
            width_px=frame.width_px,
            height_px=frame.height_px,
            bit_depth=frame.bit_depth,
            platform=meta.platform,
            band=meta.band,
            headers=meta.headers,
            detections=detections if packet is None else placed(detections, packet, frame.width_px, frame.height_px),
            klv=None if packet is None else packet.as_text(),
            sensor_latitude=numbers.get("sensor_latitude"),
            sensor_longitude=numbers.get("sensor_longitude"),
            sensor_altitude_m=numbers.get("sensor_altitude_m"),
            models=tuple(reply.model for reply in replies),
            preprocess_version=PREPROCESS_VERSION,
            batch=tuple(info for reply in replies if (info := reply.batches[self.index]) is not None),
            stage_ms=self._stages(),
            quality=frame.quality,
            weak_left_out=targets.weak_left_out,
        )

    def _stages(self) -> StageTimes:
        index, classifier = self.index, self.classifier
        # Detector and segmenter wait side by side, the classifier after them.
        wait_ms = max(self.detector.wait_ms[index], self.segmenter.wait_ms[index])
        return StageTimes(
            read=self.view.read_ms,
            decode=self.frame.decode_ms,
            wait=wait_ms + (classifier.wait_ms[index] if classifier else 0.0),
            detect=self.detector.compute_ms[index],
            segment=self.segmenter.compute_ms[index],
            classify=classifier.compute_ms[index] if classifier else 0.0,
            fuse=self.fuse_ms,
        )

    def poisoned(self, poison: FramePoison) -> DeadLetter:
        frame, meta = self.frame, self.frame.meta
        return DeadLetter(
            position=frame.position,
            reason=RejectReason.POISON,
            detail=f"expected a frame the networks can compute; got {poison.detail}",
            ingested_at=frame.ingested_at,
            finished_at=self.finished_at,
            sensor_id=meta.sensor_id,
            frame_id=meta.frame_id,
            frame_number=meta.frame_number,
            captured_at=meta.captured_at,
            platform=meta.platform,
            band=meta.band,
            headers=meta.headers,
            width_px=frame.width_px,
            height_px=frame.height_px,
            bit_depth=frame.bit_depth,
        )


def _gap_of(view: FrameBlock) -> list[Outcome]:
    if view.gap_stop is None:
        return []
    span = view.span
    return [
        Gap(
            position=KafkaPosition(span.topic, span.partition, span.start),
            stop=view.gap_stop,
            detail=f"expected offset {span.start}; got a log that begins at {view.gap_stop}: retention deleted what lay before",
            ingested_at=view.read_at,
            finished_at=datetime.now(UTC),
        )
    ]


def _no_boxes() -> Float32:
    return np.zeros((0, 4), np.float32)
