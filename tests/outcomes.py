"""Outcomes for tests: short ones by hand, all of them by hypothesis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from contracts.errors import RejectReason
from contracts.frame import Band, Platform
from contracts.position import KafkaPosition
from contracts.quality import Quality
from contracts.result import BatchInfo, DeadLetter, Detection, FrameResult, Gap, ModelRef, Outcome, StageTimes

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def detection(score: float = 0.75, label: str = "drone") -> Detection:
    return Detection(label, score, 1.0, 2.0, 4.0, 6.0, 2.5, 4.0, 9.0, {label: 0.5, "bird": 0.25}, "PPYo0", ("detector", "segmenter"), 6.5)


def result(offset: int, topic: str = "frames", partition: int = 0, num_detections: int = 1, ingested_at: datetime = NOON) -> FrameResult:
    return FrameResult(
        position=KafkaPosition(topic, partition, offset),
        sensor_id="cam-1",
        frame_id=f"frame-{offset}",
        frame_number=offset,
        captured_at=ingested_at,
        ingested_at=ingested_at,
        finished_at=ingested_at + timedelta(milliseconds=40),
        width_px=640,
        height_px=512,
        bit_depth=14,
        platform=Platform.AIR,
        band=Band.MWIR,
        headers={"mission": "7"},
        detections=tuple(detection(0.5 + 0.25 * (index % 2)) for index in range(num_detections)),
        models=(ModelRef("detection", "fcos_light", "0" * 64),),
        preprocess_version="1",
        batch=(BatchInfo("detection", 8, "full"),),
        stage_ms=StageTimes(read=0.5, detect=12.0),
    )


def letter(offset: int, topic: str = "frames", partition: int = 0, sensor_id: str | None = "cam-1") -> DeadLetter:
    return DeadLetter(
        position=KafkaPosition(topic, partition, offset),
        reason=RejectReason.CORRUPT_IMAGE,
        detail="expected a PNG image; got 3 bytes",
        ingested_at=NOON,
        finished_at=NOON,
        sensor_id=sensor_id,
    )


def gap(offset: int, stop: int, topic: str = "frames", partition: int = 0) -> Gap:
    return Gap(KafkaPosition(topic, partition, offset), stop, "retention deleted them", NOON, NOON)


_text = st.text(max_size=12)
_float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
_int32 = st.integers(1, 2**31 - 1)
_int64 = st.integers(0, 2**63 - 1)
_moment = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants naive bounds
_scores = st.dictionaries(_text, _float32, max_size=3)
_topics = st.from_regex(r"(archive:)?[a-z][a-z0-9._-]{0,11}", fullmatch=True)
_positions = st.builds(KafkaPosition, _topics, st.integers(0, 2**31 - 1), _int64)
_detections = st.builds(
    Detection,
    scr=st.none() | _float32,
    latitude=st.none() | _float32,
    longitude=st.none() | _float32,
    suppressed_by=st.none() | _text,
    label_score=st.none() | _float32,
    track_id=st.none() | _text,
    track_age_s=st.none() | _float32,
    speed_px_s=st.none() | _float32,
    speed_m_s=st.none() | _float32,
    track_state=st.none() | _text,
    label=_text,
    class_scores=_scores,
    mask_rle=st.none() | _text,
    found_by=st.lists(st.sampled_from(["detector", "segmenter"]), max_size=2).map(tuple),
    **dict.fromkeys(
        ("score", "x_min_px", "y_min_px", "x_max_px", "y_max_px", "centroid_x_px", "centroid_y_px", "area_px"),
        _float32,
    ),
)
frame_results = st.builds(
    FrameResult,
    position=_positions,
    sensor_id=_text,
    frame_id=_text,
    frame_number=st.none() | _int64,
    captured_at=_moment,
    ingested_at=_moment,
    finished_at=_moment,
    width_px=_int32,
    height_px=_int32,
    bit_depth=st.integers(1, 32),
    platform=st.sampled_from(Platform),
    band=st.sampled_from(Band),
    headers=st.dictionaries(_text, _text, max_size=3),
    detections=st.lists(_detections, max_size=3).map(tuple),
    models=st.lists(st.builds(ModelRef, _text, _text, _text), max_size=3).map(tuple),
    preprocess_version=_text,
    batch=st.lists(st.builds(BatchInfo, _text, _int32, _text), max_size=3).map(tuple),
    stage_ms=st.builds(StageTimes, *[_float32] * 7),
    klv=st.none() | st.dictionaries(_text, _text, max_size=3),
    sensor_latitude=st.none() | _float32,
    sensor_longitude=st.none() | _float32,
    sensor_altitude_m=st.none() | _float32,
    quality=st.lists(st.sampled_from(Quality), max_size=3).map(tuple),
)
dead_letters = st.builds(
    DeadLetter,
    position=_positions,
    reason=st.sampled_from(RejectReason),
    detail=_text,
    ingested_at=_moment,
    finished_at=_moment,
    sensor_id=st.none() | _text,
    frame_id=st.none() | _text,
    frame_number=st.none() | _int64,
    captured_at=st.none() | _moment,
    platform=st.sampled_from(Platform),
    band=st.sampled_from(Band),
    headers=st.dictionaries(_text, _text, max_size=3),
    width_px=st.none() | _int32,
    height_px=st.none() | _int32,
    bit_depth=st.none() | st.integers(1, 32),
)
gaps = st.builds(Gap, _positions, _int64, _text, _moment, _moment)
outcomes: st.SearchStrategy[Outcome] = st.one_of(frame_results, dead_letters, gaps)
