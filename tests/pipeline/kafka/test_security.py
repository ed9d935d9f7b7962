"""SCRAM and client certificates against a real broker: what works, and how each refusal is told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import TopicPartition as ClientTopicPartition
from kafka.admin import ACLOperation, ResourceType
from kafka.errors import RetriableError

from contracts.errors import RetryLater, SettingsError, StopPipeline
from contracts.position import TopicPartition
from pipeline.kafka.client import connect_admin, open_consumer
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.reader import LogReader
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import ClusterWatch, commit_offset_hint, describe_topic, ensure_topic
from tests.certificates import Authority
from tests.conftest import RealKafka
from tests.secured_kafka import SecuredKafka

pytestmark = pytest.mark.broker
_PATIENCE_S = 120.0
_SOON_S = 120.0


def allow_the_documented_rights(secured: SecuredKafka, principal: str, settings: KafkaSettings) -> None:
    """What docs/kafka.md says a stream needs, and nothing more."""
    secured.allow(principal, ResourceType.TOPIC, settings.topic, ACLOperation.READ, ACLOperation.DESCRIBE)
    secured.allow(principal, ResourceType.TOPIC, settings.alerts_topic, ACLOperation.WRITE, ACLOperation.CREATE)
    secured.allow(principal, ResourceType.TOPIC, settings.dead_letter_topic, ACLOperation.WRITE, ACLOperation.CREATE)
    secured.allow(principal, ResourceType.GROUP, settings.group_hint, ACLOperation.READ)
    secured.allow(principal, ResourceType.GROUP, f"{settings.group_hint}.", ACLOperation.READ, prefixed=True)


def own_names(secured: SecuredKafka) -> dict[str, object]:
    """A topic of frames, two that do not exist yet, and a group."""
    name = uuid4().hex[:8]
    return {
        "topic": secured.new_topic(1),
        "alerts_topic": f"alerts-{name}",
        "dead_letter_topic": f"dead-{name}",
        "group_hint": f"group-{name}",
        "probe_interval_s": 0.2,
    }


def by_password(secured: SecuredKafka) -> tuple[str, KafkaSettings]:
    user, password = secured.new_user()
    return f"User:{user}", secured.scram(user, password, **own_names(secured))


def by_certificate(secured: SecuredKafka) -> tuple[str, KafkaSettings]:
    name = f"stream-{uuid4().hex[:8]}"
    return f"User:CN={name}", secured.mtls(secured.authority.sign(name), **own_names(secured))


@pytest.mark.parametrize("way", [by_password, by_certificate], ids=["SCRAM", "mTLS"])
def test_the_documented_rights_are_enough(secured_kafka: SecuredKafka, way: Callable[[SecuredKafka], tuple[str, KafkaSettings]]) -> None:
    principal, settings = way(secured_kafka)
    with SteadyProducer(secured_kafka.settings()) as camera:
        camera.send(settings.topic, b"cam", b"frame")
    with pytest.raises(StopPipeline, match="Authorization"):
        describe_topic(settings, settings.topic)
    allow_the_documented_rights(secured_kafka, principal, settings)
    ensure_topic(settings, settings.alerts_topic, 1)
    with SteadyProducer(settings) as producer:
        producer.send(settings.alerts_topic, b"cam", b"alert")
        producer.flush(_PATIENCE_S)
        assert producer.acked == 1
    with LogReader(settings, settings.topic, 0, 0) as reader:
        deadline = time.monotonic() + _PATIENCE_S
        records = reader.poll(10, 0.5)
        while not records and time.monotonic() < deadline:
            records = reader.poll(10, 0.5)
        assert [(record.key, record.value) for record in records] == [(b"cam", b"frame")]
    with ClusterWatch(settings) as watch:
        assert watch.find(settings.topic) == describe_topic(secured_kafka.settings(), settings.topic)
    for group in (settings.group_hint, f"{settings.group_hint}.live.{settings.topic}"):
        assert hinted_offset(secured_kafka, settings, group) == 1


def hinted_offset(secured: SecuredKafka, settings: KafkaSettings, group: str) -> int:
    """Write a hint as the user, read it back as the administrator."""
    tp, seen = ClientTopicPartition(settings.topic, 0), -1
    deadline = time.monotonic() + _PATIENCE_S
    admin = connect_admin(secured.settings())
    while seen < 0 and time.monotonic() < deadline:
        commit_offset_hint(settings.model_copy(update={"group_hint": group}), {TopicPartition(settings.topic, 0): 1})
        with contextlib.suppress(RetriableError):  # the first hint makes the broker create its own topic for offsets
            seen = admin.list_group_offsets({group: [tp]})[group][tp].offset
    admin.close()
    return seen


def test_a_right_that_is_missing_is_named(secured_kafka: SecuredKafka) -> None:
    principal, settings = by_password(secured_kafka)
    secured_kafka.allow(principal, ResourceType.TOPIC, settings.topic, ACLOperation.READ)
    producer = SteadyProducer(settings)
    with pytest.raises(SettingsError, match="the right to write"), producer:
        producer.send(settings.topic, b"cam", b"frame")


# --- refusals: what the settings say, what the error must name ---------------------------------------------------------


def wrong_password(secured: SecuredKafka) -> KafkaSettings:
    return secured.scram(secured.new_user()[0], "not-this-word")


def unknown_user(secured: SecuredKafka) -> KafkaSettings:
    return secured.scram("nobody", "not-this-word")


def mechanism_not_offered(secured: SecuredKafka) -> KafkaSettings:
    return secured.settings(sasl_mechanism="PLAIN")


def wrong_authority(secured: SecuredKafka) -> KafkaSettings:
    return secured.settings(ssl_cafile=str(Authority(secured.folder, "another-authority").pem))


def no_authority(secured: SecuredKafka) -> KafkaSettings:
    return secured.settings(ssl_cafile=None)


def expired_broker(secured: SecuredKafka) -> KafkaSettings:
    return secured.mtls(None, bootstrap_servers=secured.expired_servers)


def wrong_host_name(secured: SecuredKafka) -> KafkaSettings:
    return secured.settings(bootstrap_servers=secured.bootstrap_servers.replace("127.0.0.1", "localhost"))


def no_certificate(secured: SecuredKafka) -> KafkaSettings:
    return secured.mtls(None)


def expired_certificate(secured: SecuredKafka) -> KafkaSettings:
    return secured.mtls(secured.authority.sign("late", expired=True))


def foreign_certificate(secured: SecuredKafka) -> KafkaSettings:
    return secured.mtls(Authority(secured.folder, "another-authority").sign("mallory"))


def plain_text_on_a_tls_port(secured: SecuredKafka) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=secured.bootstrap_servers)


REFUSALS = [
    (wrong_password, "sasl_username", "the password is wrong.*IRSTREAM_KAFKA__SASL_PASSWORD"),
    (unknown_user, "sasl_username", "'nobody': unknown.*IRSTREAM_KAFKA__SASL_USERNAME"),
    (mechanism_not_offered, "sasl_mechanism", "does not offer PLAIN"),
    (wrong_authority, "ssl_cafile", "signed by another one.*IRSTREAM_KAFKA__SSL_CAFILE"),
    (no_authority, "ssl_cafile", "IRSTREAM_KAFKA__SSL_CAFILE"),
    (expired_broker, "bootstrap_servers", "has expired.*Renew"),
    (wrong_host_name, "bootstrap_servers", "another host name.*subject alternative names"),
    (no_certificate, "ssl_certfile", "none given.*IRSTREAM_KAFKA__SSL_CERTFILE"),
    (expired_certificate, "ssl_certfile", "expired.*IRSTREAM_KAFKA__SSL_CERTFILE"),
    (foreign_certificate, "ssl_certfile", "an authority it does not trust"),
    (plain_text_on_a_tls_port, "security_protocol", "in TLS.*SASL_SSL"),
]


@pytest.mark.parametrize(("made", "key", "told"), REFUSALS, ids=[made.__name__ for made, *_ in REFUSALS])
def test_a_refusal_is_told_at_once_with_the_setting_to_change(
    secured_kafka: SecuredKafka, made: Callable[[SecuredKafka], KafkaSettings], key: str, told: str
) -> None:
    settings = made(secured_kafka).model_copy(update={"connect_timeout_s": 2 * _SOON_S})
    for call in (open_consumer, lambda settings: describe_topic(settings, "frames")):
        began = time.monotonic()
        with pytest.raises(SettingsError, match=told) as caught:
            call(settings)
        assert caught.value.where.startswith(f"kafka.{key}, ")
        assert time.monotonic() - began < _SOON_S
        assert not settings.sasl_password or settings.sasl_password.get_secret_value() not in str(caught.value)
    for start in (lambda: LogReader(settings, "frames", 0, 0), lambda: SteadyProducer(settings)):
        with pytest.raises(StopPipeline, match=told):
            start()


def test_tls_on_a_plain_text_port_is_asked_about(kafka: RealKafka) -> None:
    """The broker just hangs up, as one does that is being stopped: not final, but a good question to ask."""
    with pytest.raises(SettingsError, match=r"EOF occurred.*does its port speak SSL \(kafka\.security_protocol\)\?"):
        open_consumer(kafka.settings(security_protocol="SSL", connect_timeout_s=1.0))


def test_one_server_that_refuses_does_not_hide_another_that_does_not(secured_kafka: SecuredKafka) -> None:
    both, topic = f"{secured_kafka.expired_servers},{secured_kafka.bootstrap_servers}", secured_kafka.new_topic(1)
    for _ in range(5):  # which one is asked first is chance
        with closing(open_consumer(secured_kafka.settings(bootstrap_servers=both))) as consumer:
            assert topic in consumer.topics()


def test_a_user_whose_password_changes_while_it_runs_is_stopped(secured_kafka: SecuredKafka) -> None:
    principal, settings = by_password(secured_kafka)
    allow_the_documented_rights(secured_kafka, principal, settings)
    ensure_topic(settings, settings.alerts_topic, 1)
    quick = settings.model_copy(update={"delivery_timeout_s": 2.0, "probe_timeout_s": 2.0})
    with LogReader(quick, quick.topic, 0, 0) as reader, ClusterWatch(quick) as watch:
        watch.find(quick.topic)
        producer = SteadyProducer(quick)
        assert reader.poll(10, 0.5) == []
        assert settings.sasl_username
        secured_kafka.set_password(settings.sasl_username, "another-word")
        with pytest.raises(SettingsError, match="the password is wrong"):
            poll_for_ever(reader)
        with pytest.raises(SettingsError, match="the password is wrong"):
            ask_for_ever(watch, quick.topic)
        with pytest.raises(StopPipeline, match="the password is wrong"):
            produce_for_ever(producer, quick.alerts_topic)
        with contextlib.suppress(RetryLater, StopPipeline):
            producer.close(timeout_s=1.0)


def poll_for_ever(reader: LogReader) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(RetryLater):  # slow
            reader.poll(10, 0.2)


def ask_for_ever(watch: ClusterWatch, topic: str) -> None:
    """Its connection has a session of its own, which may end after the reader's."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(RetryLater):
            watch.find(topic)
        time.sleep(0.2)


