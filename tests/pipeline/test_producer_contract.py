"""What alerts and dead letters rely on, for the real producer and for the fake."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from contracts.frame import RawRecord
from contracts.position import KafkaPosition
from pipeline.alerts import AlertPublisher
from pipeline.dead_letters import publish_dead_letters
from pipeline.kafka_client import LogReader
from pipeline.producer import Producer
from pipeline.steady_producer import SteadyProducer
from tests.conftest import RealKafka
from tests.outcomes import letter, result
from tests.pipeline.fakes import MemoryProducer


@dataclass(frozen=True)
class Log:
    """A producer, a topic of its own, and how to read what arrived there."""

    producer: Producer
    topic: str
    read: Callable[[int], list[RawRecord]]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    if request.param == "memory":
        fake = MemoryProducer()
        yield Log(
            fake,
            "topic",
            lambda count: [RawRecord(KafkaPosition(m.topic, 0, n), m.key, m.value, m.headers, 0) for n, m in enumerate(fake.log)],
        )
        return
    kafka: RealKafka = request.getfixturevalue("kafka")
    topic = kafka.new_topic(partitions=1)

    def read(count: int) -> list[RawRecord]:
        found: list[RawRecord] = []
        deadline = time.monotonic() + 20
        with LogReader(kafka.settings(), topic, 0, 0) as reader:
            while len(found) < count and time.monotonic() < deadline:
                found += reader.poll(1000, 0.5)
        return found

    with SteadyProducer(kafka.settings()) as producer:
        yield Log(producer, topic, read)


def test_what_is_flushed_is_in_the_log_in_order(log: Log) -> None:
    for number in range(50):
        log.producer.send(log.topic, b"cam-1" if number % 2 else None, b"%d" % number, [("ce_id", b"x"), ("ce_id", b"y")])
    log.producer.flush(20)
    records = log.read(50)
    assert [record.value for record in records] == [b"%d" % number for number in range(50)]
    assert [record.key for record in records[:2]] == [None, b"cam-1"]
    assert records[0].headers == (("ce_id", b"x"), ("ce_id", b"y"))


def test_flush_without_messages_returns(log: Log) -> None:
    log.producer.flush(5)


def test_alerts_and_dead_letters_arrive_with_key_and_id(log: Log) -> None:
    alerts = AlertPublisher(log.producer, log.topic, "live")
    alerts.publish([result(0), result(1)])
    alerts.flush(20)
    alerts.close()
    publish_dead_letters(log.producer, log.topic, [letter(2)], "live", 20)
    records = log.read(3)
    assert [json.loads(record.value or b"")["id"] for record in records] == ["frames/0/0", "frames/0/1", "frames/0/2"]
    assert [record.key for record in records] == [b"cam-1"] * 3
    assert dict(records[2].headers)["ce_type"] == b"irstream.dead_letter.v1"
