"""Kafka as a block source: one Ray Data execution per epoch, one read task per partition, decoded in the same (fused) task."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import ray
from ray.data import Dataset, Datasource, ReadTask
from ray.data.block import BlockMetadata
from ray.util.annotations import RayDeprecationWarning

from pipeline.ingest.decode import decode_block
from pipeline.ingest.interfaces import BlockRef, Reading, ReadPlan, ReadTaskCoordinator
from pipeline.ingest.partition_read import PartitionRead
from pipeline.ingest.raw_block import RAW_SCHEMA
from pipeline.ingest.ray_coordinator import RayCoordinator
from pipeline.ingest.ray_data import iter_blocks
from pipeline.kafka.interfaces import PartitionReader
from pipeline.kafka.reader import LogReader
from pipeline.kafka.selected_reader import SelectedReader
from pipeline.kafka.settings import KafkaSettings


class KafkaSource:
    """A `BlockSource`: blocks lie in Ray's object store."""

    def __init__(self, kafka: KafkaSettings, plan: ReadPlan, coordinator: ReadTaskCoordinator) -> None:
        """Nothing is read before `blocks`.

        Args:
            kafka: where the broker is.
            plan: what to read.
            coordinator: of the generation; is pickled into the read tasks.
        """
        self._kafka = kafka
        self._plan = plan
        self._coordinator = coordinator

    def blocks(self, epoch: int) -> Iterator[BlockRef]:
        """See `BlockSource`; the execution begins with the first `next`."""
        return iter_blocks(self._dataset(KafkaEpoch(self._kafka, self._plan, epoch, self._coordinator)))

    async def fetch(self, ref: Any) -> pa.Table:
        """See `BlockSource`: a zero-copy view where the block lies on this machine."""
        return await ref

    def _dataset(self, datasource: KafkaEpoch) -> Dataset:
        """The Ray Data plan of one epoch: read and decode, fused into one task per partition.

        `max_retries=0`: a replayed read task would splice different blocks in where the lost ones stood.
        """
        num = len(self._plan.partitions)
        # Two overlapping epochs of read tasks must fit beside the models, or a partition would wait for ever; Ray counts in 1/10000.
        read_cpus = max(1, int(1e4 * self._plan.stream.read_cpus / num)) / 1e4
        # Fusion needs equal concurrency and CPUs on both stages, hence the same arguments.
        arguments: dict[str, Any] = {"num_cpus": read_cpus, "concurrency": num}
        with warnings.catch_warnings():
            # Ray 2.60 warns that `max_retries` can no longer be set from 2.64 on; until then it is the only way.
            warnings.simplefilter("ignore", RayDeprecationWarning)
            dataset = ray.data.read_datasource(datasource, override_num_blocks=num, ray_remote_args={"max_retries": 0}, **arguments)
            decoded: Dataset = dataset.map_batches(
                decode_block,
                batch_format="pyarrow",
                batch_size=None,
                fn_kwargs={"limits": self._plan.limits},
                max_retries=0,
                **arguments,
            )
        return decoded


class KafkaEpoch(Datasource):
    """One epoch of one topic as a Ray Data source."""

    def __init__(self, kafka: KafkaSettings, plan: ReadPlan, epoch: int, coordinator: ReadTaskCoordinator) -> None:
        """Arguments as `KafkaSource`."""
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's own gap
        self._connect = _Connect(kafka)
        self._plan = plan
        self._epoch = epoch
        self._coordinator = coordinator

    def get_name(self) -> str:
        """Name shown in Ray's own views."""
        return f"KafkaEpoch{self._epoch}"

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown: the epoch is a stretch of time."""
        return None

    def get_read_tasks(self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None) -> list[ReadTask]:
        """One task per partition."""
        metadata = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        reads = [PartitionRead(self._plan, self._epoch, number, self._coordinator, self._connect) for number in self._plan.partitions]
        return [ReadTask(read, metadata, RAW_SCHEMA) for read in reads]


class _Connect:
    """Opens the reader of a partition, in the worker."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    def __call__(self, plan: ReadPlan, partition: int, start: int) -> PartitionReader:
        reader = LogReader(self._kafka, plan.topic, partition, start, plan.topic_id)
        return SelectedReader(reader, plan.selected_offsets[partition]) if plan.selected_offsets else reader


def open_kafka_reading(kafka: KafkaSettings, plan: ReadPlan) -> Reading:
    """Source and coordinator of one generation; needs a running Ray."""
    coordinator = RayCoordinator(plan.starts, plan.stream.in_flight_blocks, plan.stream.in_flight_bytes)
    return Reading(KafkaSource(kafka, plan, coordinator), coordinator)
