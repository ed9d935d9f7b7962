"""What alerts and dead letters rely on, for the real producer and for the fake."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from contracts.errors import RetryLater
from contracts.frame import RawRecord
from pipeline.events.alerts import AlertPublisher
from pipeline.events.dead_letters import DeadLetterPublisher
from pipeline.kafka.interfaces import Producer
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.reader import LogReader
from tests.conftest import FragileKafka, RealKafka
from tests.outcomes import letter, result
from tests.pipeline.fakes import MemoryProducer
from tests.waiting import GUARD_S


@dataclass(frozen=True)
class Log:
    """A producer, a topic of its own, how to read what arrived there, and its broker, which may go away and come back."""

    producer: Producer
    topic: str
    read: Callable[[int], list[RawRecord]]
    go_away: Callable[[], None]
    come_back: Callable[[], None]


@contextmanager
def log_in_memory() -> Iterator[Log]:
    fake = MemoryProducer()

    def away(value: bool) -> Callable[[], None]:
        return lambda: setattr(fake, "away", value)

    yield Log(fake, "topic", lambda count: fake.log, away(True), away(False))


@contextmanager
def log_in_kafka(kafka: RealKafka, go_away: Callable[[], None], come_back: Callable[[], None]) -> Iterator[Log]:
    topic = kafka.new_topic(partitions=1)

    def read(count: int) -> list[RawRecord]:
        found: list[RawRecord] = []
        deadline = time.monotonic() + GUARD_S
        with LogReader(kafka.settings(), topic, 0, 0) as reader:
            while len(found) < count and time.monotonic() < deadline:
                found += reader.poll(1000, 0.5)
        return found

    with SteadyProducer(kafka.settings()) as producer:
        yield Log(producer, topic, read, go_away, come_back)


PARAMS = ["memory", pytest.param("kafka", marks=pytest.mark.broker)]


@pytest.fixture(params=PARAMS)
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    def never() -> None:
        raise AssertionError("this broker is everybody's")

    with log_in_memory() if request.param == "memory" else log_in_kafka(request.getfixturevalue("kafka"), never, never) as made:
        yield made


@pytest.fixture(params=PARAMS)
def fragile_log(request: pytest.FixtureRequest) -> Iterator[Log]:
    """As `log`, with a broker that a test may stop."""
    if request.param == "memory":
        with log_in_memory() as made:
            yield made
        return
    kafka: FragileKafka = request.getfixturevalue("fragile_kafka")
    with log_in_kafka(kafka, kafka.freeze, kafka.thaw) as made:
        yield made


def test_what_is_flushed_is_in_the_log_in_order(log: Log) -> None:
    for number in range(50):
        log.producer.send(log.topic, b"cam-1" if number % 2 else None, b"%d" % number, [("ce_id", b"x"), ("ce_id", b"y")])
    log.producer.flush(GUARD_S)
    records = log.read(50)
    assert [record.value for record in records] == [b"%d" % number for number in range(50)]
    assert [record.key for record in records[:2]] == [None, b"cam-1"]
    assert records[0].headers == (("ce_id", b"x"), ("ce_id", b"y"))


def test_an_outage_shows_at_flush_and_nothing_is_lost(fragile_log: Log) -> None:
    producer, topic = fragile_log.producer, fragile_log.topic
    producer.send(topic, b"cam", b"0", [])
    producer.flush(GUARD_S)
    fragile_log.go_away()
    producer.flush(1)
    for number in (1, 2):
        producer.send(topic, b"cam", b"%d" % number, [])
    with pytest.raises(RetryLater):
        producer.flush(1)
    fragile_log.come_back()
    producer.send(topic, b"cam", b"3", [])
    producer.flush(GUARD_S)
    records = fragile_log.read(4)
    assert list(dict.fromkeys(record.value for record in records)) == [b"0", b"1", b"2", b"3"], "a repeat is allowed, a hole is not"


def test_flush_without_messages_returns_at_once(log: Log) -> None:
    began = time.monotonic()
    log.producer.flush(2 * GUARD_S)
    assert time.monotonic() - began < GUARD_S
    log.producer.send(log.topic, None, b"first", [])
    log.producer.flush(GUARD_S)
    assert [record.value for record in log.read(1)] == [b"first"]


def test_alerts_and_dead_letters_arrive_with_key_and_id(log: Log) -> None:
    alerts = AlertPublisher(log.producer, log.topic, "live", "detections")
    alerts.publish([result(0), result(1)])
    alerts.flush(GUARD_S)
    alerts.close()
    DeadLetterPublisher(log.producer, log.topic, "live").send([letter(2)])
    log.producer.flush(GUARD_S)
    records = log.read(3)
    assert [json.loads(record.value or b"")["id"] for record in records] == ["frames/0/0", "frames/0/1", "frames/0/2"]
    assert [record.key for record in records] == [b"cam-1"] * 3
    assert dict(records[2].headers)["ce_type"] == b"irstream.dead_letter.v1"
