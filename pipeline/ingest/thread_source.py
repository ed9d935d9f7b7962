"""Threads of this process as a block source: one for each read task, no Ray; everything in between is what Ray's blocks go through."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from contracts.position import OffsetRange
from pipeline.ingest.decode import decode_block
from pipeline.ingest.interfaces import BlockRef, Reading, ReadPart, ReadPlan, ReadTaskCoordinator
from pipeline.ingest.local_coordinator import LocalCoordinator
from pipeline.ingest.partition_read import PartitionRead
from pipeline.ingest.raw_block import unpack_raw
from pipeline.kafka.interfaces import PartitionReader

ConnectTo = Callable[[int], Callable[[ReadPlan, int, int], PartitionReader]]
_Arrived = queue.SimpleQueue[BlockRef | Exception | None]


class ThreadSource:
    """A `BlockSource`: blocks are tables in this process."""

    def __init__(self, connect_to: ConnectTo, plan: ReadPlan, coordinator: ReadTaskCoordinator) -> None:
        """Nothing is read before `blocks`; arguments as `RaySource`."""
        self._connect_to = connect_to
        self._plan = plan
        self._coordinator = coordinator

    def blocks(self, epoch: int) -> Iterator[BlockRef]:
        """See `BlockSource`."""
        arrived: _Arrived = queue.SimpleQueue()
        parts = self._plan.parts(epoch)
        # As Ray Data does it: so many at once, each begun in its turn.
        running = threading.Semaphore(self._plan.num_readers)
        threading.Thread(target=self._begin, args=(epoch, parts, arrived, running), name=f"read-{epoch}", daemon=True).start()
        return self._take(arrived, len(parts))

    async def fetch(self, ref: Any) -> pa.Table:
        """See `BlockSource`."""
        return ref

    def _begin(self, epoch: int, parts: tuple[ReadPart, ...], arrived: _Arrived, running: threading.Semaphore) -> None:
        for part in parts:
            running.acquire()
            name = f"read-{epoch}-{part.number}"
            threading.Thread(target=self._run, args=(epoch, part, arrived, running), name=name, daemon=True).start()

    def _take(self, arrived: _Arrived, running: int) -> Iterator[BlockRef]:
        while running:
            item = arrived.get()
            if item is None:
                running -= 1
            elif isinstance(item, Exception):
                raise item
            else:
                yield item

    def _run(self, epoch: int, part: ReadPart, arrived: _Arrived, running: threading.Semaphore) -> None:
        try:
            while self._read(epoch, part, arrived):
                pass
        except Exception as error:  # noqa: BLE001 - whatever it is ends the epoch, in the thread that takes its blocks
            arrived.put(error)
        finally:
            running.release()
            arrived.put(None)

    def _read(self, epoch: int, part: ReadPart, arrived: _Arrived) -> bool:
        """One start of the read task; whether it is started again."""
        read = PartitionRead(self._plan, epoch, part, self._coordinator, self._connect_to(part.partition))
        for raw in read():
            span = unpack_raw(raw).span
            block = decode_block(raw, self._plan.limits)
            if self._arrives(span):
                arrived.put(BlockRef(block, block.nbytes))
        return False

    def _arrives(self, span: OffsetRange) -> bool:
        return True


def open_thread_reading(connect_to: ConnectTo, plan: ReadPlan) -> Reading:
    """Source and coordinator of one generation."""
    coordinator = local_coordinator(plan)
    return Reading(ThreadSource(connect_to, plan, coordinator), coordinator)


def local_coordinator(plan: ReadPlan) -> LocalCoordinator:
    """Coordinator of a generation within this process."""
    return LocalCoordinator(plan.part_starts, plan.stream.in_flight_blocks, plan.stream.in_flight_bytes, plan.order)
