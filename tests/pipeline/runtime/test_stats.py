"""Counts, rates and percentiles of the running stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from contracts.errors import RejectReason
from contracts.frame import Band, Platform
from contracts.position import KafkaPosition
from contracts.result import BatchInfo, DeadLetter, Detection, FrameResult, Gap, StageTimes
from observability.metrics import MetricName, NoMeter
from pipeline.runtime.metrics import StreamMetrics
from pipeline.runtime.silence import OTHER_SENSORS, Sensors
from pipeline.runtime.stats import WINDOW_S, StreamStats


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def detection(label: str) -> Detection:
    return Detection(label, 0.9, 0, 0, 4, 4, 2, 2, 16, {}, None, ("detector",))


def result(offset: int, *, age_s: float, labels: tuple[str, ...] = (), batch: int = 4) -> FrameResult:
    now = datetime.now(UTC)
    return FrameResult(
        position=KafkaPosition("frames", 0, offset),
        sensor_id=f"cam{offset % 2}",
        frame_id=str(offset),
        frame_number=None,
        captured_at=now,
        ingested_at=now - timedelta(seconds=age_s),
        finished_at=now,
        width_px=8,
        height_px=8,
        bit_depth=8,
        platform=Platform.UNKNOWN,
        band=Band.UNKNOWN,
        headers={},
        detections=tuple(detection(label) for label in labels),
        models=(),
        preprocess_version="1",
        batch=(BatchInfo("detection", batch, "waited"),),
        stage_ms=StageTimes(detect=10.0 * (offset + 1)),
    )


def test_rows_are_counted_by_status_sensor_and_label() -> None:
    stats = StreamStats(Clock())
    now = datetime.now(UTC)
    letter = DeadLetter(KafkaPosition("frames", 0, 2), RejectReason.TOMBSTONE, "", now, now, sensor_id="cam0")
    gap = Gap(KafkaPosition("frames", 0, 3), 9, "", now, now)
    stats.on_visible([result(0, age_s=0.1, labels=("bird", "bird")), result(1, age_s=0.1, labels=("car",)), letter, gap])
    progress = stats.progress()
    assert (progress.frames_out, progress.rejected, progress.gaps, progress.detections) == (4, 1, 1, 3)
    by_sensor, by_label, stage_ms = stats.totals()
    assert by_sensor == {"cam0": 2, "cam1": 1}
    assert by_label == {"bird": 2, "car": 1}
    assert stage_ms["detect"] == pytest.approx(15.0), "mean over the two frames that were computed"


def test_rates_are_of_the_last_seconds_only() -> None:
    clock = Clock()
    stats = StreamStats(clock)
    stats.on_read(0)
    clock.now_s += 5
    stats.on_read(100)
    stats.on_visible([result(offset, age_s=0.1) for offset in range(50)])
    progress = stats.progress()
    assert progress.fps_in == pytest.approx(20.0)
    assert progress.fps_out == pytest.approx(10.0)
    clock.now_s += WINDOW_S + 1
    stats.on_read(100)
    progress = stats.progress()
    assert progress.fps_out == 0.0
    assert progress.fps_in == pytest.approx(0.0)
    assert progress.frames_in == 100


def test_of_former_generations_stays_counted_what_has_its_row() -> None:
    stats = StreamStats(Clock())
    stats.on_read(30)
    stats.on_visible([result(offset, age_s=0.1) for offset in range(20)])
    assert stats.progress().in_flight == 10
    stats.on_state("restarting", generation=2, note="the broker is away")
    stats.on_new_readers(frozenset({0}))
    stats.on_read(12)
    progress = stats.progress()
    assert (progress.frames_in, progress.generation, progress.state, progress.note) == (32, 2, "restarting", "the broker is away")
    assert progress.in_flight == 12, "the ten that were dropped are read again"


def test_what_is_offered_is_how_fast_the_log_grows() -> None:
    clock, ours = Clock(), frozenset({0, 1})
    stats = StreamStats(clock)
    stats.on_lag(0, 1000, ours)
    assert stats.progress().offered_fps is None, "one look is no rate"
    for _ in range(30):
        clock.now_s += 2
        stats.on_lag(0, 1000 + round((clock.now_s - 100) * 100), ours)
    assert stats.progress().offered_fps == pytest.approx(100)
    for _ in range(20):  # it stops
        clock.now_s += 2
        stats.on_lag(0, 7000, ours)
    assert stats.progress().offered_fps == 0
    stats.on_lag(0, 3500, frozenset({1}))  # the other partition moved to another driver
    assert stats.progress().offered_fps is None


def test_idle_time_is_no_work() -> None:
    clock = Clock()
    stats = StreamStats(clock)

    def rows(num: int, work_s: float) -> None:
        row = replace(result(0, age_s=9), finished_at=datetime.now(UTC), stage_ms=StageTimes(detect=1000 * work_s))
        stats.on_visible([row] * num)

    clock.now_s += 2
    rows(10, 2.0)
    clock.now_s += 1
    rows(10, 3.0)  # begun before the others were done
    clock.now_s += 500
    rows(1, 0.5)
    assert stats.progress().busy_s == pytest.approx(3.5, abs=0.3)
    assert stats.progress().elapsed_s == pytest.approx(503)


def test_who_sent_often_and_stays_away_is_silent() -> None:
    sensors, noon = Sensors(), datetime(2026, 3, 1, 12, tzinfo=UTC)
    for number in range(100):  # read in a moment, sent in twenty seconds and in an hour and a half
        sensors.saw("fast", 10.0, noon + timedelta(seconds=0.2 * number))
        sensors.saw("slow", 10.0, noon + timedelta(seconds=60 * number))
    sensors.saw("once", 10.0, noon)
    assert sensors.silent(24.0) == ()
    (one,) = sensors.silent(30.0)
    assert (one.sensor_id, one.silent_s) == ("fast", 20.0)
    assert one.usual_s == pytest.approx(0.2)
    assert [each.sensor_id for each in sensors.silent(700.0)] == ["fast", "slow"]
    sensors.saw("fast", 700.0, noon)
    assert [each.sensor_id for each in sensors.silent(700.0)] == ["slow"]
    sensors.read_from(frozenset({1}))
    assert sensors.silent(800.0) == (), "their partition is another driver's now"
    sensors.read_from(frozenset({0, 1}))
    assert {each.sensor_id for each in sensors.silent(800.0)} == {"fast", "slow"}


def test_nobody_is_called_silent_while_frames_may_wait_in_kafka() -> None:
    clock = Clock()
    stats = StreamStats(clock)
    stats.on_visible([replace(result(offset, age_s=10 - offset), sensor_id="cam") for offset in range(10)])
    clock.now_s += 60
    for lag in (None, 500):
        stats.on_lag(lag)
        assert stats.progress().silent == ()
    stats.on_lag(0)
    assert [each.sensor_id for each in stats.progress().silent] == ["cam"]


def test_latency_of_the_run_is_exact_to_a_few_percent() -> None:
    stats = StreamStats(Clock())
    assert stats.latency_s(50) is None
    # Ages are counted from the machine's own clock: long ones, so that a pause in between is within a few percent.
    stats.on_visible([result(offset, age_s=20) for offset in range(98)] + [result(offset, age_s=300) for offset in range(2)])
    p50, p99 = stats.latency_s(50), stats.latency_s(99)
    assert p50 is not None
    assert p99 is not None
    assert p50 == pytest.approx(20, rel=0.1)
    assert p99 == pytest.approx(300, rel=0.1)
    assert stats.progress().latency_p99_s == pytest.approx(300, rel=0.1)


def test_batches_are_told_per_task() -> None:
    stats = StreamStats(Clock())
    stats.on_visible([result(0, age_s=0.1, batch=2), result(1, age_s=0.1, batch=6)])
    (task,) = stats.progress().tasks
    assert (task.task, task.batch_size_mean, task.closed_by) == ("detection", 4.0, {"waited": 2})


def test_a_new_sensor_id_in_every_message_does_not_fill_the_memory() -> None:
    stats = StreamStats()
    for start in range(0, 3000, 100):
        stats.on_visible([replace(result(offset, age_s=0.1), sensor_id=f"one-off-{offset}") for offset in range(start, start + 100)])
    by_sensor, _, _ = stats.totals()
    assert len(by_sensor) <= 1001
    assert by_sensor[OTHER_SENSORS] == 2000
    assert sum(by_sensor.values()) == 3000


def test_a_header_nobody_understood_is_counted_always_and_logged_once_a_sensor() -> None:
    counted: list[tuple[str, float, dict[str, str]]] = []

    class Counting(NoMeter):
        def count(self, name: MetricName, value: float, **tags: str) -> None:
            if name == "irstream_headers_not_understood_total":
                counted.append((tags["header"], value, tags))

    stats = StreamStats(Clock(), StreamMetrics(Counting()))
    rows = [
        replace(result(offset, age_s=0), headers={"ir_platform": "submarine", "ce_source": "//lab", "lens": "x"}) for offset in range(3)
    ]
    with capture_logs() as logs:
        stats.on_visible(rows)
        stats.on_visible(rows)
    assert [(header, value) for header, value, _ in counted] == [("ir_platform", 3), ("ir_platform", 3)]
    assert [(line["sensor_id"], line["header"], line["value"]) for line in logs] == [
        ("cam0", "ir_platform", "submarine"),
        ("cam1", "ir_platform", "submarine"),
    ]


def test_clocks_that_are_ahead_are_said_once_and_make_no_latency_negative() -> None:
    latencies_s: list[float] = []

    class Observing(NoMeter):
        def observe(self, name: MetricName, values: Sequence[float], **tags: str) -> None:
            if name == "irstream_visible_latency_seconds":
                latencies_s.extend(values)

    stats = StreamStats(Clock(), StreamMetrics(Observing()))
    ahead = replace(result(0, age_s=-3600.0), captured_at=datetime.now(UTC) + timedelta(days=400))
    with capture_logs() as logs:
        for _ in range(2):
            stats.on_visible([ahead, result(1, age_s=0.1)])
    assert [(line["event"], line["sensor_id"]) for line in logs] == [("sensor_clock_ahead", "cam0"), ("producer_clock_ahead", "cam0")]
    assert min(latencies_s) == 0.0
    assert (stats.progress().latency_p50_s or 0.0) >= 0.0
