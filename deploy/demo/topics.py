"""The topics of one demo: made for it, and gone after it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from kafka.errors import KafkaError, NoError, UnknownTopicOrPartitionError, for_code

from pipeline.kafka.client import connect_admin
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import ensure_topic

_PARTITIONS = 2
_TIMEOUT_S = 10.0
_log = logging.getLogger(__name__)


@contextmanager
def demo_topics(kafka: KafkaSettings, *, delete: bool) -> Iterator[None]:
    """The three topics of these settings while the block runs.

    Args:
        kafka: where, and their names.
        delete: take them away afterwards; not needed on a broker that ends with the demo.

    Raises:
        SettingsError: they cannot be created.
    """
    made: list[str] = []
    try:
        for topic in (kafka.topic, kafka.alerts_topic, kafka.dead_letter_topic):
            ensure_topic(kafka, topic, _PARTITIONS)
            made.append(topic)
        yield
    finally:
        if delete and made:
            delete_topics(kafka, made)


def delete_topics(kafka: KafkaSettings, topics: list[str]) -> None:
    """Delete topics; a broker that does not answer or forbids it is only a warning, because the demo has shown its results."""
    try:
        admin = connect_admin(kafka.model_copy(update={"connect_timeout_s": min(kafka.connect_timeout_s, _TIMEOUT_S)}))
        try:
            answer = admin.delete_topics(topics, raise_errors=False)
        finally:
            admin.close()
    except KafkaError as error:
        _log.warning("the topics of the demo stay (%s): %s", ", ".join(topics), error)
        return
    errors = {each["name"]: for_code(each["error_code"]) for each in answer["topics"]}
    kept = {name: kind.__name__ for name, kind in errors.items() if kind not in (NoError, UnknownTopicOrPartitionError)}
    if kept:
        _log.warning("topics of the demo stay: %s", ", ".join(f"{name} ({why})" for name, why in kept.items()))
