"""The producer against a real broker that freezes, dies and refuses (docs/kafka.md, Writing)."""

from __future__ import annotations

import threading
import time
from itertools import count, pairwise

import pytest
from kafka.errors import UnknownError

from contracts.errors import RejectReason, RejectRecord, RetryLater, SettingsError
from contracts.position import TopicPartition
from pipeline.kafka.client import connect_admin
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.reader import LogReader
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import end_offsets
from tests.conftest import FragileKafka, RealKafka
from tests.waiting import GUARD_S, wait_until

pytestmark = pytest.mark.broker


def numbers_in(settings: KafkaSettings, topic: str, partition: int = 0) -> list[int]:
    """All messages of a partition, as the numbers they were sent with."""
    end = end_offsets(settings, topic)[TopicPartition(topic, partition)]
    found: list[int] = []
    deadline = time.monotonic() + GUARD_S
    with LogReader(settings, topic, partition, 0) as reader:
        while reader.position < end and time.monotonic() < deadline:
            found += [int(record.value or b"-1") for record in reader.poll(1000, 1.0)]
    return found


def first_appearances(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def test_everything_is_acknowledged_in_order_and_counted(kafka: RealKafka) -> None:
    settings = kafka.settings()
    topic = kafka.new_topic(partitions=2)
    with SteadyProducer(settings) as producer:
        for number in range(2000):
            producer.send(topic, b"sensor", b"%d" % number, [("a", b"1")], partition=number % 2)
        producer.flush(GUARD_S)
        assert (producer.acked, producer.pending) == (2000, 0)
    assert numbers_in(settings, topic, 0) == list(range(0, 2000, 2))
    assert numbers_in(settings, topic, 1) == list(range(1, 2000, 2))


def test_threads_may_share_a_producer(kafka: RealKafka) -> None:
    settings = kafka.settings(unacked_bytes=2**20)
    topic = kafka.new_topic(partitions=4)
    with SteadyProducer(settings) as producer:

        def work(partition: int) -> None:
            for number in range(300):
                producer.send(topic, None, b"%d" % number, [("filling", bytes(10_000))], partition=partition)

        threads = [threading.Thread(target=work, args=(partition,)) for partition in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert producer.acked == 1200
    for partition in range(4):
        assert numbers_in(settings, topic, partition) == list(range(300))


def test_largest_frame_passes_and_a_larger_one_is_rejected_before_it_is_sent(kafka: RealKafka) -> None:
    settings = kafka.settings()
    topic = kafka.new_topic(partitions=1)
    with SteadyProducer(settings) as producer:
        producer.send(topic, b"key", bytes(6000 * 6000 * 2))
        with pytest.raises(RejectRecord, match="83886080 bytes") as rejected:
            producer.send(topic, b"key", bytes(settings.max_message_bytes))
        assert rejected.value.reason is RejectReason.TOO_LARGE
        producer.flush(GUARD_S)
        assert (producer.acked, producer.pending) == (1, 0)
    with LogReader(settings, topic, 0, 0) as reader:
        records = reader.poll(10, GUARD_S)
    assert [len(record.value or b"") for record in records] == [72_000_000]


def test_refused_message_is_told_once_and_the_others_go_on(kafka: RealKafka) -> None:
    settings = kafka.settings()
    topic = kafka.new_topic(partitions=1, max_message_bytes=2000)
    with SteadyProducer(settings) as producer:
        producer.send(topic, b"key", b"0")
        producer.send(topic, b"key", b"9" * 5000)
        producer.send(topic, b"key", b"1")
        with pytest.raises(SettingsError, match=r"max\.message\.bytes of the topic"):
            producer.flush(GUARD_S)
        producer.send(topic, b"key", b"2")
        producer.flush(GUARD_S)
        assert (producer.acked, producer.pending) == (3, 0)
    assert first_appearances(numbers_in(settings, topic)) == [0, 1, 2]


def test_deleted_topic_is_told_and_does_not_block_the_others(kafka: RealKafka) -> None:
    settings = kafka.settings(delivery_timeout_s=1.0, connect_timeout_s=2.0)
    gone, stays = kafka.new_topic(partitions=1), kafka.new_topic(partitions=1)
    with SteadyProducer(settings) as producer:
        for topic in (gone, stays):
            producer.send(topic, b"key", b"0")
        producer.flush(GUARD_S)
        admin = connect_admin(settings)
        admin.delete_topics([gone])
        admin.close()
        producer.send(gone, b"key", b"1")
        producer.send(stays, b"key", b"1")
        with pytest.raises(SettingsError, match=f"topic named {gone}"):
            producer.flush(GUARD_S)
        producer.flush(GUARD_S)
        assert producer.pending == 0
    assert first_appearances(numbers_in(settings, stays)) == [0, 1]


def test_frozen_beyond_the_delivery_timeout_makes_a_new_producer(fragile_kafka: FragileKafka) -> None:
    settings = fragile_kafka.settings(delivery_timeout_s=1.5, connect_timeout_s=2.0)
    topic = fragile_kafka.new_topic(partitions=1)
    with SteadyProducer(settings) as producer:
        for number in range(100):
            producer.send(topic, b"key", b"%d" % number)
        producer.flush(GUARD_S)
        fragile_kafka.freeze()
        for number in range(100, 200):
            producer.send(topic, b"key", b"%d" % number)
        with pytest.raises(RetryLater, match="100 messages"):
            producer.flush(4.0)  # by now kafka-python has let them expire, and would hang for ever
        fragile_kafka.thaw()
        producer.send(topic, b"key", b"200")
        producer.flush(GUARD_S)
        assert (producer.acked, producer.pending) == (201, 0)
    numbers = numbers_in(settings, topic)
    assert first_appearances(numbers) == list(range(201))


def test_what_is_sent_through_a_freeze_and_after_it_stays_in_order(fragile_kafka: FragileKafka) -> None:
    settings = fragile_kafka.settings(delivery_timeout_s=1.5, connect_timeout_s=2.0)
    topic = fragile_kafka.new_topic(partitions=1)
    numbers = count()
    with SteadyProducer(settings) as producer:

        def send_for(duration_s: float) -> None:
            end = time.monotonic() + duration_s
            while time.monotonic() < end:
                producer.send(topic, b"key", b"%d" % next(numbers))
                time.sleep(0.02)

        send_for(0.5)
        for _ in range(2):
            fragile_kafka.freeze()
            send_for(3.0)  # the first of them expire, the last do not
            fragile_kafka.thaw()
            send_for(2.5)
        producer.flush(GUARD_S)
    assert first_appearances(numbers_in(settings, topic)) == list(range(next(numbers)))


def test_a_failure_is_blamed_once_however_long_the_broker_is_away(fragile_kafka: FragileKafka) -> None:
    settings = fragile_kafka.settings(connect_timeout_s=0.3)
    topic = fragile_kafka.new_topic(partitions=1)
    with SteadyProducer(fragile_kafka.settings()) as steady:
        steady._settings = settings  # impatient from here on, however busy the machine was at the start
        steady.send(topic, b"key", b"0")
        steady.flush(GUARD_S)
        fragile_kafka.freeze()
        steady.send(topic, b"key", b"1")
        steady._on_failure(2, steady._generation, steady._producer, UnknownError())  # what a broker out of memory answers
        with pytest.raises(RetryLater):
            steady.flush(4.0)
        fragile_kafka.thaw()
        steady._settings = fragile_kafka.settings()
        steady.flush(GUARD_S)
        assert (steady.acked, steady.pending) == (2, 0)
    assert first_appearances(numbers_in(fragile_kafka.settings(), topic)) == [0, 1]


def test_killed_broker_loses_nothing_and_sending_resumes_soon(fragile_kafka: FragileKafka) -> None:
    settings = fragile_kafka.settings()
    topic = fragile_kafka.new_topic(partitions=1)
    with SteadyProducer(settings) as producer:
        for number in range(500):
            producer.send(topic, b"key", b"%d" % number)
        fragile_kafka.kill()
        for number in range(500, 600):
            producer.send(topic, b"key", b"%d" % number)
        fragile_kafka.revive()
        producer.flush(GUARD_S)
        assert producer._producer.config["reconnect_backoff_max_ms"] == 1000, "kafka-python's own setting would wait up to 30 s"
        assert producer.acked == 600
    numbers = numbers_in(settings, topic)
    assert first_appearances(numbers) == list(range(600))
    assert all(after - before <= 1 for before, after in pairwise(numbers))  # repeats go back, nothing is skipped


def test_memory_is_bounded_while_the_broker_is_away(fragile_kafka: FragileKafka) -> None:
    settings = fragile_kafka.settings(unacked_bytes=2**20, max_outage_s=1.0)
    topic = fragile_kafka.new_topic(partitions=1)
    with SteadyProducer(settings) as producer:
        producer.send(topic, b"key", b"0")
        producer.flush(GUARD_S)
        fragile_kafka.freeze()
        for _ in range(10):
            producer.send(topic, b"key", bytes(100_000))
        began = time.monotonic()
        with pytest.raises(RetryLater, match="without answer"):
            producer.send(topic, b"key", bytes(100_000))
        assert time.monotonic() - began > 0.9
        fragile_kafka.thaw()
        producer.flush(GUARD_S)
        assert producer.acked == 11


def test_closing_says_what_is_lost_and_leaves_no_thread(fragile_kafka: FragileKafka) -> None:
    settings = fragile_kafka.settings()
    topic = fragile_kafka.new_topic(partitions=1)
    threads = set(threading.enumerate())
    producer = SteadyProducer(settings)
    producer.send(topic, b"key", b"0")
    producer.flush(GUARD_S)
    fragile_kafka.freeze()
    producer.send(topic, b"key", b"1")
    with pytest.raises(RetryLater, match="1 messages"):
        producer.close(timeout_s=0.5)
    fragile_kafka.thaw()
    wait_until(lambda: set(threading.enumerate()) <= threads, "the end of its threads")
    with pytest.raises(ValueError, match="closed"):
        producer.send(topic, b"key", b"2")


@pytest.mark.parametrize(
    ("value", "partition", "text"),
    [
        pytest.param(None, 0, "at least one: key or value", id="key and value missing"),
        pytest.param(b"value", 7, "partition 7", id="no such partition"),
    ],
)
def test_wrong_use_is_refused_and_forgotten(kafka: RealKafka, value: bytes | None, partition: int, text: str) -> None:
    topic = kafka.new_topic(partitions=1)
    with SteadyProducer(kafka.settings()) as producer:
        with pytest.raises(ValueError, match=text):
            producer.send(topic, None, value, partition=partition)
        assert producer.pending == 0


def test_no_broker_is_retried_later() -> None:
    with pytest.raises(RetryLater, match="ECONNREFUSED"):
        SteadyProducer(KafkaSettings(bootstrap_servers="127.0.0.1:1", connect_timeout_s=0.3))
