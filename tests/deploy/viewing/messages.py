"""Frames as messages, and their rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from contracts.codecs import encode_pixels
from contracts.frame import ContentType, FrameMeta, Pixels, RawRecord
from contracts.limits import InputLimits
from contracts.message import encode_message
from contracts.position import KafkaPosition
from contracts.result import Detection, FrameResult
from tests.outcomes import detection, result

LIMITS = InputLimits(min_side_px=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(offset: int, sensor_id: str = "cam-1", pixels_HW: Pixels | None = None, at: datetime = NOON) -> RawRecord:
    """A message at frames/0/OFFSET."""
    counts_HW = np.zeros((8, 10), np.uint8) if pixels_HW is None else pixels_HW
    meta = FrameMeta(sensor_id=sensor_id, frame_id=str(offset), captured_at=at, content_type=ContentType.PNG)
    key, value, headers = encode_message(meta, encode_pixels(counts_HW, ContentType.PNG))
    return RawRecord(KafkaPosition("frames", 0, offset), key, value, tuple(headers), round(at.timestamp() * 1000))


def row(offset: int, sensor_id: str = "cam-1", *detections: Detection, at: datetime = NOON) -> FrameResult:
    """The row of it."""
    return replace(
        result(offset, ingested_at=at),
        sensor_id=sensor_id,
        detections=detections,
        width_px=10,
        height_px=8,
        finished_at=at + timedelta(seconds=1),
    )


def sight(track_id: str, x: float, y: float, suppressed_by: str | None = None) -> Detection:
    """A detection of a track, 2 x 2 pixels around a point."""
    return replace(
        detection(), x_min_px=x - 1, y_min_px=y - 1, x_max_px=x + 1, y_max_px=y + 1, centroid_x_px=x, centroid_y_px=y,
        track_id=track_id, mask_rle=None, suppressed_by=suppressed_by, label_score=0.5,
    )  # fmt: skip
