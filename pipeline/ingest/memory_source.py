"""Memory as a block source: one thread per read task, no broker and no Ray; everything in between is what Kafka's blocks go through.

Sentinels in the topic (`CRASH`, `REPLAY`, `EOF`, `DROP`, `STALL`) make what Ray Data and its workers may do to a read happen at one
place of the log, once.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa

from pipeline.ingest.decode import decode_block
from pipeline.ingest.interfaces import BlockRef, Reading, ReadPlan, ReadTaskCoordinator
from pipeline.ingest.local_coordinator import LocalCoordinator
from pipeline.ingest.partition_read import PartitionRead
from pipeline.ingest.raw_block import unpack_raw
from pipeline.kafka.interfaces import PartitionReader
from pipeline.kafka.memory_topic import EOF, REPLAY, Interruption, MemoryReader, MemoryTopic
from pipeline.kafka.selected_reader import SelectedReader


class WorkerDied(Exception):  # noqa: N818 - as Ray's WorkerCrashedError, it says what happened
    """The worker of a read task is gone."""


class MemorySource:
    """A `BlockSource`: blocks are tables in this process."""

    def __init__(self, topic: MemoryTopic, plan: ReadPlan, coordinator: ReadTaskCoordinator) -> None:
        """Nothing is read before `blocks`."""
        self._topic = topic
        self._plan = plan
        self._coordinator = coordinator

    def blocks(self, epoch: int) -> Iterator[BlockRef]:
        """See `BlockSource`.

        Raises:
            WorkerDied: a `CRASH` was reached.
        """
        arrived: queue.SimpleQueue[BlockRef | Exception | None] = queue.SimpleQueue()
        for partition in self._plan.partitions:
            name = f"read-{epoch}-{partition}"
            threading.Thread(target=self._run, args=(epoch, partition, arrived), name=name, daemon=True).start()
        return self._take(arrived)

    async def fetch(self, ref: Any) -> pa.Table:
        """See `BlockSource`."""
        return ref

    def _take(self, arrived: queue.SimpleQueue[BlockRef | Exception | None]) -> Iterator[BlockRef]:
        running = len(self._plan.partitions)
        while running:
            item = arrived.get()
            if item is None:
                running -= 1
            elif isinstance(item, Exception):
                raise item
            else:
                yield item

    def _run(self, epoch: int, partition: int, arrived: queue.SimpleQueue[BlockRef | Exception | None]) -> None:
        try:
            while self._read(epoch, partition, arrived):
                pass
        except Exception as error:  # noqa: BLE001 - whatever it is ends the epoch, in the thread that takes its blocks
            arrived.put(error)
        finally:
            arrived.put(None)

    def _read(self, epoch: int, partition: int, arrived: queue.SimpleQueue[BlockRef | Exception | None]) -> bool:
        """One start of the read task; whether it is started again."""
        read = PartitionRead(self._plan, epoch, partition, self._coordinator, partial(_connect, self._topic))
        try:
            for raw in read():
                span = unpack_raw(raw).span
                block = decode_block(raw, self._plan.limits)
                if not self._topic.take_drop(partition, span.start, span.stop):
                    arrived.put(BlockRef(block, block.nbytes))
        except Interruption as happened:
            if happened.sentinel not in (REPLAY, EOF):
                raise WorkerDied(f"read task of epoch {epoch}, partition {partition}") from happened
            return happened.sentinel is REPLAY
        return False


def _connect(topic: MemoryTopic, plan: ReadPlan, partition: int, start: int) -> PartitionReader:
    reader = MemoryReader(topic, partition, start, plan.topic_id)
    return SelectedReader(reader, plan.selected_offsets[partition]) if plan.selected_offsets else reader


def open_memory_reading(topic: MemoryTopic, plan: ReadPlan) -> Reading:
    """Source and coordinator of one generation."""
    coordinator = LocalCoordinator(plan.starts, plan.stream.in_flight_blocks, plan.stream.in_flight_bytes)
    return Reading(MemorySource(topic, plan, coordinator), coordinator)
