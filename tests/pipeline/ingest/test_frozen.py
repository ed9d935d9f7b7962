"""The same picture again: a fault where the sensor says that it moves on, a repeated message where it does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from contracts.block import unpack_block
from contracts.codecs import encode_pixels
from contracts.errors import RejectReason
from contracts.frame import ContentType, Frame, FrameMeta, RawRecord
from contracts.limits import InputLimits
from contracts.message import encode_message
from contracts.position import KafkaPosition, OffsetRange
from contracts.quality import Quality
from contracts.result import DeadLetter
from pipeline.ingest.decode import decode_block, decode_record
from pipeline.ingest.frozen import LastPictures
from pipeline.ingest.raw_block import RawBlock, pack_raw

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PICTURES = np.random.default_rng(7).integers(1000, 3000, (3, 48, 64)).astype(np.uint16)


def record(offset: int, picture: int, number: int | None = None, *, sensor: str = "cam", seconds: float | None = None) -> RawRecord:
    captured_at = NOON if seconds is None else NOON + timedelta(seconds=seconds)
    meta = FrameMeta(sensor_id=sensor, frame_id=f"f{offset}", frame_number=number, captured_at=captured_at, content_type=ContentType.PNG)
    key, value, headers = encode_message(meta, encode_pixels(PICTURES[picture], ContentType.PNG), source="test")
    timestamp_ms = round(NOON.timestamp() * 1000)
    return RawRecord(KafkaPosition("frames", 0, offset), key, value, tuple(headers), timestamp_ms)


def frozen(*records: RawRecord) -> list[bool]:
    seen = LastPictures()
    outcomes = [decode_record(each, InputLimits(), seen) for each in records]
    return [isinstance(outcome, Frame) and Quality.FROZEN in outcome.quality for outcome in outcomes]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        pytest.param((record(0, 0, 0), record(1, 0, 1), record(2, 1, 2), record(3, 0, 3)), [False, True, False, False], id="by number"),
        pytest.param((record(0, 0, seconds=1), record(1, 0, seconds=2)), [False, True], id="by capture time"),
        pytest.param((record(0, 0, 7, seconds=1), record(1, 0, 7, seconds=1)), [False, False], id="the same message twice"),
        pytest.param((record(0, 0), record(1, 0)), [False, False], id="a sensor that says nothing"),
        pytest.param((record(0, 0, 0, sensor="a"), record(1, 0, 1, sensor="b")), [False, False], id="two sensors that see the same"),
        pytest.param((record(5, 0, 0), record(4, 0, 1)), [False, False], id="read once more from an earlier offset"),
        pytest.param((record(0, 0, 0), record(1, 1, 1, sensor="b"), record(2, 0, 2)), [False, False, True], id="another sensor between"),
    ],
)
def test_the_same_picture_again_is_frozen_only_where_the_sensor_moves_on(records: tuple[RawRecord, ...], expected: list[bool]) -> None:
    assert frozen(*records) == expected


def test_a_telemetry_row_that_counts_on_does_not_hide_a_frozen_picture() -> None:
    seen = LastPictures()
    found = []
    for offset in range(3):
        counts_HW = PICTURES[0].copy()
        counts_HW[0] = np.random.default_rng(offset).integers(30_000, 60_000, 64)
        meta = FrameMeta(sensor_id="cam", frame_id="-", frame_number=offset, captured_at=NOON, content_type=ContentType.PNG)
        key, value, headers = encode_message(meta, encode_pixels(counts_HW, ContentType.PNG), source="test")
        outcome = decode_record(RawRecord(KafkaPosition("frames", 0, offset), key, value, tuple(headers), 0), InputLimits(), seen)
        assert isinstance(outcome, Frame)
        found.append(outcome.quality)
    assert found == [(Quality.TELEMETRY,), (Quality.TELEMETRY, Quality.FROZEN), (Quality.TELEMETRY, Quality.FROZEN)]


def test_memory_of_sensors_is_bounded() -> None:
    seen = LastPictures(most_sensors=10)
    for offset in range(50):
        decode_record(record(offset, 0, offset, sensor=f"cam-{offset}"), InputLimits(), seen)
    assert len(seen._seen) == 10


def test_faults_travel_with_the_block_and_a_setting_rejects_by_them() -> None:
    records = tuple(record(offset, 0, offset, sensor="block") for offset in range(3))
    raw = pack_raw(RawBlock(OffsetRange("frames", 0, 0, 3), records, None, 0, NOON, 0.0))
    block = unpack_block(decode_block(raw, InputLimits()))
    assert [frame.quality for frame in block.frames] == [(), (Quality.FROZEN,), (Quality.FROZEN,)]
    seen = LastPictures()
    limits = InputLimits(reject_quality=(Quality.FROZEN,))
    first, second, _ = (decode_record(each, limits, seen) for each in records)
    assert isinstance(first, Frame)
    assert isinstance(second, DeadLetter)
    assert second.reason is RejectReason.QUALITY
    assert second.detail.endswith("got frozen")
