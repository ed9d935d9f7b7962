"""One suite for blocks from memory by threads and from a real broker by Ray Data."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import pytest
from kafka import TopicPartition as ClientTopicPartition

from contracts.block import FrameBlock, unpack_block
from contracts.limits import InputLimits
from pipeline.ingest.epochs import EpochThread
from pipeline.ingest.interfaces import BlockRef, Reading, ReadPlan
from pipeline.ingest.kafka_source import open_kafka_reading
from pipeline.ingest.memory_source import open_memory_reading
from pipeline.ingest.ray_data import configure_ray_data
from pipeline.kafka.client import connect_admin
from pipeline.kafka.memory_topic import MemoryTopic, Message
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.topics import describe_topic
from pipeline.settings import StreamSettings
from tests.conftest import RealKafka
from tests.pipeline.runtime.memory_stream import frames

WAIT_S = 150.0


class Place(Protocol):
    """A topic of two partitions that is read."""

    name: str
    topic_id: str

    def feed(self, partition: int, messages: Iterable[Message]) -> None: ...
    def delete_before(self, partition: int, offset: int) -> None: ...
    def open(self, plan: ReadPlan) -> Reading: ...


class InMemory:
    def __init__(self) -> None:
        self.topic = MemoryTopic({0: [], 1: []})
        self.name, self.topic_id = self.topic.name, "memory-1"

    def feed(self, partition: int, messages: Iterable[Message]) -> None:
        self.topic.append(partition, messages)

    def delete_before(self, partition: int, offset: int) -> None:
        self.topic.delete_before(partition, offset)

    def open(self, plan: ReadPlan) -> Reading:
        return open_memory_reading(self.topic, plan)


class KafkaAndRay:
    def __init__(self, kafka: RealKafka) -> None:
        configure_ray_data()
        self.name = kafka.new_topic(2)
        self.settings = kafka.settings(topic=self.name)
        self.topic_id = describe_topic(self.settings, self.name).topic_id

    def feed(self, partition: int, messages: Iterable[Message]) -> None:
        with SteadyProducer(self.settings) as producer:
            for each in messages:
                producer.send(self.name, each.key, each.value, each.headers, timestamp_ms=each.timestamp_ms, partition=partition)
            producer.flush(WAIT_S)

    def delete_before(self, partition: int, offset: int) -> None:
        admin = connect_admin(self.settings)
        admin.delete_records({ClientTopicPartition(self.name, partition): offset})
        admin.close()

    def open(self, plan: ReadPlan) -> Reading:
        return open_kafka_reading(self.settings, plan)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=[pytest.mark.broker, pytest.mark.ray])])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "memory":
        return InMemory()
    request.getfixturevalue("local_ray")
    return KafkaAndRay(request.getfixturevalue("kafka"))


class Taker:
    """Takes the blocks of a reading; gives no credit by itself."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.coordinator = reading.coordinator
        self.blocks: list[FrameBlock] = []
        self.epochs: list[EpochThread] = []
        self.credit = False
        self._changed = threading.Condition()

    def begin(self, epoch: int) -> EpochThread:
        thread = EpochThread(epoch, self.reading.source.blocks(epoch), self._on_block, lambda thread: None)
        self.epochs.append(thread)
        thread.start()
        return thread

    def _on_block(self, block: BlockRef) -> None:
        self.coordinator.charge(block.num_bytes)
        found = unpack_block(asyncio.run(self._fetch(block)))
        if self.credit:
            self.coordinator.credit(1, block.num_bytes + found.credit_bytes)
        with self._changed:
            self.blocks.append(found)
            self._changed.notify_all()

    async def _fetch(self, block: BlockRef) -> Any:
        return await self.reading.source.fetch(block.ref)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_S), self.spans()

    def spans(self) -> dict[int, list[tuple[int, int]]]:
        found: dict[int, list[tuple[int, int]]] = {}
        for block in self.blocks:
            found.setdefault(block.span.partition, []).append((block.span.start, block.span.stop))
        return found


@contextmanager
def reading(place: Place, starts: Mapping[int, int], stop_at: Mapping[int, int] | None = None, **stream: Any) -> Iterator[Taker]:
    settings = StreamSettings(**{"block_max_frames": 4, "in_flight_blocks": 100, "block_max_wait_s": 0.5} | stream)
    taker = Taker(place.open(ReadPlan(place.name, place.topic_id, starts, stop_at or {}, settings, InputLimits())))
    try:
        yield taker
    finally:
        taker.coordinator.close()
        for thread in taker.epochs:
            thread.join(WAIT_S)
            assert not thread.is_alive(), "an epoch outlives its coordinator"


def continuous(spans: list[tuple[int, int]], start: int, stop: int) -> bool:
    """Whether spans follow each other in the order they came, from `start` to `stop`."""
    return [first for first, _ in spans] == [start, *(end for _, end in spans[:-1])] and spans[-1][1] == stop


