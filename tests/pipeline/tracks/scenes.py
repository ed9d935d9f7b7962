"""Frames with targets that move, fade, cross and leave, of several sensors in one partition, with all that disturbs a tracker."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from contracts.position import KafkaPosition, TopicPartition
from contracts.result import Detection, FrameResult
from pipeline.inference.rules import Filters
from pipeline.sensor_settings import AlertSettings, Persistence
from pipeline.tracks.settings import TrackSettings
from pipeline.tracks.track import as_float32
from pipeline.tracks.tracker import PartitionTracks, TargetEvent
from tests.outcomes import result

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARTITION = TopicPartition("frames", 0)


def seen(
    x_px: float, y_px: float, score: float = 0.9, size_px: float = 3.0, label: str = "drone", class_scores: dict[str, float] | None = None
) -> Detection:
    half = size_px / 2
    scores = {label: 0.75} if class_scores is None else class_scores
    return Detection(label, score, x_px - half, y_px - half, x_px + half, y_px + half, x_px, y_px, size_px**2, scores, None, ("detector",))


def frame(offset: int, *detections: Detection, sensor_id: str = "cam", at_s: float | None = None, partition: int = 0) -> FrameResult:
    at = NOON + timedelta(seconds=0.04 * offset if at_s is None else at_s)
    position = KafkaPosition("frames", partition, offset)
    return replace(result(offset), position=position, sensor_id=sensor_id, captured_at=at, ingested_at=at, detections=detections)


@cache
def filters(sensor_id: str) -> Filters:
    """`cam-0` shows what was seen in two of three frames, `cam-1` hides birds, all others show everything at once."""
    persistence = Persistence(seen=2, of=3) if sensor_id == "cam-0" else Persistence()
    return Filters(AlertSettings(hidden_labels=("bird",) if sensor_id == "cam-1" else (), persistence=persistence))


def tracker(settings: TrackSettings | None = None) -> PartitionTracks:
    """Targets of the sensor `cam-0` are shown when they were seen in two of three frames, all others at once."""
    return PartitionTracks(PARTITION, settings or TrackSettings(), 0.5, filters)


def run(tracks: PartitionTracks, frames: Sequence[FrameResult]) -> tuple[list[FrameResult], list[TargetEvent]]:
    rows, events = [], []
    for each in frames:
        row, changes = tracks.advance(each)
        rows.append(row)
        events += changes
    return rows, events


def ids(row: FrameResult) -> list[str | None]:
    return [each.track_id for each in row.detections]


def disturbed(seed: int, num: int, num_sensors: int = 3) -> list[FrameResult]:
    """Frames of sensors in turn, not evenly; targets are missed, fade, cross, come in twos; clocks stand still, jump and go back."""
    luck = random.Random(seed)
    sensors = [f"cam-{number}" for number in range(num_sensors)]
    targets = {
        name: [(luck.uniform(0, 99), luck.uniform(0, 99), luck.gauss(0, 1.5), luck.gauss(0, 1.5)) for _ in range(3)] for name in sensors
    }
    at_s = dict.fromkeys(sensors, 0.0)
    counts = dict.fromkeys(sensors, 0)
    frames, offset = [], 0
    for _ in range(num):
        name = luck.choice(sensors)
        counts[name] += 1
        at_s[name] += luck.choice([0.04, 0.04, 0.04, 0.0, 0.2, -0.05, 3.0 if luck.random() < 0.1 else 0.04])
        offset += 1 if luck.random() < 0.97 else luck.randrange(2, 30)
        found = []
        for x, y, vx, vy in targets[name]:
            if luck.random() < 0.75:
                place = (x + vx * counts[name] + luck.gauss(0, 0.4), y + vy * counts[name] + luck.gauss(0, 0.4))
                classes = dict(zip(("drone", "bird"), as_float32(luck.random(), luck.random()), strict=True))  # as networks answer
                label = max(classes, key=classes.__getitem__) if max(classes.values()) >= 0.5 else "target"
                placed: dict[str, Any] = {"latitude": 50 + place[1] * 1e-5, "longitude": 8 + place[0] * 1e-5} if luck.random() < 0.8 else {}
                made = seen(*place, score=luck.random(), size_px=luck.uniform(1, 9), label=label, class_scores=classes)
                found.append(replace(made, suppressed_by=luck.choice([None, None, None, None, "min_score", "display"]), **placed))
        while luck.random() < 0.3:
            found.append(seen(luck.uniform(0, 99), luck.uniform(0, 99), score=luck.random()))
        found.sort(key=lambda each: -each.score)
        frames.append(frame(offset, *found, sensor_id=name, at_s=at_s[name]))
    return frames


def finite(value: float | None) -> bool:
    return value is None or math.isfinite(value)
