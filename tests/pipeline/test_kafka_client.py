"""Settings, topics and the reader, against a real broker (reference/kafka.md, traps 4 and 11 to 19)."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka import TopicPartition as ClientTopicPartition
from kafka.errors import RetriableError
from kafka.record import util
from pydantic import ValidationError

from contracts.errors import RetryLater, SettingsError, StopPipeline
from contracts.frame import RawRecord
from contracts.position import TopicPartition
from pipeline.kafka_client import (
    ClusterWatch,
    GapFound,
    KafkaSettings,
    LogReader,
    SteadyProducer,
    begin_offsets,
    commit_offset_hint,
    connect_admin,
    connect_consumer,
    describe_topic,
    end_offsets,
    ensure_topic,
    open_consumer,
    require_native_crc,
)
from pipeline.kafka_settings import CalmHandler
from tests.conftest import FragileKafka, RealKafka

pytestmark = pytest.mark.broker
NOBODY = "127.0.0.1:1"
IMPATIENT = {"connect_timeout_s": 2.0, "probe_interval_s": 0.2, "probe_timeout_s": 1.0}


def publish(settings: KafkaSettings, topic: str, values: list[bytes], partition: int = 0) -> None:
    with SteadyProducer(settings) as producer:
        for value in values:
            producer.send(topic, b"key", value, partition=partition)


def read_values(reader: LogReader, num: int) -> list[bytes | None]:
    found: list[RawRecord] = []
    deadline = time.monotonic() + 10
    while len(found) < num and time.monotonic() < deadline:
        found += reader.poll(100, 1.0)
    return [record.value for record in found]


def poll_until(reader: LogReader, kind: type[Exception], within_s: float = 10.0) -> Exception:
    """Poll until it raises; anything else than `kind` fails the test."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            reader.poll(100, 0.1)
        except kind as error:
            return error
    raise AssertionError(f"no {kind.__name__} within {within_s} s")


# --- start: settings, native CRC, no broker ---------------------------------------------------------------------------


def test_missing_native_crc_is_an_error_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    require_native_crc()
    monkeypatch.setattr(util, "crc32c_c", None)
    with pytest.raises(SettingsError, match="pip install"):
        require_native_crc()


@pytest.mark.parametrize("address", ["", "host", "host:port", "a:1 b:2", ":9092"])
def test_settings_refuse_what_is_no_address(address: str) -> None:
    with pytest.raises(ValidationError):
        KafkaSettings(bootstrap_servers=address)


def test_settings_cross_processes_and_hide_the_password() -> None:
    settings = KafkaSettings.model_validate({"bootstrap_servers": "a:1, b:2", "sasl_password": "secret-word"})
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert "secret-word" not in repr(settings)


@pytest.mark.parametrize(
    "call",
    [
        open_consumer,
        lambda settings: describe_topic(settings, "frames"),
        lambda settings: ensure_topic(settings, "frames", 1),
    ],
    ids=["open_consumer", "describe_topic", "ensure_topic"],
)
def test_no_broker_at_start_names_address_and_reason_and_leaves_no_thread(call: Callable[[KafkaSettings], object]) -> None:
    threads = set(threading.enumerate())
    began = time.monotonic()
    with pytest.raises(SettingsError, match=f"{NOBODY}.*ECONNREFUSED.*irstream broker up"):
        call(KafkaSettings(bootstrap_servers=NOBODY, connect_timeout_s=0.5))
    assert time.monotonic() - began < 3
    assert set(threading.enumerate()) <= threads


def test_wrong_protocol_is_named_and_not_just_a_timeout(kafka: RealKafka) -> None:
    with pytest.raises(SettingsError, match=r"SSL|disconnected|handshake|socket"):
        open_consumer(kafka.settings(security_protocol="SSL", connect_timeout_s=1.0))


# --- topics -----------------------------------------------------------------------------------------------------------


def test_topic_is_described_and_ensure_leaves_an_existing_one_alone(kafka: RealKafka) -> None:
    topic = kafka.new_topic(partitions=3)
    info = describe_topic(kafka.settings(), topic)
    assert info.partitions == (0, 1, 2)
    ensure_topic(kafka.settings(), topic, 1)
    assert describe_topic(kafka.settings(), topic) == info


def test_ensure_topic_refuses_a_wrong_configuration(kafka: RealKafka) -> None:
    with pytest.raises(SettingsError, match="no-such-key"):
        ensure_topic(kafka.settings(), "never-made", 1, {"no-such-key": "1"})


