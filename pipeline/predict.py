"""Frames of files through the networks of this process, without Kafka and Ray, as `irstream predict` does it.

Every frame takes the way of the stream: message, decoding, networks, fusion, row. What it says here it says there.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from contracts.block import unpack_block
from contracts.frame import Pixels, RawRecord
from contracts.limits import InputLimits
from contracts.message import encode_message
from contracts.position import KafkaPosition, OffsetRange, TopicPartition
from contracts.result import DeadLetter, FrameResult, Outcome
from pipeline.inference.router import ModelHandles, Router
from pipeline.inference.rules import LiveRules, SensorRules, suppressed_by
from pipeline.ingest.decode import decode_block
from pipeline.ingest.raw_block import RawBlock, pack_raw
from pipeline.inputs.feeds import FrameSource, FrameToSend
from pipeline.inputs.pictures import Unusable
from pipeline.settings import StreamSettings
from pipeline.tracks.settings import TrackSettings
from pipeline.tracks.tracker import PartitionTracks

BLOCK_FRAMES = 4
BLOCK_BYTES = 8 * 2**20
"""A block ends with the frame that fills it: small ones show something soon, and hold little."""
_TOPIC = "archive:{}"
_KEPT_PROBLEMS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """A frame and what became of it.

    Attributes:
        outcome: its row: a result, or a dead letter that says why there is none.
        pixels_HW: its counts; None where it could not be decoded.
    """

    outcome: Outcome
    pixels_HW: Pixels | None


@dataclass(slots=True)
class PredictCounts:
    """Counts of what became of the input.

    Attributes:
        frames, detections: frames with a result, targets in them.
        suppressed: of those targets, how many each filter would keep out of alerts.
        rejected: frames that cannot be used.
        skipped: of the input, what is no frame.
        problems: the first of what was rejected or skipped, and why.
    """

    frames: int = 0
    detections: int = 0
    rejected: int = 0
    skipped: int = 0
    problems: list[str] = field(default_factory=list)
    suppressed: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Answered | Unusable) -> None:
        """Count one more."""
        if isinstance(entry, Unusable):
            self.skipped += entry.num
            self._problem(f"{entry.what}: {entry.why}")
        elif isinstance(entry.outcome, DeadLetter):
            self.rejected += 1
            self._problem(f"{entry.outcome.frame_id}: {entry.outcome.reason}: {entry.outcome.detail}")
        elif isinstance(entry.outcome, FrameResult):
            self.frames += 1
            self.detections += len(entry.outcome.sure)
            self.suppressed.update(suppressed_by([entry.outcome]))

    def _problem(self, text: str) -> None:
        if len(self.problems) < _KEPT_PROBLEMS:
            self.problems.append(text)


@dataclass(slots=True, eq=False)
class _Sensor:
    """Frames of a sensor that wait for their block, the offset after them, and its tracks where they follow each other in time."""

    records: list[RawRecord] = field(default_factory=list)
    num_bytes: int = 0
    next_offset: int = 0
    tracks: PartitionTracks | None = None

    @property
    def is_full(self) -> bool:
        return len(self.records) >= BLOCK_FRAMES or self.num_bytes >= BLOCK_BYTES


class Predictor:
    """Three networks and the rules of the stream."""

    def __init__(
        self,
        runner: asyncio.Runner,
        models: ModelHandles,
        settings: StreamSettings,
        rules: SensorRules,
        limits: InputLimits,
        tracks: TrackSettings,
    ) -> None:
        """Keep them; nothing is computed yet.

        Args:
            runner: of the loop on which the networks are asked.
            models: the actors themselves.
            settings: how findings are joined and named.
            rules: least scores of rows, and filters of detections.
            limits: of a frame.
            tracks: when tracks begin and end; only clips have some, single images do not follow each other.
        """
        self._runner, self._limits = runner, limits
        self._settings, self._tracks, self._rules = settings, tracks, rules
        self._router = Router(models, settings, LiveRules(rules))

    def run(self, source: FrameSource, limit: int | None = None) -> Iterator[Answered | Unusable]:
        """Answers to the frames of a source, in the order of each sensor.

        Args:
            source: one pass of it is read, a block ahead at most.
            limit: frames at most.

        Yields:
            Each frame with its row, and what of the input is no frame.

        Raises:
            RetryLater: a network does not answer.
        """
        waiting: dict[str, _Sensor] = {}
        num_frames, began = 0, datetime.now(UTC)
        for entry in source.frames():
            if isinstance(entry, Unusable):
                yield entry
                continue
            if num_frames == limit:
                break
            num_frames += 1
            if entry.sensor_id not in waiting:
                waiting[entry.sensor_id] = _Sensor(tracks=self._begun(entry.sensor_id) if entry.fps else None)
            sensor = waiting[entry.sensor_id]
            _put(sensor, entry, began + timedelta(seconds=sensor.next_offset / entry.fps) if entry.fps else datetime.now(UTC))
            if sensor.is_full:
                yield from self._answers(entry.sensor_id, sensor)
        for sensor_id, sensor in waiting.items():
            if sensor.records:
                yield from self._answers(sensor_id, sensor)

    def _answers(self, sensor_id: str, sensor: _Sensor) -> Iterator[Answered]:
        stop = sensor.next_offset
        span = OffsetRange(_TOPIC.format(sensor_id), 0, stop - len(sensor.records), stop)
        block = decode_block(pack_raw(RawBlock(span, sensor.records, None, 0, datetime.now(UTC), 0.0)), self._limits)
        sensor.records, sensor.num_bytes = [], 0
        routed = self._runner.run(self._router.route(block, _itself))
        pixels = {frame.position: frame.pixels_HW for frame in unpack_block(block).frames}
        for outcome in routed.outcomes:
            if sensor.tracks is not None and isinstance(outcome, FrameResult):
                outcome, _ = sensor.tracks.advance(outcome)
            yield Answered(outcome, pixels.get(outcome.position))

    def _begun(self, sensor_id: str) -> PartitionTracks:
        return PartitionTracks(
            TopicPartition(_TOPIC.format(sensor_id), 0), self._tracks, self._settings.label_min_score, self._rules.filters
        )


def _put(sensor: _Sensor, frame: FrameToSend, captured_at: datetime) -> None:
    number = sensor.next_offset
    meta = frame.meta(frame_id=f"{frame.sensor_id}/{number}", number=number, captured_at=captured_at)
    key, value, headers = encode_message(meta, frame.picture.payload, source="irstream/predict")
    position = KafkaPosition(_TOPIC.format(frame.sensor_id), 0, number)
    sensor.records.append(RawRecord(position, key, value, tuple(headers), round(time.time() * 1000)))
    sensor.num_bytes += len(value)
    sensor.next_offset += 1


async def _itself(block: pa.Table) -> pa.Table:
    return block
