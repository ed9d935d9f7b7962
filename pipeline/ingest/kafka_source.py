"""Kafka as a Ray Data source: one read task per partition and epoch, decoded in the same (fused) task.

A read task claims its partition from the generation's coordinator, reads from the offset it is told, and yields one
block per poll until the epoch is over, the asked-for end is reached or the generation stops.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import ray
from ray.data import Dataset, Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.exceptions import RayActorError
from ray.util.annotations import RayDeprecationWarning

from contracts.errors import IrstreamError, RetryLater, StopPipeline
from contracts.frame import RawRecord
from contracts.limits import InputLimits
from contracts.position import OffsetRange
from pipeline.ingest.decode import decode_block
from pipeline.ingest.raw_block import RAW_SCHEMA, RawBlock, pack_raw
from pipeline.ingest.splitting import split_block
from pipeline.kafka.reader import GapFound, LogReader
from pipeline.kafka.selected_reader import SelectedReader
from pipeline.kafka.settings import KafkaSettings
from pipeline.settings import StreamSettings

_IDLE_POLL_S = 0.5
_OUTAGE_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What one epoch reads.

    Attributes:
        partitions: which partitions, one read task each.
        stop_at: exclusive end per partition for a bounded read, empty for a continuous one.
        selected_offsets: of a bounded read, the offsets to read per partition, ascending; empty for all.
        limits: what is refused unread.
    """

    epoch: int
    topic: str
    topic_id: str
    partitions: tuple[int, ...]
    stop_at: dict[int, int]
    kafka: KafkaSettings
    stream: StreamSettings
    limits: InputLimits
    selected_offsets: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


class KafkaEpoch(Datasource):
    """One epoch of one topic as a Ray Data source."""

    def __init__(self, plan: ReadPlan, coordinator: Any) -> None:
        """Keep the plan and the handle of the generation's coordinator actor."""
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's own gap
        self._plan = plan
        self._coordinator = coordinator

    def get_name(self) -> str:
        """Name shown in Ray's own views."""
        return f"KafkaEpoch{self._plan.epoch}"

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown: the epoch is a stretch of time."""
        return None

    def get_read_tasks(self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None) -> list[ReadTask]:
        """One task per partition."""
        metadata = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [
            ReadTask(PartitionRead(self._plan, self._coordinator, partition), metadata, RAW_SCHEMA) for partition in self._plan.partitions
        ]


class PartitionRead:
    """Reads one partition for one epoch; called in a Ray worker."""

    def __init__(self, plan: ReadPlan, coordinator: Any, partition: int) -> None:
        """Everything the worker needs; no connection is opened here."""
        self._plan = plan
        self._coordinator = coordinator
        self._partition = partition
        self._holds_slot = False
        self._sequence = 0

    def __call__(self) -> Iterator[pa.Table]:
        """Yield one-row raw blocks until this epoch's part of the partition is read."""
        with suppress(RayActorError):  # the coordinator is gone: the generation is over, and nobody waits for its tasks
            yield from self._read()

    def _read(self) -> Iterator[pa.Table]:
        plan = self._plan
        start = ray.get(self._coordinator.claim.remote(plan.epoch, self._partition))
        if start is None:
            return
        try:
            with closing(self._connect(start)) as reader:
                fault: StopPipeline | None = None
                try:
                    yield from self._blocks(reader)
                except StopPipeline as error:
                    fault = error  # what was read before it still gets its rows
                ray.get(self._coordinator.finish.remote(plan.epoch, self._partition, reader.position, holds_slot=self._holds_slot))
                if fault is not None:
                    raise fault
        except IrstreamError as error:
            # The driver decides by class; a Ray task error would reach it wrapped and late.
            ray.get(self._coordinator.fail.remote(error))

    def _connect(self, start: int) -> LogReader | SelectedReader:
        """Connect; while the broker is away, wait as a reader that is connected already would."""
        plan = self._plan
        while True:
            try:
                reader = LogReader(plan.kafka, plan.topic, self._partition, start, plan.topic_id)
                return SelectedReader(reader, plan.selected_offsets[self._partition]) if plan.selected_offsets else reader
            except RetryLater:
                if not self._admitted():
                    raise
                time.sleep(_OUTAGE_POLL_S)

    def _admitted(self) -> bool:
        self._holds_slot = bool(ray.get(self._coordinator.admit.remote(holds_slot=self._holds_slot)))
        return self._holds_slot

    def _blocks(self, reader: LogReader | SelectedReader) -> Iterator[pa.Table]:
        plan = self._plan
        stop_at = plan.stop_at.get(self._partition)
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
            for part in split_block(block, plan.stream.block_max_bytes, plan.limits):
                if not self._holds_slot and not self._admitted():
                    reader.seek_to(part.span.start)  # the rest is read again, by the next epoch or the next start
                    return
                self._coordinator.charge.remote(sum(len(record.value or b"") for record in part.records), len(part.records))
                self._holds_slot = False
                yield pack_raw(replace(part, sequence=self._sequence))
                self._sequence += 1

    def _read_block(self, reader: LogReader | SelectedReader, stop_at: int | None, deadline: float) -> RawBlock | None:
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

    def _room(self, reader: LogReader | SelectedReader, stop_at: int | None, held: int) -> int:
        room = self._plan.stream.block_max_frames - held
        return room if stop_at is None else max(0, min(room, stop_at - reader.position))

    def _block(
        self, start: int, reader: LogReader | SelectedReader, records: list[RawRecord], gap_stop: int | None, read_s: float
    ) -> RawBlock:
        return RawBlock(
            span=OffsetRange(self._plan.topic, self._partition, start, reader.position),
            records=records,
            gap_stop=gap_stop,
            sequence=self._sequence,
            read_at=datetime.now(UTC),
            read_ms=read_s * 1e3 / max(1, len(records)),
        )


def epoch_dataset(plan: ReadPlan, coordinator: Any) -> Dataset:
    """The Ray Data plan of one epoch: read and decode, fused into one task per partition.

    `max_retries=0`: a replayed read task would splice different blocks in where the lost ones stood.
    """
    num = len(plan.partitions)
    # Fusion needs equal concurrency and CPUs on both stages, hence the same arguments.
    arguments: dict[str, Any] = {"num_cpus": plan.stream.read_cpus, "concurrency": num}
    with warnings.catch_warnings():
        # Ray 2.60 warns that `max_retries` can no longer be set from 2.64 on; until then it is the only way.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        dataset = ray.data.read_datasource(
            KafkaEpoch(plan, coordinator), override_num_blocks=num, ray_remote_args={"max_retries": 0}, **arguments
        )
        decoded: Dataset = dataset.map_batches(
            decode_block, batch_format="pyarrow", batch_size=None, fn_kwargs={"limits": plan.limits}, max_retries=0, **arguments
        )
    return decoded
