"""Kafka and the table, and what stands in for them in memory, feed the page alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from contracts.frame import RawRecord
from contracts.position import OffsetRange, TopicPartition
from contracts.result import Outcome
from deploy.viewing.interfaces import RowFeed, Tail
from deploy.viewing.kafka_tail import KafkaTail
from deploy.viewing.memory_feeds import MemoryLog, MemoryRows, MemoryTail
from deploy.viewing.table_rows import TableRows
from pipeline.kafka.memory_topic import Message
from pipeline.kafka.producer import SteadyProducer
from pipeline.table.merge import merge_small_files
from pipeline.table.results_table import ResultsTable
from pipeline.table.settings import MergePolicy
from tests.outcomes import letter, result

if TYPE_CHECKING:
    from tests.conftest import RealKafka

Send = Callable[[Sequence[bytes]], None]
OpenTail = Callable[[int, int], Tail]
Commit = Callable[[Sequence[Outcome], int, int], None]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
def topic(request: pytest.FixtureRequest) -> Iterator[tuple[OpenTail, Send]]:
    """A topic of one partition: opens tails of it, sends to it."""
    tails: list[Tail] = []
    if request.param == "memory":
        log = MemoryLog()
        log.append("frames", 0, [])

        def opened(backlog: int, most_behind: int) -> Tail:
            return MemoryTail(log, ["frames", "absent"], backlog, most_behind)

        def send(keys: Sequence[bytes]) -> None:
            log.append("frames", 0, [Message(key, b"frame") for key in keys])
    else:
        kafka: RealKafka = request.getfixturevalue("kafka")
        settings = kafka.settings(topic=kafka.new_topic(1))

        def opened(backlog: int, most_behind: int) -> Tail:
            tails.append(KafkaTail(settings, [settings.topic, "absent"], backlog, most_behind))
            return tails[-1]

        def send(keys: Sequence[bytes]) -> None:
            with SteadyProducer(settings) as producer:
                for key in keys:
                    producer.send(settings.topic, key, b"frame")
                producer.flush(60)

    yield opened, send
    for each in tails:
        each.close()


def heard(tail: Tail, last: bytes) -> list[RawRecord]:
    """Messages until one with this key."""
    records: list[RawRecord] = []
    for _ in range(120):
        records += tail.poll(0.5)
        if any(each.key == last for each in records):
            return records
    raise AssertionError(f"{last!r} never came")


def test_a_tail_begins_near_the_end_and_follows(topic: tuple[OpenTail, Send]) -> None:
    opened, send = topic
    send([b"%d" % number for number in range(10)])
    tail = opened(3, 1000)
    assert [each.key for each in heard(tail, b"9")] == [b"7", b"8", b"9"]
    send([b"new"])
    (new,) = heard(tail, b"new")
    assert (new.position.offset, new.value) == (10, b"frame")
    assert list(tail.end_offsets().values()) == [11]
    assert tail.skipped == 0


def test_a_tail_that_is_far_behind_jumps_and_says_so(topic: tuple[OpenTail, Send]) -> None:
    opened, send = topic
    tail = opened(5, 300)
    send([b"%d" % number for number in range(1000)])
    records = heard(tail, b"999")
    assert len(records) + tail.skipped == 1000
    assert tail.skipped > 0


@pytest.fixture(params=["memory", "table"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[RowFeed, Commit]:
    """Rows of a run, and how they become visible."""
    if request.param == "memory":
        memory = MemoryRows()
        return memory, lambda outcomes, _start, _stop: memory.append(outcomes)
    table = ResultsTable(str(tmp_path), "live", compact_after_commits=0)
    table.open_or_create()

    def commit(outcomes: Sequence[Outcome], start: int, stop: int) -> None:
        table.append(outcomes, [OffsetRange("frames", 0, start, stop)], {"frames": "an-id"})

    return TableRows(str(tmp_path), {}, "live", "frames"), commit


def test_rows_come_once_in_order(rows: tuple[RowFeed, Commit]) -> None:
    feed, commit = rows
    commit([result(0), letter(1)], 0, 2)
    assert [each.position.offset for each in feed.poll()] == [0, 1]
    assert feed.poll() == []
    commit([result(2, num_detections=2)], 2, 3)
    commit([result(3)], 3, 4)
    found = feed.poll()
    assert found == [result(2, num_detections=2), result(3)]
    assert feed.next_offsets == {TopicPartition("frames", 0): 4}


def test_merged_files_bring_no_row_again(tmp_path: Path) -> None:
    table = ResultsTable(str(tmp_path), "live", compact_after_commits=0)
    table.open_or_create()
    feed = TableRows(str(tmp_path), {}, "live", "frames")
    for offset in range(4):
        table.append([result(offset)], [OffsetRange("frames", 0, offset, offset + 1)], {"frames": "an-id"})
    assert len(feed.poll()) == 4
    assert merge_small_files(DeltaTable(tmp_path), {}, MergePolicy()).files_after == 1
    table.append([result(4)], [OffsetRange("frames", 0, 4, 5)], {"frames": "an-id"})
    assert [each.position.offset for each in feed.poll()] == [4]
    table.append([result(5)], [OffsetRange("frames", 0, 5, 6)], {"frames": "an-id"})
    assert merge_small_files(DeltaTable(tmp_path), {}, MergePolicy()).files_after == 1  # what is new lies in one file with the rest
    assert [each.position.offset for each in feed.poll()] == [5]
