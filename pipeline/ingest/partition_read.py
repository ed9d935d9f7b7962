"""The read task: one partition, or a piece of one, for one epoch, from Kafka (or memory, or files) to raw blocks.

It knows neither Ray nor a Kafka client. A read task claims its part from the generation's coordinator, reads from the offset it is told,
and yields one block per poll until the epoch is over, the asked-for end is reached or the generation stops.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from contracts.errors import IrstreamError, RetryLater, StopPipeline
from contracts.frame import RawRecord
from contracts.position import OffsetRange
from pipeline.ingest.interfaces import ReadingEnded, ReadPart, ReadPlan, ReadTaskCoordinator
from pipeline.ingest.raw_block import RawBlock, pack_raw
from pipeline.ingest.splitting import split_block
from pipeline.kafka.bounded_reader import BoundedReader
from pipeline.kafka.interfaces import PartitionReader
from pipeline.kafka.reader import GapFound

_IDLE_POLL_S = 0.5
_OUTAGE_POLL_S = 0.5


class PartitionRead:
    """Reads one part for one epoch; called once, in a Ray worker or a thread."""

    def __init__(
        self,
        plan: ReadPlan,
        epoch: int,
        part: ReadPart,
        coordinator: ReadTaskCoordinator,
        connect: Callable[[ReadPlan, int, int], PartitionReader],
    ) -> None:
        """Everything the task needs; no connection is opened here.

        Args:
            plan: of the generation.
            epoch: number of the epoch.
            part: which one.
            coordinator: of the generation.
            connect: opens the reader, given plan, partition and first offset; may raise RetryLater while the broker is away.
        """
        self._plan = plan.for_part(part)
        self._epoch = epoch
        self._part = part
        self._partition = part.partition
        self._coordinator = coordinator
        self._open = connect
        self._holds_slot = False
        self._sequence = 0

    def __call__(self) -> Iterator[pa.Table]:
        """Yield one-row raw blocks (`RAW_SCHEMA`) until this epoch's part is read."""
        with suppress(ReadingEnded):
            yield from self._read()

    def _read(self) -> Iterator[pa.Table]:
        start = self._coordinator.claim(self._epoch, self._part.number)
        if start is None:
            return
        try:
            with closing(self._connect(start)) as reader:
                fault: StopPipeline | None = None
                try:
                    yield from self._blocks(reader)
                except StopPipeline as error:
                    fault = error  # what was read before it still gets its rows
                self._coordinator.finish(self._epoch, self._part.number, reader.position, holds_slot=self._holds_slot)
                if fault is not None:
                    raise fault
        except IrstreamError as error:
            # The driver decides by class; a Ray task error would reach it wrapped and late.
            self._coordinator.fail(error)

    def _connect(self, start: int) -> PartitionReader:
        """Connect; while the broker is away, wait as a reader that is connected already would."""
        while True:
            try:
                reader = self._open(self._plan, self._partition, start)
                return reader if self._part.stop_at is None else BoundedReader(reader, self._part.stop_at)
            except RetryLater:
                if not self._admitted():
                    raise
                time.sleep(_OUTAGE_POLL_S)

    def _admitted(self) -> bool:
        self._holds_slot = self._coordinator.admit(holds_slot=self._holds_slot)
        return self._holds_slot

    def _blocks(self, reader: PartitionReader) -> Iterator[pa.Table]:
        plan = self._plan
        stop_at = self._part.stop_at
        # A bounded read ends at its offset, however long that takes.
        deadline = time.monotonic() + plan.stream.epoch_s if stop_at is None else math.inf
        while stop_at is not None or (self._sequence < plan.stream.epoch_max_blocks and time.monotonic() < deadline):
            if stop_at is not None and reader.position >= stop_at:
                return
            if not self._admitted():
                return
            try:
                block = self._read_block(reader, stop_at, deadline)
            except RetryLater:
                # The broker is away: nothing is lost or repeated by asking it again, so the generation need not end.
                time.sleep(_OUTAGE_POLL_S)
                continue
            if block is None:
                continue
            for part in split_block(block, plan.stream.block_max_bytes, plan.limits, plan.stream.block_max_pixels):
                if not self._holds_slot and not self._admitted():
                    reader.seek_to(part.span.start)  # the rest is read again, by the next epoch or the next start
                    return
                self._coordinator.charge(sum(len(record.value or b"") for record in part.records), len(part.records))
                self._holds_slot = False
                yield pack_raw(replace(part, sequence=self._sequence))
                self._sequence += 1

    def _read_block(self, reader: PartitionReader, stop_at: int | None, deadline: float) -> RawBlock | None:
        stream = self._plan.stream
        start = reader.position
        gap_stop: int | None = None
        began = time.thread_time()  # of the processor: waiting for a quiet camera is no work
        try:
            idle_s = max(0.0, min(_IDLE_POLL_S, deadline - time.monotonic()))
            records = list(reader.poll(self._room(reader, stop_at, 0), idle_s))
            first_at = time.perf_counter()
            num_bytes = sum(len(record.value or b"") for record in records)
            while records and len(records) < stream.block_max_frames and num_bytes < stream.block_max_bytes:
                left_s = stream.block_max_wait_s - (time.perf_counter() - first_at)
                room = self._room(reader, stop_at, len(records))
                if left_s <= 0 or room == 0:
                    break
                try:
                    more = reader.poll(room, left_s)
                except (RetryLater, StopPipeline):
                    break  # what is in hand stays a block; the next poll meets the same again
                records += more
                num_bytes += sum(len(record.value or b"") for record in more)
        except GapFound as gap:
            if reader.position != start:
                # What was read before the hole is a block of its own; the next poll meets the gap again.
                return self._block(start, reader, records, None, time.thread_time() - began)
            gap_stop = gap.stop if stop_at is None else min(gap.stop, stop_at)
            reader.seek_to(gap_stop)
            return self._block(start, reader, [], gap_stop, 0.0)
        if reader.position == start:
            return None
        return self._block(start, reader, records, None, time.thread_time() - began)

    def _room(self, reader: PartitionReader, stop_at: int | None, held: int) -> int:
        room = self._plan.stream.block_max_frames - held
        return room if stop_at is None else max(0, min(room, stop_at - reader.position))

    def _block(self, start: int, reader: PartitionReader, records: list[RawRecord], gap_stop: int | None, read_s: float) -> RawBlock:
        return RawBlock(
            span=OffsetRange(self._plan.topic, self._partition, start, reader.position),
            records=records,
            gap_stop=gap_stop,
            sequence=self._sequence,
            read_at=datetime.now(UTC),
            read_ms=read_s * 1e3 / max(1, len(records)),
        )