def test_a_bounded_epoch_brings_every_offset_once_and_in_order(place: Place) -> None:
    place.feed(0, frames(22))
    place.feed(1, [*frames(3), Message(None, b"no key"), *frames(3)])
    with reading(place, {0: 2, 1: 0}, {0: 20, 1: 7}) as taker:
        epoch = taker.begin(0)
        epoch.join(WAIT_S)
        assert epoch.ended.is_set()
        assert epoch.error is None
        assert continuous(taker.spans()[0], 2, 20)
        assert continuous(taker.spans()[1], 0, 7)
        assert taker.coordinator.status().finished == {(0, 0): (2, 20), (0, 1): (0, 7)}
    offsets = [frame.position.offset for block in taker.blocks if block.span.partition == 0 for frame in block.frames]
    assert offsets == list(range(2, 20))
    assert max(len(block.frames) for block in taker.blocks) <= 4
    (rejection,) = [letter for block in taker.blocks for letter in block.rejections]
    assert (rejection.position.partition, rejection.position.offset) == (1, 3)
    for number in (0, 1):
        sequences = [block.sequence for block in taker.blocks if block.span.partition == number]
        assert sequences == list(range(len(sequences)))


def test_the_next_epoch_begins_where_the_one_before_has_ended(place: Place) -> None:
    place.feed(0, frames(40))
    place.feed(1, frames(40))
    with reading(place, {0: 0, 1: 0}, epoch_max_blocks=2, epoch_s=600.0) as taker:
        for epoch in range(3):
            taker.begin(epoch)
        taker.wait_for(lambda: len(taker.blocks) == 12)
        for thread in taker.epochs:
            thread.join(WAIT_S)
        for number in (0, 1):
            # An epoch may hand over its first block while the one before still has its last in hand.
            spans = sorted(taker.spans()[number])
            assert continuous(spans, 0, spans[-1][1])
            finished = taker.coordinator.status().finished
            assert [finished[epoch, number][1] for epoch in range(3)] == [finished[1, number][0], finished[2, number][0], spans[-1][1]]


def test_no_more_blocks_are_in_flight_than_there_are_credits(place: Place) -> None:
    place.feed(0, frames(60))
    with reading(place, {0: 0}, {0: 60}, in_flight_blocks=2) as taker:
        epoch = taker.begin(0)
        taker.wait_for(lambda: len(taker.blocks) == 3)  # two, and the slot of the reader
        time.sleep(0.7)
        assert len(taker.blocks) == 3
        taker.coordinator.credit(1, 0)
        taker.wait_for(lambda: len(taker.blocks) == 4)
        time.sleep(0.5)
        assert len(taker.blocks) == 4
        taker.credit = True
        taker.coordinator.credit(4, 0)
        epoch.join(WAIT_S)
        assert continuous(taker.spans()[0], 0, 60)


def test_no_more_bytes_are_in_flight_than_there_are_credits(place: Place) -> None:
    place.feed(0, frames(40))
    with reading(place, {0: 0}, {0: 40}, in_flight_bytes=1) as taker:
        epoch = taker.begin(0)
        taker.wait_for(lambda: len(taker.blocks) == 1)
        time.sleep(0.7)
        assert len(taker.blocks) == 1, "one block passes alone, however large"
        taker.credit = True
        status = taker.coordinator.status()
        taker.coordinator.credit(1, status.bytes_in_flight)
        epoch.join(WAIT_S)
        assert continuous(taker.spans()[0], 0, 40)


def test_a_stop_ends_the_epoch_behind_what_came(place: Place) -> None:
    place.feed(0, frames(10))
    with reading(place, {0: 0, 1: 0}, epoch_s=600.0) as taker:
        epoch = taker.begin(0)
        taker.wait_for(lambda: 0 in taker.spans() and taker.spans()[0][-1][1] == 10)
        taker.coordinator.stop()
        epoch.join(WAIT_S)
        assert epoch.ended.is_set()
        assert epoch.error is None
        assert taker.coordinator.status().finished == {(0, 0): (0, 10), (0, 1): (0, 0)}


def test_what_retention_deleted_is_a_block_of_its_own(place: Place) -> None:
    place.feed(0, frames(20))
    place.delete_before(0, 12)
    with reading(place, {0: 3}, {0: 20}) as taker:
        taker.begin(0).join(WAIT_S)
        gap, *rest = taker.blocks
        assert (gap.span.start, gap.span.stop, gap.gap_stop, gap.frames) == (3, 12, 12, ())
        assert all(block.gap_stop is None for block in rest)
        assert continuous(taker.spans()[0], 3, 20)


def test_the_end_of_the_coordinator_ends_the_epoch(place: Place) -> None:
    place.feed(0, frames(4))
    with reading(place, {0: 0}, epoch_s=600.0) as taker:
        epoch = taker.begin(0)
        taker.wait_for(lambda: bool(taker.blocks))
        assert not epoch.ended.is_set()
        taker.coordinator.close()
        assert epoch.ended.wait(WAIT_S)
