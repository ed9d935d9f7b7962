"""A whole stream without broker and Ray: topic, group, producer and execution in memory; router, committer and Delta table are real."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from contracts.codecs import encode_pixels
from contracts.frame import ContentType
from contracts.limits import InputLimits
from contracts.position import TopicPartition
from contracts.result import Gap, Outcome
from pipeline.events.alerts import AlertPolicy, AlertPublisher
from pipeline.events.dead_letters import DeadLetterPublisher
from pipeline.inference.router import ModelHandles
from pipeline.ingest.interfaces import BlockRef, BlockSource, Reading, ReadPlan
from pipeline.ingest.loop_thread import LoopThread
from pipeline.ingest.memory_source import open_memory_reading
from pipeline.kafka.memory_group import MemoryMembership
from pipeline.kafka.memory_topic import MemoryTopic, Message
from pipeline.kafka.settings import KafkaSettings
from pipeline.runtime.job import StreamJob
from pipeline.runtime.progress import StreamProgress, StreamSummary
from pipeline.runtime.resources import StreamResources
from pipeline.runtime.stats import StreamStats
from pipeline.runtime.whole import open_table, supervise
from pipeline.settings import StreamSettings
from pipeline.table.settings import SinkSettings
from tests.pipeline.fakes import MemoryProducer
from tests.pipeline.inference.rule_networks import RuleNetworks
from tests.pipeline.results import read_rows

TIMEOUT_S = 120.0  # only against hanging


@cache
def _image(mark: int) -> bytes:
    pixels_HW = np.full((8, 64), 7, np.uint8)
    pixels_HW[0, 0] = mark
    return encode_pixels(pixels_HW, ContentType.PNG)


def frames(num: int, mark: int = 1) -> list[Message]:
    """Messages with one target each, as `RuleNetworks` answers them."""
    now_ms = round(time.time() * 1000)  # a real broker's retention deletes what is old
    return [Message(b"cam", _image(mark), (), now_ms + index) for index in range(num)]


class CountedSource:
    """A block source that notes which epochs were begun."""

    def __init__(self, source: BlockSource, begun: list[int]) -> None:
        self._source = source
        self._begun = begun

    def blocks(self, epoch: int) -> Iterator[BlockRef]:
        self._begun.append(epoch)
        return self._source.blocks(epoch)

    async def fetch(self, ref: Any) -> pa.Table:
        return await self._source.fetch(ref)


class MemoryStream:
    """A stream of one topic into one table; what a test wants to change it changes before `run`."""

    def __init__(
        self, topic: MemoryTopic, path: Path, models: ModelHandles | None = None, policy: AlertPolicy = "events", **stream: Any
    ) -> None:
        self.topic = topic
        self.path = path
        self.producer = MemoryProducer(instant=True)
        self.members = MemoryMembership(found.partitions if (found := topic.find(topic.name)) else ())
        self.stop = threading.Event()
        self.plans: list[ReadPlan] = []
        self.epochs: list[int] = []
        self.job = StreamJob(
            run_id="live",
            kafka=KafkaSettings(topic=topic.name, probe_interval_s=0.05).model_copy(update={"session_timeout_s": 0.05}),
            stream=StreamSettings(**{"block_max_frames": 4, "restart_backoff_s": 0.01, "block_max_wait_s": 0.001} | stream),
            limits=InputLimits(),
            sink=SinkSettings(table=str(path), commit_interval_s=0.01, alerts=policy),
            models=models or RuleNetworks().handles(),
        )

    def open_reading(self, plan: ReadPlan) -> Reading:
        """As the stream's own; notes the plan and the epochs."""
        self.plans.append(plan)
        reading = open_memory_reading(self.topic, plan)
        return Reading(CountedSource(reading.source, self.epochs), reading.coordinator)

    def run(self, ends: Mapping[TopicPartition, int], on_progress: Callable[[StreamProgress], None] | None = None) -> StreamSummary:
        """Until everything before `ends` has its row, or until `stop`."""
        topic = self.topic.find(self.topic.name)
        assert topic is not None
        with (
            closing(LoopThread("router")) as router,
            closing(AlertPublisher(self.producer, self.job.kafka.alerts_topic, self.job.run_id, self.job.alerts)) as alerts,
        ):
            dead_letters = DeadLetterPublisher(self.producer, self.job.kafka.dead_letter_topic, self.job.run_id)
            resources = StreamResources(router.loop, alerts, dead_letters, self.members, self.topic, lambda: self.topic, self.open_reading)
            return supervise(
                self.job,
                topic,
                open_table(self.job, topic),
                resources,
                ends=ends,
                stop=self.stop,
                stats=StreamStats(),
                on_progress=on_progress,
                progress_s=0.05,
            )

    def catch_up(self) -> StreamSummary:
        """Until everything that is in the topic now has its row."""
        return self.run(self.topic.end_offsets(self.topic.name))

    def rows(self) -> list[Outcome]:
        """The table, ordered by position."""
        return read_rows(self.path)

    def offsets(self) -> dict[int, list[int]]:
        """Offsets in the table per partition, as often as they are there; all those of a gap."""
        found: dict[int, list[int]] = {}
        for row in self.rows():
            stop = row.stop if isinstance(row, Gap) else row.position.offset + 1
            found.setdefault(row.position.partition, []).extend(range(row.position.offset, stop))
        return found