def produce_for_ever(producer: SteadyProducer, topic: str) -> None:
    deadline = time.monotonic() + 2 * _PATIENCE_S
    producer._known_topics.add(topic)  # only the producer's own connection shall find out
    while time.monotonic() < deadline:
        with contextlib.suppress(RetryLater):
            producer.send(topic, b"cam", b"alert")
        time.sleep(0.2)


# --- files ------------------------------------------------------------------------------------------------------------


def test_the_password_may_come_from_a_file_and_change_there(secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    user, password = secured_kafka.new_user()
    secret = tmp_path / "password"
    secret.write_text(f"{password}\n")
    topic = secured_kafka.new_topic(1)
    secured_kafka.allow(f"User:{user}", ResourceType.TOPIC, topic, ACLOperation.DESCRIBE)
    settings = secured_kafka.scram(user, "", sasl_password=None, sasl_password_file=str(secret))
    with closing(open_consumer(settings)) as consumer:
        assert consumer.topics() == {topic}
    secured_kafka.set_password(user, "second-word")
    with pytest.raises(SettingsError, match="the password is wrong"):
        open_consumer(settings)
    secret.write_text("second-word")
    with closing(open_consumer(settings)) as consumer:
        assert consumer.topics() == {topic}


def test_an_encrypted_key_is_read_with_its_password(secured_kafka: SecuredKafka) -> None:
    certificate = secured_kafka.authority.sign("sealed", key_password="key-word-1")
    open_consumer(secured_kafka.mtls(certificate, ssl_key_password="key-word-1")).close()
    with pytest.raises(SettingsError, match=r"kafka\.ssl_key_password.*IRSTREAM_KAFKA__SSL_KEY_PASSWORD"):
        open_consumer(secured_kafka.mtls(certificate))
    with pytest.raises(SettingsError, match=r"kafka\.ssl_keyfile") as caught:
        open_consumer(secured_kafka.mtls(certificate, ssl_key_password="key-word-2"))
    assert "key-word" not in str(caught.value)
