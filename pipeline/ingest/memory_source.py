"""Memory as a block source: one thread per read task, no broker and no Ray; everything in between is what Kafka's blocks go through.

Sentinels in the topic (`CRASH`, `REPLAY`, `EOF`, `DROP`, `STALL`) make what Ray Data and its workers may do to a read happen at one
place of the log, once.
"""

from __future__ import annotations

import queue
from functools import partial

from contracts.position import OffsetRange
from pipeline.ingest.interfaces import BlockRef, Reading, ReadPart, ReadPlan, ReadTaskCoordinator
from pipeline.ingest.thread_source import ThreadSource, local_coordinator
from pipeline.kafka.interfaces import PartitionReader
from pipeline.kafka.memory_topic import EOF, REPLAY, Interruption, MemoryReader, MemoryTopic
from pipeline.kafka.selected_reader import SelectedReader


class WorkerDied(Exception):  # noqa: N818 - as Ray's WorkerCrashedError, it says what happened
    """The worker of a read task is gone."""


class MemorySource(ThreadSource):
    """A `BlockSource` of a `MemoryTopic`; an epoch raises `WorkerDied` where a `CRASH` was reached."""

    def __init__(self, topic: MemoryTopic, plan: ReadPlan, coordinator: ReadTaskCoordinator) -> None:
        """Nothing is read before `blocks`."""
        super().__init__(lambda _: partial(_connect, topic), plan, coordinator)
        self._topic = topic

    def _read(self, epoch: int, part: ReadPart, arrived: queue.SimpleQueue[BlockRef | Exception | None]) -> bool:
        try:
            return super()._read(epoch, part, arrived)
        except Interruption as happened:
            if happened.sentinel not in (REPLAY, EOF):
                raise WorkerDied(f"read task of epoch {epoch}, partition {part.partition}") from happened
            return happened.sentinel is REPLAY

    def _arrives(self, span: OffsetRange) -> bool:
        return not self._topic.take_drop(span.partition, span.start, span.stop)


def _connect(topic: MemoryTopic, plan: ReadPlan, partition: int, start: int) -> PartitionReader:
    reader = MemoryReader(topic, partition, start, plan.topic_id)
    return SelectedReader(reader, plan.selected_offsets[partition]) if partition in plan.selected_offsets else reader


def open_memory_reading(topic: MemoryTopic, plan: ReadPlan) -> Reading:
    """Source and coordinator of one generation."""
    coordinator = local_coordinator(plan)
    return Reading(MemorySource(topic, plan, coordinator), coordinator)