def test_asking_for_an_unknown_topic_never_creates_it(fragile_kafka: FragileKafka) -> None:
    settings = fragile_kafka.settings(**IMPATIENT)  # this broker would create topics by itself
    with pytest.raises(SettingsError, match=r"kafka-topics\.sh --create"):
        describe_topic(settings, "misspelt")
    with pytest.raises(SettingsError, match="misspelt"):
        end_offsets(settings, "misspelt")
    with pytest.raises(SettingsError, match="misspelt"):
        LogReader(settings, "misspelt", 0, 0)
    with SteadyProducer(settings) as producer, pytest.raises(SettingsError, match="misspelt"):
        producer.send("misspelt", b"key", b"value")
    with ClusterWatch(settings) as watch:
        assert watch.find("misspelt") is None


def test_offsets_and_hint(kafka: RealKafka) -> None:
    settings = kafka.settings(group_hint="hints")
    topic = kafka.new_topic(partitions=2)
    publish(settings, topic, [b"a", b"b", b"c"], partition=1)
    assert begin_offsets(settings, topic) == {TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 0}
    assert end_offsets(settings, topic) == {TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 3}
    admin = connect_admin(settings)
    tp = ClientTopicPartition(topic, 1)
    deadline = time.monotonic() + 10
    seen = -1
    while seen < 0 and time.monotonic() < deadline:
        commit_offset_hint(settings, {TopicPartition(topic, 1): 2})
        with contextlib.suppress(RetriableError):  # the first hint makes the broker create its own topic for offsets
            seen = admin.list_group_offsets({"hints": [tp]})["hints"][tp].offset
    admin.close()
    assert seen == 2


def test_hint_without_a_broker_is_only_logged() -> None:
    commit_offset_hint(KafkaSettings(bootstrap_servers=NOBODY, connect_timeout_s=0.3), {TopicPartition("frames", 0): 1})


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
        records = reader.poll(2, 10.0)
        records += reader.poll(2, 10.0)
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
        assert 0.15 < time.monotonic() - began < 1.0
        publish(settings, topic, [b"x"])
        began = time.monotonic()
        assert len(reader.poll(10, 10.0)) == 1
        assert time.monotonic() - began < 5


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
        deadline = time.monotonic() + 5
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


def recreate(settings: KafkaSettings, topic: str, values: list[bytes]) -> None:
    """Create a topic that was just deleted; the broker may need a moment to let the name go."""
    deadline = time.monotonic() + 10
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
        began = time.monotonic()
        assert "Trying again" in str(poll_until(reader, RetryLater))
        assert time.monotonic() - began < 4
        with pytest.raises(RetryLater):  # bounded: two attempts of at most connect_timeout_s
            watch.end_offsets(topic)
        assert time.monotonic() - began < 12
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
        assert [record.value for record in reader.poll(1, 10.0)] == [b"0"]
        fragile_kafka.freeze()
        with monkeypatch.context() as patch:
            patch.setattr(reader, "_known_topic_id", lambda: None)  # what the metadata shows while a broker starts
            with pytest.raises(RetryLater):
                reader.poll(1, 0.1)
        assert reader.position == 1
        fragile_kafka.thaw()
        assert read_until_it_answers(reader) == b"1"


def read_until_it_answers(reader: LogReader) -> bytes | None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            for record in reader.poll(1, 0.5):
                return record.value
        except RetryLater:
            continue
    raise AssertionError("no record within 20 s")


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
        busy_s = time.process_time()
        with pytest.raises(StopPipeline):
            reader.poll(1, 5.0)
        assert time.process_time() - busy_s < 0.5


# --- options and logging ----------------------------------------------------------------------------------------------


def test_consumer_decides_nothing_by_itself(kafka: RealKafka) -> None:
    consumer = connect_consumer(kafka.settings())
    wanted = {"enable_auto_commit": False, "auto_offset_reset": "none", "group_id": None, "reconnect_backoff_max_ms": 1000}
    assert {key: consumer.config[key] for key in wanted} == wanted
    consumer.close()


def test_equal_log_records_are_held_back_and_counted(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    handler = CalmHandler()
    for step in range(50):
        now = 100.0 + step * 0.25
        handler.handle(logging.LogRecord("kafka.net", logging.ERROR, "f", 1, "Connection failed: %s", (step,), None))
    assert [record.getMessage() for record in caplog.records] == [
        "Connection failed: 0",
        "Connection failed: 40 (39 more like it in 10 s)",
    ]
