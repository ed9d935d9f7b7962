"""The demo leaves nothing on a Kafka that is not its own, and names no Kafka of somebody else afterwards."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.demo.next_steps import next_steps
from deploy.demo.topics import delete_topics, demo_topics
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import ClusterWatch
from tests.conftest import ADDRESS_VARIABLE, RealKafka


def settings_of(kafka: RealKafka, name: str) -> KafkaSettings:
    return kafka.settings(topic=name, alerts_topic=f"{name}.detections", dead_letter_topic=f"{name}.dead")


def exists(settings: KafkaSettings, topic: str) -> bool:
    with ClusterWatch(settings) as watch:
        return watch.find(topic) is not None


@pytest.mark.broker
@pytest.mark.parametrize("delete", [True, False])
def test_topics_are_gone_after_the_demo_however_it_ends(kafka: RealKafka, delete: bool) -> None:
    settings = settings_of(kafka, f"irstream-demo-test-{uuid4().hex[:8]}")
    topics = (settings.topic, settings.alerts_topic, settings.dead_letter_topic)
    with suppress(KeyboardInterrupt), demo_topics(settings, delete=delete):
        assert all(exists(settings, topic) for topic in topics)
        raise KeyboardInterrupt
    assert [exists(settings, topic) for topic in topics] == [not delete] * 3


def test_a_kafka_that_is_away_is_only_told_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        delete_topics(KafkaSettings(bootstrap_servers="127.0.0.1:1", connect_timeout_s=0.5), ["a", "b"])
    assert "the topics of the demo stay (a, b)" in caplog.text


def test_the_next_command_never_publishes_to_somebody_elses_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another program has the usual port, `broker up` alone takes a free one, and the rest would go to that program."""

    def next_line() -> str:
        return next(line for line in next_steps(Path("results"), None).splitlines() if line.startswith("next"))

    monkeypatch.delenv(ADDRESS_VARIABLE, raising=False)
    assert "irstream broker up --port 9092 && " in next_line()
    monkeypatch.setenv(ADDRESS_VARIABLE, "10.0.0.1:9092")
    assert "broker up" not in next_line()
