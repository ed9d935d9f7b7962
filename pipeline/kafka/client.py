"""Kafka as the rest of irstream sees it: one import for settings, topics, reader and producer."""

from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.reader import GapFound, LogReader
from pipeline.kafka.settings import KafkaSettings, connect_admin, connect_consumer, open_consumer, require_native_crc
from pipeline.kafka.topics import (
    ClusterWatch,
    TopicInfo,
    begin_offsets,
    commit_offset_hint,
    describe_topic,
    end_offsets,
    ensure_topic,
)

__all__ = [
    "ClusterWatch",
    "GapFound",
    "KafkaSettings",
    "LogReader",
    "SteadyProducer",
    "TopicInfo",
    "begin_offsets",
    "commit_offset_hint",
    "connect_admin",
    "connect_consumer",
    "describe_topic",
    "end_offsets",
    "ensure_topic",
    "open_consumer",
    "require_native_crc",
]
