"""Lag, the hint for lag tools, the identity of the topic and snapshots, seen from outside the stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from contracts.errors import IrstreamError, StopPipeline
from contracts.position import OffsetRange, TopicPartition
from pipeline.kafka.memory_topic import MemoryTopic
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import TopicInfo
from pipeline.runtime.lag_monitor import LagMonitor
from pipeline.runtime.progress import StreamProgress
from pipeline.runtime.stats import StreamStats
from tests.pipeline.runtime.memory_stream import TIMEOUT_S, frames

FIRST, SECOND = TopicPartition("frames", 0), TopicPartition("frames", 1)


class Watched:
    """A monitor over a topic in memory, and what came of it."""

    def __init__(self, topic: MemoryTopic, on_progress: Callable[[StreamProgress], None] | None = None) -> None:
        self.seen: list[StreamProgress] = []
        self.changed = threading.Condition()
        self.stats = StreamStats()
        self.faults: list[IrstreamError] = []
        settings = KafkaSettings(topic="frames", probe_interval_s=0.01)
        info = TopicInfo("memory-1", (0, 1))
        self.monitor = LagMonitor(settings, lambda: topic, info, self.stats, on_progress or self._on_progress, progress_s=0.02)

    def begin(self, next_offsets: dict[TopicPartition, int], partitions: set[int]) -> None:
        self.monitor.begin_generation(next_offsets, frozenset(partitions), self.faults.append)

    def _on_progress(self, progress: StreamProgress) -> None:
        with self.changed:
            self.seen.append(progress)
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], Any]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, TIMEOUT_S)


def test_lag_is_what_kafka_has_and_the_table_has_not() -> None:
    topic = MemoryTopic({0: frames(10), 1: frames(7)})
    watched = Watched(topic)
    watched.begin({FIRST: 4}, {0, 1})
    with watched.monitor:
        watched.wait_for(lambda: watched.seen and watched.seen[-1].lag == 6 + 7)
        watched.monitor.on_committed([OffsetRange("frames", 0, 4, 9), OffsetRange("frames", 1, 0, 7)])
        watched.wait_for(lambda: watched.seen[-1].lag == 1)
    assert topic.hinted == {FIRST: 9, SECOND: 7}


def test_partitions_of_other_drivers_do_not_count() -> None:
    watched = Watched(MemoryTopic({0: frames(10), 1: frames(7)}))
    watched.begin({}, {1})
    with watched.monitor:
        watched.wait_for(lambda: watched.seen and watched.seen[-1].lag == 7)
    assert {each.lag for each in watched.seen} <= {None, 7}, "not even for a moment"


def test_what_retention_has_deleted_is_no_lag() -> None:
    topic = MemoryTopic({0: frames(10)})
    topic.delete_before(0, 8)
    watched = Watched(topic)
    watched.begin({FIRST: 3}, {0})
    with watched.monitor:
        watched.wait_for(lambda: watched.seen and watched.seen[-1].lag == 2)
    assert {each.lag for each in watched.seen} <= {None, 2}, "not even for a moment"


def test_a_broker_that_is_away_leaves_the_lag_unknown() -> None:
    topic = MemoryTopic({0: frames(10)})
    watched = Watched(topic)
    watched.begin({}, {0})
    with watched.monitor:
        watched.wait_for(lambda: watched.seen and watched.seen[-1].lag == 10)
        topic.away = True
        watched.wait_for(lambda: watched.seen[-1].lag is None and watched.seen[-1].away)
        assert watched.seen[-1].away == "Kafka 127.0.0.1:9092"
        topic.away = False
        watched.wait_for(lambda: watched.seen[-1].lag == 10)
        assert watched.seen[-1].away == ""
    assert watched.faults == []


def test_snapshots_come_while_a_look_takes_its_time() -> None:
    class Slow(MemoryTopic):
        def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
            asked.set()
            assert answered.wait(TIMEOUT_S)
            return super().end_offsets(topic)

    asked, answered = threading.Event(), threading.Event()
    watched = Watched(Slow({0: frames(10)}))
    watched.begin({}, {0})
    with watched.monitor:
        assert asked.wait(TIMEOUT_S)
        seen_before = len(watched.seen)
        watched.wait_for(lambda: len(watched.seen) > seen_before + 1)
        answered.set()


def test_another_topic_of_the_same_name_is_a_fault_of_the_generation() -> None:
    topic = MemoryTopic({0: frames(10)})
    watched = Watched(topic)
    watched.begin({}, {0})
    with watched.monitor:
        topic.recreate("memory-2")
        watched.wait_for(lambda: watched.faults)
    assert isinstance(watched.faults[0], StopPipeline)
    assert "id memory-2" in str(watched.faults[0])


@pytest.mark.parametrize("fault", [BrokenPipeError, SystemExit])
def test_a_view_that_fails_hears_on_as_do_those_beside_it_and_the_watch_goes_on(fault: type[BaseException]) -> None:
    """Health and drains get the same snapshots; rich ends the thread of a closed pipe with SystemExit."""
    calls: list[StreamProgress] = []

    def broken(progress: StreamProgress) -> None:
        calls.append(progress)
        raise fault

    class Hinted(MemoryTopic):
        def hint(self, offsets: Mapping[TopicPartition, int]) -> None:
            super().hint(offsets)
            if len(calls) > 1:
                looked_after_the_fault.set()

    looked_after_the_fault = threading.Event()
    topic = Hinted({0: frames(10)})
    watched = Watched(topic, broken)
    watched.begin({FIRST: 10}, {0})
    with watched.monitor:
        assert looked_after_the_fault.wait(TIMEOUT_S)
        watched.monitor.on_committed([OffsetRange("frames", 0, 10, 11)])
    assert topic.hinted == {FIRST: 11}, "it looks once more at the end"
    assert len(calls) > 1


def test_the_last_snapshot_says_done() -> None:
    watched = Watched(MemoryTopic({0: frames(1)}))
    with watched.monitor:
        pass
    assert watched.seen[-1].state == "done"
