"""A log and a table that accounts for it, made without a stream."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake
from kafka import TopicPartition as ClientTopicPartition

from contracts.position import OffsetRange
from contracts.result import Outcome
from pipeline.kafka.client import connect_admin
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import describe_topic
from pipeline.table.results_table import ResultsTable


def send(settings: KafkaSettings, num: int) -> None:
    """Messages to partition 0 that no decoder has to like."""
    with SteadyProducer(settings) as producer:
        for _ in range(num):
            producer.send(settings.topic, b"cam", b"frame")
        producer.flush(30)


def commit(settings: KafkaSettings, table: Path, outcomes: Sequence[Outcome], start: int, stop: int) -> None:
    """As the stream does it."""
    results = ResultsTable(str(table), "live", compact_after_commits=0)
    results.open_or_create()
    topic_id = describe_topic(settings, settings.topic).topic_id
    results.append(outcomes, [OffsetRange(settings.topic, 0, start, stop)], {settings.topic: topic_id})


def delete_up_to(settings: KafkaSettings, offset: int) -> None:
    """As retention does it."""
    admin = connect_admin(settings)
    admin.delete_records({ClientTopicPartition(settings.topic, 0): offset})
    admin.close()


def damage(table: Path, rows: pa.Table) -> None:
    """Rows that no commit of the stream brought."""
    write_deltalake(str(table), rows, mode="append")
