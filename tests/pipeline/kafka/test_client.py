"""Settings and topics, against a real broker (docs/kafka.md)."""

from __future__ import annotations

import contextlib
import logging
import pickle
import threading
import time
from collections.abc import Callable

import pytest
from kafka import TopicPartition as ClientTopicPartition
from kafka.errors import RetriableError
from kafka.record import util
from pydantic import ValidationError

from contracts.errors import SettingsError
from contracts.position import TopicPartition
from pipeline.kafka.client import connect_admin, connect_consumer, open_consumer, require_native_crc
from pipeline.kafka.client_log import CalmHandler, Reasons
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.reader import LogReader
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import ClusterWatch, begin_offsets, commit_offset_hint, describe_topic, end_offsets, ensure_topic
from tests.conftest import FragileKafka, RealKafka
from tests.waiting import GUARD_S, wait_until

pytestmark = pytest.mark.broker
NOBODY = "127.0.0.1:1"
IMPATIENT = {"connect_timeout_s": 3.0, "probe_interval_s": 0.2, "probe_timeout_s": 1.0}


def publish(settings: KafkaSettings, topic: str, values: list[bytes], partition: int = 0) -> None:
    with SteadyProducer(settings) as producer:
        for value in values:
            producer.send(topic, b"key", value, partition=partition)


# --- start: settings, native CRC, no broker ---------------------------------------------------------------------------


def test_missing_native_crc_is_an_error_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    require_native_crc()
    monkeypatch.setattr(util, "crc32c_c", None)
    with pytest.raises(SettingsError, match="pip install"):
        require_native_crc()


@pytest.mark.parametrize("address", ["", "host", "host:port", "a:1 b:2", ":9092"])
def test_settings_refuse_what_is_no_address(address: str) -> None:
    with pytest.raises(ValidationError, match="bootstrap_servers"):
        KafkaSettings(bootstrap_servers=address)


def test_settings_cross_processes_and_hide_the_password() -> None:
    login = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "me", "sasl_password": "secret-word"}
    settings = KafkaSettings.model_validate({"bootstrap_servers": "a:1, b:2"} | login)
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert "secret-word" not in repr(settings)


def python_threads() -> set[threading.Thread]:
    """Without those of Ray's C++ that happen to call Python: they come and go as they like."""
    return {thread for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}


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
    threads = python_threads()
    with pytest.raises(SettingsError, match=f"{NOBODY}.*ECONNREFUSED.*irstream broker up"):
        call(KafkaSettings(bootstrap_servers=NOBODY, connect_timeout_s=0.5))
    wait_until(lambda: python_threads() <= threads, "the end of its threads")


# --- topics -----------------------------------------------------------------------------------------------------------


def test_topic_is_described_and_ensure_leaves_an_existing_one_alone(kafka: RealKafka) -> None:
    topic = kafka.new_topic(partitions=3)
    info = describe_topic(kafka.settings(), topic)
    assert info.partitions == (0, 1, 2)
    ensure_topic(kafka.settings(), topic, 1)
    assert describe_topic(kafka.settings(), topic) == info


@pytest.mark.parametrize("name", ["alerts_topic", "dead_letter_topic"])
def test_a_stream_that_would_read_what_it_writes_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="three different names"):
        KafkaSettings.model_validate({name: "frames"})


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
    deadline = time.monotonic() + GUARD_S
    seen = -1
    while seen < 0 and time.monotonic() < deadline:
        commit_offset_hint(settings, {TopicPartition(topic, 1): 2})
        with contextlib.suppress(RetriableError):  # the first hint makes the broker create its own topic for offsets
            seen = admin.list_group_offsets({"hints": [tp]})["hints"][tp].offset
    admin.close()
    assert seen == 2


def test_hint_without_a_broker_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pipeline"):
        commit_offset_hint(KafkaSettings(bootstrap_servers=NOBODY, connect_timeout_s=0.3), {TopicPartition("frames", 0): 1})
    (record,) = [record for record in caplog.records if record.name.startswith("pipeline")]
    assert record.levelname == "INFO"
    assert "offset hint for lag tools not written" in record.getMessage()
    assert NOBODY in record.getMessage()


# --- options and logging ----------------------------------------------------------------------------------------------


def test_consumer_decides_nothing_by_itself(kafka: RealKafka) -> None:
    consumer = connect_consumer(kafka.settings())
    wanted = {"enable_auto_commit": False, "auto_offset_reset": "none", "group_id": None, "reconnect_backoff_max_ms": 1000}
    assert {key: consumer.config[key] for key in wanted} == wanted
    consumer.close()


def test_what_nobody_can_act_on_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    handler = CalmHandler()
    handler.handle(
        logging.LogRecord("kafka", logging.WARNING, "f", 1, "Rebalance listener %s.%s for group %s took %.3fs.", ("a", "b", "c", 3.0), None)
    )
    for error in (AttributeError("'NoneType' object has no attribute 'recv'"), OSError("gone")):
        told = (type(error), error, None)
        handler.handle(logging.LogRecord("kafka", logging.ERROR, "f", 1, "%s: Error receiving network data closing socket", ("x",), told))
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [OSError]


def test_equal_log_records_are_held_back_and_counted(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    handler = CalmHandler()
    for step in range(50):
        now = 100.0 + step * 0.25
        handler.handle(logging.LogRecord("kafka.net", logging.ERROR, "f", 1, "Fetch of %s failed", (step,), None))
        handler.handle(logging.LogRecord("kafka.net", logging.WARNING, "f", 1, "It is blocking the event loop", (), None))
        handler.handle(logging.LogRecord("kafka.other", logging.ERROR, "f", 1, f"attempt {step} failed", (), None))
    assert [record.getMessage() for record in caplog.records] == [
        "Fetch of 0 failed",
        "attempt 0 failed",
        "Fetch of 40 failed (39 more like it in 10 s)",
        "attempt 40 failed (39 more like it in 10 s)",
    ]


# Of kafka-python 3.0.12, when nobody listens and when a broker goes away.
AWAY = (
    "Connection failed: KafkaConnectionError: 111 ECONNREFUSED",
    "<KafkaConnection node_id=bootstrap-0 broker_version=unknown (disconnected)>: Connection lost: KafkaConnectionError: 111 ECONNREFUSED",
    "Bootstrap connection to bootstrap-0 failed: KafkaConnectionError: 111 ECONNREFUSED (backoff 0.12 secs)",
    "Bootstrap bootstrap-0 not ready; waiting 0.11 secs",
    "Bootstrap failed: KafkaTimeoutError: Unable to bootstrap from ['127.0.0.1:1']",
)


def test_what_clients_say_of_an_outage_is_one_line_of_ours_and_none_while_somebody_connects(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    handler = CalmHandler()

    def say_all() -> list[str]:
        caplog.clear()
        for number, text in enumerate(AWAY):
            handler.handle(logging.LogRecord(f"kafka.net.{number}", logging.ERROR, "f", 1, text, None, None))
        return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]

    with Reasons():  # whoever connects raises an error that says it
        assert say_all() == []
    assert say_all() == ["WARNING Kafka does not answer: KafkaConnectionError: 111 ECONNREFUSED"]
    assert say_all() == [], "held back for ten seconds"
