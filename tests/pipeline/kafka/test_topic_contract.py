"""One suite for a topic in memory and one of a real broker: its reader, and the questions about it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

import pytest
from kafka import TopicPartition as ClientTopicPartition

from contracts.errors import SettingsError, StopPipeline
from contracts.position import TopicPartition
from pipeline.kafka.client import connect_admin
from pipeline.kafka.interfaces import PartitionReader
from pipeline.kafka.memory_topic import MemoryReader, MemoryTopic, Message
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.reader import GapFound, LogReader
from pipeline.kafka.selected_reader import SelectedReader
from pipeline.kafka.topics import ClusterWatch, ensure_topic
from tests.conftest import RealKafka
from tests.waiting import GUARD_S

NOW_MS = round(time.time() * 1000)  # a real broker's retention deletes what is old
ONES = [Message(b"cam", b"%d" % index, (("n", b"%d" % index),), NOW_MS + index) for index in range(10)]


class Topic(Protocol):
    """A topic of two partitions and what happens to it."""

    name: str

    def feed(self, partition: int, messages: Iterable[Message]) -> None: ...
    def delete_before(self, partition: int, offset: int) -> None: ...
    def recreate(self) -> None: ...
    def reader(self, partition: int, start: int, topic_id: str | None = None) -> PartitionReader: ...
    def watch(self) -> ClusterWatch | MemoryTopic: ...


class InMemory:
    def __init__(self) -> None:
        self.topic = MemoryTopic({0: [], 1: []})
        self.name = self.topic.name

    def feed(self, partition: int, messages: Iterable[Message]) -> None:
        self.topic.append(partition, messages)

    def delete_before(self, partition: int, offset: int) -> None:
        self.topic.delete_before(partition, offset)

    def recreate(self) -> None:
        self.topic.recreate("memory-2")

    def reader(self, partition: int, start: int, topic_id: str | None = None) -> PartitionReader:
        return MemoryReader(self.topic, partition, start, topic_id)

    def watch(self) -> MemoryTopic:
        return self.topic


class OnBroker:
    def __init__(self, kafka: RealKafka) -> None:
        self.name = kafka.new_topic(2)
        self.settings = kafka.settings(topic=self.name, probe_interval_s=0.2)

    def feed(self, partition: int, messages: Iterable[Message]) -> None:
        with SteadyProducer(self.settings) as producer:
            for each in messages:
                producer.send(self.name, each.key, each.value, each.headers, timestamp_ms=each.timestamp_ms, partition=partition)
            producer.flush(GUARD_S)

    def delete_before(self, partition: int, offset: int) -> None:
        admin = connect_admin(self.settings)
        admin.delete_records({ClientTopicPartition(self.name, partition): offset})
        admin.close()

    def recreate(self) -> None:
        admin = connect_admin(self.settings)
        admin.delete_topics([self.name])
        admin.close()
        ensure_topic(self.settings, self.name, 2)

    def reader(self, partition: int, start: int, topic_id: str | None = None) -> PartitionReader:
        return LogReader(self.settings, self.name, partition, start, topic_id)

    def watch(self) -> ClusterWatch:
        return ClusterWatch(self.settings)


@pytest.fixture(params=["memory", pytest.param("broker", marks=pytest.mark.broker)])
def topic(request: pytest.FixtureRequest) -> Topic:
    return InMemory() if request.param == "memory" else OnBroker(request.getfixturevalue("kafka"))


def read(reader: PartitionReader, num: int, at_most: int = 100) -> list[int]:
    """Offsets of the next records."""
    found: list[int] = []
    deadline = time.monotonic() + GUARD_S
    while len(found) < num and time.monotonic() < deadline:
        found += [record.position.offset for record in reader.poll(at_most, 0.2)]
    return found


def test_records_come_in_order_with_everything_they_carry(topic: Topic) -> None:
    topic.feed(1, ONES)
    reader = topic.reader(1, 4)
    (first,) = reader.poll(1, GUARD_S)
    assert (first.position.topic, first.position.partition, first.position.offset) == (topic.name, 1, 4)
    assert (first.key, first.value, first.headers, first.timestamp_ms) == (b"cam", b"4", (("n", b"4"),), NOW_MS + 4)
    assert reader.position == 5
    assert read(reader, 5, at_most=2) == [5, 6, 7, 8, 9]
    reader.close()


def test_a_poll_without_data_waits_its_time_and_stays(topic: Topic) -> None:
    reader = topic.reader(0, 0)
    began = time.monotonic()
    assert reader.poll(10, 0.3) == []
    assert time.monotonic() - began >= 0.25
    assert reader.position == 0
    topic.feed(0, ONES[:2])
    assert read(reader, 2) == [0, 1]
    reader.close()


def test_it_continues_where_it_is_put(topic: Topic) -> None:
    topic.feed(0, ONES)
    reader = topic.reader(0, 0)
    assert read(reader, 10) == list(range(10))
    reader.seek_to(7)
    assert reader.position == 7
    assert read(reader, 3) == [7, 8, 9]
    reader.close()


def test_what_retention_deleted_is_a_gap_and_then_it_goes_on(topic: Topic) -> None:
    topic.feed(0, ONES)
    topic.delete_before(0, 6)
    reader = topic.reader(0, 2)
    with pytest.raises(GapFound) as gap:
        read(reader, 1)
    assert (gap.value.start, gap.value.stop, reader.position) == (2, 6, 2)
    reader.seek_to(6)
    assert read(reader, 4) == [6, 7, 8, 9]
    reader.close()


def test_another_topic_of_the_same_name_is_not_read(topic: Topic) -> None:
    found = topic.watch().find(topic.name)
    assert found is not None
    topic.feed(0, ONES)
    reader = topic.reader(0, 0, found.topic_id)
    assert read(reader, 10) == list(range(10))
    topic.recreate()
    topic.feed(0, [*ONES, *ONES])
    with pytest.raises(StopPipeline, match="other messages"):
        read(reader, 1)
    with pytest.raises(StopPipeline, match="other messages"):
        topic.reader(0, 0, found.topic_id)
    with pytest.raises(StopPipeline, match="other messages"):
        topic.watch().verify(topic.name, found.topic_id)
    reader.close()


def test_selected_offsets_are_read_and_no_others(topic: Topic) -> None:
    topic.feed(0, ONES)
    reader = SelectedReader(topic.reader(0, 0), [1, 2, 7])
    assert reader.position == 1
    assert read(reader, 3) == [1, 2, 7]
    assert reader.position == 8
    assert reader.poll(5, 0.1) == []
    reader.close()


def test_the_watch_tells_partitions_and_offsets(topic: Topic) -> None:
    topic.feed(0, ONES)
    topic.feed(1, ONES[:3])
    topic.delete_before(0, 4)
    watch = topic.watch()
    found = watch.find(topic.name)
    assert found is not None
    assert found.partitions == (0, 1)
    watch.verify(topic.name, found.topic_id)
    first, second = TopicPartition(topic.name, 0), TopicPartition(topic.name, 1)
    assert watch.begin_offsets(topic.name) == {first: 4, second: 0}
    assert watch.end_offsets(topic.name) == {first: 10, second: 3}
    assert [watch.offsets_at(topic.name, NOW_MS + late) for late in (-5, 7, 100)] == [
        {first: 4, second: 0},
        {first: 7, second: 3},
        {first: 10, second: 3},
    ]


def test_a_topic_that_does_not_exist_is_said_to(topic: Topic) -> None:
    watch = topic.watch()
    assert watch.find("no-such-topic") is None
    with pytest.raises(SettingsError, match="a topic named no-such-topic"):
        watch.end_offsets("no-such-topic")
    with pytest.raises(StopPipeline, match="it was deleted"):
        watch.verify("no-such-topic", "id")
