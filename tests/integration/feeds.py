"""Frames into Kafka and rows out of the table, as the tests of the whole stream need them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable
from ray import serve

from contracts.codecs import encode_pixels
from contracts.frame import ContentType
from contracts.limits import InputLimits
from contracts.position import TopicPartition
from deploy.serving import app_name, running_models
from deploy.settings.app_settings import AppSettings
from pipeline.inference.router import ModelHandles
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import end_offsets
from pipeline.runtime.job import StreamJob
from pipeline.runtime.progress import StreamSummary
from pipeline.settings import StreamSettings
from pipeline.stream import run_stream
from pipeline.table.settings import SinkSettings

Message = tuple[bytes | None, bytes | None, list[tuple[str, bytes]], int]


@contextmanager
def models_for_a_test(settings: AppSettings) -> Iterator[ModelHandles]:
    """The three models of a stream, and their end: in the Ray of a session they would stay, and compute a little even when idle."""
    with running_models(settings) as models:
        try:
            yield models
        finally:
            serve.delete(app_name(settings))


def marked_frame(mark: int, size_px: tuple[int, int] = (64, 96)) -> bytes:
    """A PNG whose first pixel tells the rule networks what to answer."""
    pixels_HW = np.full(size_px, 7, np.uint8)
    pixels_HW[0, 0] = mark
    return encode_pixels(pixels_HW, ContentType.PNG)


def feed(kafka: KafkaSettings, messages: Iterable[Message]) -> None:
    """Send messages (key, value, headers, partition) and wait until all are stored."""
    with SteadyProducer(kafka) as producer:
        for key, value, headers, partition in messages:
            producer.send(kafka.topic, key, value, headers, partition=partition)
        producer.flush(60)


def frames(num: int, *, partitions: int = 2, sensor: str = "cam", mark: int = 1) -> list[Message]:
    """Good messages, spread over the partitions."""
    value = marked_frame(mark)
    return [(f"{sensor}{index % 4}".encode(), value, [("ir_frame", str(index).encode())], index % partitions) for index in range(num)]


def job(kafka: KafkaSettings, table: Path, models: ModelHandles, *, run_id: str = "live", **stream: Any) -> StreamJob:
    """A stream job with short epochs and quick commits."""
    settings = {"epoch_s": 8.0, "epoch_overlap_s": 1.0, "block_max_frames": 8} | stream
    sink = SinkSettings(table=str(table), commit_interval_s=0.2)
    return StreamJob(run_id, kafka, StreamSettings(**settings), InputLimits(), sink, models)


def catch_up(one: StreamJob) -> StreamSummary:
    """Run the stream until it has everything that is there now."""
    return run_stream(one, stop=threading.Event(), until_caught_up=True)


def rows(table: Path) -> list[dict[str, Any]]:
    """All rows, in no order."""
    read: pa.Table = pa.table(DeltaTable(str(table)).to_pyarrow_table())
    found: list[dict[str, Any]] = read.to_pylist()
    return found


def assert_exactly_once(found: Sequence[dict[str, Any]], kafka: KafkaSettings, *, holes: int = 0) -> None:
    """Every offset of the topic has exactly one row, `holes` offsets that hold no record have none."""
    seen = Counter((row["source_partition"], row["source_offset"]) for row in found)
    doubled = {position: count for position, count in seen.items() if count > 1}
    assert not doubled, f"doubled: {doubled}"
    ends: dict[TopicPartition, int] = end_offsets(kafka, kafka.topic)
    wanted = {(tp.partition, offset) for tp, end in ends.items() for offset in range(end)}
    assert not set(seen) - wanted, f"rows for offsets that do not exist: {sorted(set(seen) - wanted)[:5]}"
    missing = wanted - set(seen)
    assert len(missing) == holes, f"{len(missing)} of {len(wanted)} lost: {sorted(missing)[:5]}"
