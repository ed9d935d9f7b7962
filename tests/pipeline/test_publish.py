"""Publishing: rate, order, numbers, what is skipped; in memory and through the real broker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.codecs import decode_pixels, encode_pixels
from contracts.errors import SettingsError
from contracts.frame import Band, ContentType, Platform, RawRecord
from contracts.limits import InputLimits
from contracts.message import parse_record
from pipeline.inputs.cameras import plan_cameras, synthetic_source
from pipeline.inputs.feeds import FrameSource, FrameToSend
from pipeline.inputs.pictures import Picture, Unusable
from pipeline.publish import PublishProgress, publish
from synthetic.camera import SyntheticCamera
from synthetic.settings import Scene
from tests.pipeline.fakes import MemoryProducer

if TYPE_CHECKING:
    from tests.conftest import RealKafka

LIMITS = InputLimits()


@dataclass
class FakeClock:
    """Time passes only by waiting or by `spend`."""

    now_s: float = 100.0
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now_s += seconds
        return False

    def moment(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=self.now_s)


class Clip:
    """`num` small pictures, number `n` filled with `n`; those in `bad` are unusable; making one takes `cost_s`."""

    fps: float | None = None

    def __init__(self, name: str, num: int, *, bad: tuple[int, ...] = (), clock: FakeClock | None = None, cost_s: float = 0.0) -> None:
        self.name, self.num_pictures, self._bad, self._clock, self._cost_s = name, num, bad, clock, cost_s

    def pictures(self) -> Iterator[Picture | Unusable]:
        for number in range(self.num_pictures or 0):
            if self._clock is not None:
                self._clock.now_s += self._cost_s
            if number in self._bad:
                yield Unusable(f"{self.name}/{number}", "expected an image, got none")
            else:
                payload = encode_pixels(np.full((8, 8), number, np.uint8), ContentType.PNG)
                yield Picture(payload, ContentType.PNG, Platform.AIR, Band.LWIR, headers={"item": f"{self.name}/{number}"})


def pictures_of(clip: Clip) -> list[Picture]:
    return [entry for entry in clip.pictures() if isinstance(entry, Picture)]


def items_of(sent: list[FrameToSend], sensor: str) -> list[str]:
    return [entry.picture.headers["item"] for entry in sent if entry.sensor_id == sensor]


def sensors_of(records: list[RawRecord]) -> list[str]:
    return [(record.key or b"").decode() for record in records]


def test_frames_keep_an_absolute_schedule_whatever_each_costs() -> None:
    clock, producer = FakeClock(), MemoryProducer()
    source = FrameSource([Clip("a", 50, clock=clock, cost_s=0.013)])
    summary = publish(source, producer, "t", fps=20.0, clock=clock, wait=clock.wait, now=clock.moment)
    times = [parse_record(record, LIMITS).captured_at for record in producer.log]
    gaps_ms = [round((later - earlier).total_seconds() * 1000) for earlier, later in pairwise(times)]
    # The first frame is late by what it cost; no other one is, and nothing adds up.
    assert gaps_ms[1:] == [50] * 48
    assert summary.keeps_rate
    assert summary.elapsed_s == pytest.approx(49 / 20, abs=0.02)
    assert summary.making_s == pytest.approx(0.65)


def test_a_short_stall_is_caught_up_without_losing_the_schedule() -> None:
    clock, producer = FakeClock(), MemoryProducer()
    held: list[PublishProgress] = []

    class Hiccup(Clip):
        def pictures(self) -> Iterator[Picture | Unusable]:
            for number, picture in enumerate(super().pictures()):
                clock.now_s += 0.4 if number == 10 else 0.0
                yield picture

    summary = publish(
        FrameSource([Hiccup("a", 40)]), producer, "t", fps=10.0, clock=clock, wait=clock.wait, now=clock.moment, on_progress=held.append
    )
    assert summary.keeps_rate
    assert summary.moved_s == 0.0
    assert clock.now_s == pytest.approx(100 + 39 / 10)
    assert len(held) > 10


def test_a_rate_that_cannot_be_kept_is_reported_with_its_reason() -> None:
    clock, producer = FakeClock(), MemoryProducer()
    source = FrameSource([Clip("a", 200, clock=clock, cost_s=0.1)])
    summary = publish(source, producer, "t", fps=50.0, clock=clock, wait=clock.wait, now=clock.moment)
    assert not summary.keeps_rate
    assert summary.fps_asked == 50
    assert summary.fps_achieved == pytest.approx(10, rel=0.01)
    assert summary.bottleneck == "source"
    assert summary.moved_s > 10


def test_a_slow_broker_is_named_as_the_reason() -> None:
    clock = FakeClock()

    class SlowProducer(MemoryProducer):
        def send(self, *arguments: object) -> None:
            clock.now_s += 0.2
            super().send(*arguments)  # type: ignore[arg-type]  # passed on as they came

    summary = publish(FrameSource([Clip("a", 30)]), SlowProducer(), "t", fps=20.0, clock=clock, wait=clock.wait, now=clock.moment)
    assert (summary.keeps_rate, summary.bottleneck) == (False, "broker")


def test_after_a_long_stall_no_burst_follows() -> None:
    clock, producer = FakeClock(), MemoryProducer()

    class Stall(Clip):
        def pictures(self) -> Iterator[Picture | Unusable]:
            for number, picture in enumerate(super().pictures()):
                clock.now_s += 30.0 if number == 10 else 0.0
                yield picture

    publish(FrameSource([Stall("a", 30)]), producer, "t", fps=10.0, clock=clock, wait=clock.wait, now=clock.moment)
    times = [parse_record(record, LIMITS).captured_at for record in producer.log]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert max(gaps) == pytest.approx(30.0, abs=0.2)
    assert min(gaps) == pytest.approx(0.1)


def test_sensors_take_turns_and_count_their_own_frames() -> None:
    clock, producer = FakeClock(), MemoryProducer()
    publish(FrameSource([Clip("a", 3), Clip("b", 1), Clip("c", 2)]), producer, "t", fps=5.0, clock=clock, wait=clock.wait, now=clock.moment)
    assert sensors_of(producer.log) == ["a", "b", "c", "a", "c", "a"]
    metas = [parse_record(record, LIMITS) for record in producer.log]
    assert [meta.frame_number for meta in metas] == [0, 0, 0, 1, 1, 2]
    assert len({meta.frame_id for meta in metas}) == 6
    assert {(meta.platform, meta.band) for meta in metas} == {(Platform.AIR, Band.LWIR)}
    # Three sensors at 5 frames a second: the three first frames at once, the next two 0.2 s later.
    assert [round((meta.captured_at - metas[0].captured_at).total_seconds(), 3) for meta in metas] == [0, 0, 0, 0.2, 0.2, 0.4]


@pytest.mark.parametrize(
    ("num_sensors", "sensor", "expected"),
    [
        (None, None, ["a", "b", "c"]),
        (None, "cam", ["cam-a", "cam-b", "cam-c"]),
        (2, "cam", ["cam-1", "cam-2"]),
        (1, "cam", ["cam"]),
        (7, None, ["a", "b", "c"]),
    ],
)
def test_sequences_are_spread_over_sensors(num_sensors: int | None, sensor: str | None, expected: list[str]) -> None:
    source = FrameSource([Clip("a", 2), Clip("b", 2), Clip("c", 2)], sensor, num_sensors)
    assert list(source.sensors) == expected
    assert len(list(source.frames())) == 6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=6), st.one_of(st.none(), st.integers(1, 9)), st.data())
def test_every_picture_is_sent_once_in_the_order_of_its_sequence(sizes: list[int], num_sensors: int | None, data: st.DataObject) -> None:
    clips = [Clip(f"c{number}", size, bad=tuple(data.draw(st.sets(st.integers(0, 6), max_size=2)))) for number, size in enumerate(sizes)]
    usable = [picture.headers["item"] for clip in clips for picture in pictures_of(clip)]
    source = FrameSource(clips, None, num_sensors)
    sent = [entry for entry in source.frames() if isinstance(entry, FrameToSend)]
    items = [entry.picture.headers["item"] for entry in sent]
    assert sorted(items) == sorted(usable)
    assert {entry.sensor_id for entry in sent} <= set(source.sensors)
    if num_sensors is not None:
        assert len(source.sensors) <= max(num_sensors, len(sizes))
    for sensor in source.sensors:
        for clip in clips:
            numbers = [int(item.split("/")[1]) for item in items_of(sent, sensor) if item.startswith(f"{clip.name}/")]
            assert numbers == sorted(numbers)


def test_one_sequence_is_dealt_out_to_several_sensors() -> None:
    producer = MemoryProducer()
    publish(FrameSource([Clip("set", 5)], None, 2), producer, "t")
    assert sensors_of(producer.log) == ["set-1", "set-2", "set-1", "set-2", "set-1"]


def test_equal_names_stay_apart() -> None:
    assert FrameSource([Clip("x", 1), Clip("x", 1), Clip("x", 1)]).sensors == ("x", "x-2", "x-3")


def test_bad_pictures_are_counted_and_cost_no_frame_number() -> None:
    producer = MemoryProducer()
    summary = publish(FrameSource([Clip("a", 6, bad=(0, 3)), Clip("b", 4)]), producer, "t")
    assert (summary.sent, summary.acked, summary.skipped, summary.whole) == (8, 8, 2, False)
    assert summary.problems == ("a/0: expected an image, got none", "a/3: expected an image, got none")
    assert [parse_record(record, LIMITS).frame_number for record in producer.log if record.key == b"a"] == [0, 1, 2, 3]


def test_nothing_usable_is_an_error_that_names_the_first_reason() -> None:
    with pytest.raises(SettingsError, match="none of 2; first: a/0: expected an image"):
        publish(FrameSource([Clip("a", 2, bad=(0, 1))]), MemoryProducer(), "t", loop=True)


@pytest.mark.parametrize(("limit", "loop", "expected"), [(None, False, 3), (2, False, 2), (7, True, 7), (7, False, 3)])
def test_limit_and_loop(limit: int | None, loop: bool, expected: int) -> None:
    producer = MemoryProducer()
    summary = publish(FrameSource([Clip("a", 3)]), producer, "t", limit=limit, loop=loop)
    assert summary.sent == len(producer.log) == expected
    assert [parse_record(record, LIMITS).frame_number for record in producer.log] == list(range(expected))
    assert not summary.interrupted


def test_stop_ends_an_endless_source_and_everything_sent_is_flushed() -> None:
    stop, producer = Event(), MemoryProducer()
    source = FrameSource([Clip("a", 5)])
    summary = publish(
        source, producer, "t", fps=500.0, loop=True, stop=stop, on_progress=lambda progress: stop.set() if progress.sent > 20 else None
    )
    assert summary.interrupted
    assert summary.sent == summary.acked == len(producer.log) > 20


@pytest.mark.parametrize("codec", [ContentType.PNG, ContentType.TIFF, ContentType.NPY, ContentType.RAW], ids=lambda codec: codec.name)
def test_synthetic_frames_arrive_bit_exact(codec: ContentType) -> None:
    plans = plan_cameras(2, None, None, None, (96, 128), 14, 25.0, 5)
    producer = MemoryProducer()
    publish(synthetic_source(plans, None, codec, with_truth=True), producer, "t", limit=4)
    for number, record in enumerate(producer.log):
        meta = parse_record(record, LIMITS)
        pixels_HW, bit_depth = decode_pixels(record.value or b"", meta, LIMITS)
        expected = SyntheticCamera(plans[number % 2]).frame(number // 2)
        np.testing.assert_array_equal(pixels_HW, expected.pixels_HW)
        assert (bit_depth, meta.content_type) == (14, codec)
        assert meta.headers["truth"].count("track") == len(expected.truth.targets)
    assert sensors_of(producer.log)[:2] == ["land-skyline-lwir", "air-ground-lwir"]


def test_jpeg_cannot_hold_14_bit() -> None:
    with pytest.raises(SettingsError, match="jpeg for 14 bit"):
        synthetic_source(plan_cameras(1, Scene.SKY, None, None, (64, 64), 14, 25.0, 0), None, ContentType.JPEG)


@pytest.mark.broker
def test_a_real_topic_holds_every_frame_in_order(kafka: RealKafka) -> None:
    from pipeline.kafka.producer import SteadyProducer
    from pipeline.kafka.reader import LogReader
    from pipeline.kafka.topics import end_offsets

    topic = kafka.new_topic(partitions=3)
    address = kafka.settings(topic=topic)
    plans = plan_cameras(3, None, None, None, (64, 64), 12, 25.0, 0)
    with SteadyProducer(address) as producer:
        summary = publish(synthetic_source(plans, "cam", ContentType.PNG), producer, topic, limit=60)
    assert (summary.sent, summary.acked, summary.pending) == (60, 60, 0)
    numbers: dict[str, list[int | None]] = {}
    for place, end in end_offsets(address, topic).items():
        reader = LogReader(address, topic, place.partition, 0)
        try:
            while reader.position < end:
                for record in reader.poll(100, 2.0):
                    meta = parse_record(record, LIMITS)
                    assert abs(meta.captured_at.timestamp() * 1000 - record.timestamp_ms) < 2
                    numbers.setdefault(meta.sensor_id, []).append(meta.frame_number)
        finally:
            reader.close()
    assert numbers == {f"cam-{number}": list(range(20)) for number in (1, 2, 3)}


@pytest.mark.broker
def test_a_missing_topic_is_an_error_that_says_what_to_do(kafka: RealKafka) -> None:
    from pipeline.kafka.producer import SteadyProducer

    with SteadyProducer(kafka.settings()) as producer, pytest.raises(SettingsError, match="nowhere-to-be-found"):
        publish(FrameSource([Clip("a", 2)]), producer, "nowhere-to-be-found")
