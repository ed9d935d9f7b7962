"""The reader against a real broker (docs/kafka.md, Reading)."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka import TopicPartition as ClientTopicPartition

from contracts.errors import RetryLater, SettingsError, StopPipeline
from contracts.frame import RawRecord
from contracts.position import TopicPartition
from pipeline.kafka.client import connect_admin
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.reader import GapFound, LogReader
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import ClusterWatch, describe_topic, end_offsets, ensure_topic
from tests.conftest import FragileKafka, RealKafka
from tests.waiting import GUARD_S

pytestmark = pytest.mark.broker
IMPATIENT = {"connect_timeout_s": 3.0, "probe_interval_s": 0.2, "probe_timeout_s": 1.5}


def publish(settings: KafkaSettings, topic: str, values: list[bytes], partition: int = 0) -> None:
    with SteadyProducer(settings) as producer:
        for value in values:
            producer.send(topic, b"key", value, partition=partition)


def read(reader: LogReader, num: int, at_most: int = 100) -> list[RawRecord]:
    found: list[RawRecord] = []
    deadline = time.monotonic() + GUARD_S
    while len(found) < num and time.monotonic() < deadline:
        found += reader.poll(at_most, 1.0)
    return found


def read_values(reader: LogReader, num: int) -> list[bytes | None]:
    return [record.value for record in read(reader, num)]


def poll_until(reader: LogReader, kind: type[Exception]) -> Exception:
    """Poll until it raises what is wanted."""
    deadline = time.monotonic() + GUARD_S
    while time.monotonic() < deadline:
        try:
            reader.poll(100, 0.1)
        except kind as error:
            return error
        except RetryLater:
            continue  # a machine under load answers late
    raise AssertionError(f"no {kind.__name__} within {GUARD_S:g} s")


# --- reading ----------------------------------------------------------------------------------------------------------


def test_reader_gives_records_as_they_are(kafka: RealKafka) -> None:
    settings = kafka.settings()
    topic = kafka.new_topic(partitions=2)
    headers = [("a", b"1"), ("a", b"2"), ("b", b"")]
    with SteadyProducer(settings) as producer:
        producer.send(topic, None, b"value", headers, timestamp_ms=1234, partition=1)
        producer.send(topic, b"key", None, partition=1)
        producer.send(topic, b"", b"", partition=1)
    with LogReader(settings, topic, 1, 0) as reader:
        records = read(reader, 3, at_most=2)
        assert [(record.key, record.value) for record in records] == [(None, b"value"), (b"key", None), (b"", b"")]
        assert records[0].headers == tuple(headers)
        assert records[0].timestamp_ms == 1234
        assert [str(record.position) for record in records] == [f"{topic}/1/{offset}" for offset in range(3)]
        assert reader.position == 3


def test_poll_returns_as_soon_as_there_is_something_and_waits_no_longer_than_told(kafka: RealKafka) -> None:
    settings = kafka.settings()
    topic = kafka.new_topic(partitions=1)
    with LogReader(settings, topic, 0, 0) as reader:
        began = time.monotonic()
        assert reader.poll(10, 0.2) == []
        assert time.monotonic() - began > 0.15
        publish(settings, topic, [b"x"])
        assert len(reader.poll(10, 3600.0)) == 1, "this test would hang if it waited for more"


def test_reader_steps_over_transaction_markers_and_aborted_records(kafka: RealKafka) -> None:
    settings = kafka.settings()
    topic = kafka.new_topic(partitions=1)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=topic, retry_backoff_ms=5)
    producer.init_transactions()
    for value, good in ((b"first", True), (b"aborted", False), (b"second", True)):
        producer.begin_transaction()
        producer.send(topic, value, partition=0).get(10)  # commit_transaction() does not notice an expired record
        (producer.commit_transaction if good else producer.abort_transaction)()
    producer.close()
    with LogReader(settings, topic, 0, 0) as reader:
        assert read_values(reader, 2) == [b"first", b"second"]
        end = end_offsets(settings, topic)[TopicPartition(topic, 0)]
        deadline = time.monotonic() + GUARD_S
        while reader.position < end and time.monotonic() < deadline:
            assert reader.poll(10, 0.1) == []
        assert (reader.position, end) == (6, 6)


def test_retention_gap_is_named_and_reading_goes_on_behind_it(kafka: RealKafka) -> None:
    settings = kafka.settings()
    topic = kafka.new_topic(partitions=1)
    publish(settings, topic, [b"%d" % number for number in range(10)])
    admin = connect_admin(settings)
    admin.delete_records({ClientTopicPartition(topic, 0): 6})
    admin.close()
    with LogReader(settings, topic, 0, 2) as reader:
        gap = poll_until(reader, GapFound)
        assert isinstance(gap, GapFound)
        assert (gap.start, gap.stop) == (2, 6)
        reader.seek_to(gap.stop)
        assert read_values(reader, 4) == [b"6", b"7", b"8", b"9"]
    assert isinstance(pickle.loads(pickle.dumps(gap)), GapFound)


def test_position_beyond_the_log_stops(kafka: RealKafka) -> None:
    topic = kafka.new_topic(partitions=1)
    with LogReader(kafka.settings(), topic, 0, 7) as reader:
        assert "ends before 7" in str(poll_until(reader, StopPipeline))


def test_unknown_partition_stops(kafka: RealKafka) -> None:
    topic = kafka.new_topic(partitions=1)
    with pytest.raises(StopPipeline, match=r"partitions \[0\], got 5"):
        LogReader(kafka.settings(**IMPATIENT), topic, 5, 0)


@pytest.mark.parametrize("num_new", [0, 1, 50], ids=["deleted", "recreated shorter", "recreated longer"])
def test_deleted_or_recreated_topic_stops_the_reader(kafka: RealKafka, num_new: int) -> None:
    settings = kafka.settings(**IMPATIENT)
    topic = kafka.new_topic(partitions=1)
    publish(settings, topic, [b"old"] * 5)
    with LogReader(settings, topic, 0, 0) as reader:
        assert read_values(reader, 5) == [b"old"] * 5
        admin = connect_admin(settings)
        admin.delete_topics([topic])
        admin.close()
        if num_new:
            recreate(settings, topic, [b"new"] * num_new)
        error = poll_until(reader, StopPipeline)
        assert f"id {reader.topic_id}" in str(error)
        with pytest.raises(StopPipeline):  # and stays stopped
            reader.poll(1, 0.0)


def test_a_deleted_topic_is_no_misspelling(kafka: RealKafka) -> None:
    settings = kafka.settings(**IMPATIENT)
    topic = kafka.new_topic(partitions=1)
    with LogReader(settings, topic, 0, 0) as reader:
        topic_id = reader.topic_id
        admin = connect_admin(settings)
        admin.delete_topics([topic])
        admin.close()
        with pytest.raises(StopPipeline, match=f"id {topic_id}, got it was deleted"):
            reader._check_partition()  # what a slow answer leads to
        with pytest.raises(StopPipeline, match="it was deleted"):  # and stays stopped
            reader.poll(1, 0.0)
    with pytest.raises(StopPipeline, match=f"id {topic_id}, got it was deleted"):
        LogReader(settings, topic, 0, 0, topic_id)


def recreate(settings: KafkaSettings, topic: str, values: list[bytes]) -> None:
    """Create a topic that was just deleted; the broker may need a moment to let the name go."""
    deadline = time.monotonic() + GUARD_S
    while True:
        try:
            ensure_topic(settings, topic, 1)
            publish(settings, topic, values)
            return
        except SettingsError:
            assert time.monotonic() < deadline


def test_offsets_of_another_topic_id_are_refused_at_once(kafka: RealKafka) -> None:
    topic = kafka.new_topic(partitions=1)
    with pytest.raises(StopPipeline, match="another topic of this name"):
        LogReader(kafka.settings(), topic, 0, 0, topic_id="b7b914d8-9ba6-4671-b88b-b3a32d18baa7")
    with ClusterWatch(kafka.settings()) as watch:
        watch.verify(topic, describe_topic(kafka.settings(), topic).topic_id)
        with pytest.raises(StopPipeline, match="deleted"):
            watch.verify("no-such-topic", "some-id")


# --- harm -------------------------------------------------------------------------------------------------------------


def test_frozen_broker_is_noticed_although_poll_is_silent(fragile_kafka: FragileKafka) -> None:
    settings = fragile_kafka.settings(**IMPATIENT)
    topic = fragile_kafka.new_topic(partitions=1)
    with LogReader(settings, topic, 0, 0) as reader, ClusterWatch(settings) as watch:
        assert reader.poll(1, 0.1) == []
        assert watch.end_offsets(topic)
        fragile_kafka.freeze()
        assert "tries again" in str(poll_until(reader, RetryLater))
        with pytest.raises(RetryLater):  # bounded: two attempts of at most connect_timeout_s
            watch.end_offsets(topic)
        fragile_kafka.thaw()
        publish(settings, topic, [b"after"])
        assert read_until_it_answers(reader) == b"after"
        assert watch.end_offsets(topic) == {TopicPartition(topic, 0): 1}


def test_records_in_hand_are_kept_when_the_topic_cannot_be_confirmed(fragile_kafka: FragileKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = fragile_kafka.settings(**IMPATIENT)
    topic = fragile_kafka.new_topic(partitions=1)
    publish(settings, topic, [b"0", b"1", b"2"])
    with LogReader(settings, topic, 0, 0) as reader:
        assert read_values(reader, 3) == [b"0", b"1", b"2"]
        reader.seek_to(0)
        assert [record.value for record in read(reader, 1, at_most=1)] == [b"0"]
        fragile_kafka.freeze()
        with monkeypatch.context() as patch:
            patch.setattr(reader, "_known_topic_id", lambda: None)  # what the metadata shows while a broker starts
            with pytest.raises(RetryLater):
                reader.poll(1, 0.1)
        assert reader.position == 1
        fragile_kafka.thaw()
        assert read_until_it_answers(reader) == b"1"


def read_until_it_answers(reader: LogReader) -> bytes | None:
    deadline = time.monotonic() + GUARD_S
    while time.monotonic() < deadline:
        try:
            for record in reader.poll(1, 0.5):
                return record.value
        except RetryLater:
            continue
    raise AssertionError(f"no record within {GUARD_S:g} s")


def test_reader_and_watch_survive_a_killed_broker(fragile_kafka: FragileKafka) -> None:
    settings = fragile_kafka.settings(**IMPATIENT)
    topic = fragile_kafka.new_topic(partitions=1)
    publish(settings, topic, [b"before"])
    with LogReader(settings, topic, 0, 0) as reader, ClusterWatch(settings) as watch:
        assert read_values(reader, 1) == [b"before"]
        assert watch.end_offsets(topic) == {TopicPartition(topic, 0): 1}
        fragile_kafka.kill()
        poll_until(reader, RetryLater)
        fragile_kafka.revive()
        publish(settings, topic, [b"after"])
        assert read_until_it_answers(reader) == b"after"
        assert watch.end_offsets(topic) == {TopicPartition(topic, 0): 2}


def test_damaged_batch_stops_the_reader_without_spinning(fragile_kafka: FragileKafka) -> None:
    settings = fragile_kafka.settings()
    topic = fragile_kafka.new_topic(partitions=1)
    publish(settings, topic, [b"good"])
    publish(settings, topic, [b"bad" * 100])
    log = Path(fragile_kafka.broker.home.data, f"{topic}-0", "00000000000000000000.log")
    stored = log.read_bytes()
    with log.open("r+b") as data:
        data.seek(stored.rindex(b"bad"))
        data.write(b"BAD")
        os.fsync(data.fileno())
    with LogReader(settings, topic, 0, 0) as reader:
        error = poll_until(reader, StopPipeline)
        assert "at offset 1" in str(error)
        busy_s = time.thread_time()
        with pytest.raises(StopPipeline):
            reader.poll(1, 5.0)
        assert time.thread_time() - busy_s < 0.5
