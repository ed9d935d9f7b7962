"""Kafka as a block source: its partitions read by Ray Data."""

from __future__ import annotations

from pipeline.ingest.interfaces import Reading, ReadPlan
from pipeline.ingest.ray_source import open_ray_reading
from pipeline.kafka.interfaces import PartitionReader
from pipeline.kafka.reader import LogReader
from pipeline.kafka.selected_reader import SelectedReader
from pipeline.kafka.settings import KafkaSettings


class _Connect:
    """Opens the reader of a partition, in the worker."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    def __call__(self, plan: ReadPlan, partition: int, start: int) -> PartitionReader:
        reader = LogReader(self._kafka, plan.topic, partition, start, plan.topic_id)
        return SelectedReader(reader, plan.selected_offsets[partition]) if partition in plan.selected_offsets else reader


def open_kafka_reading(kafka: KafkaSettings, plan: ReadPlan) -> Reading:
    """Source and coordinator of one generation; needs a running Ray."""
    return open_ray_reading("KafkaEpoch", lambda _: _Connect(kafka), plan)
