"""Ray Data as a block source: one execution per epoch, one read task for each part, decoded in the same (fused) task."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
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

Connect = Callable[[ReadPlan, int, int], PartitionReader]
"""Opens the reader of a partition, in the worker: given plan, partition and first offset."""
ConnectTo = Callable[[int], Connect]
"""Gives what opens the reader of one partition, and so need not know the others."""


class RaySource:
    """A `BlockSource`: blocks lie in Ray's object store."""

    def __init__(self, name: str, connect_to: ConnectTo, plan: ReadPlan, coordinator: ReadTaskCoordinator) -> None:
        """Nothing is read before `blocks`.

        Args:
            name: of an epoch in Ray's own views, before its number.
            connect_to: asked here; its answers are pickled into the read tasks.
            plan: what to read.
            coordinator: of the generation; is pickled into the read tasks.
        """
        self._name = name
        self._connect_to = connect_to
        self._plan = plan
        self._coordinator = coordinator

    def blocks(self, epoch: int) -> Iterator[BlockRef]:
        """See `BlockSource`; the execution begins with the first `next`."""
        return iter_blocks(self._dataset(RayEpoch(f"{self._name}{epoch}", self._connect_to, self._plan, epoch, self._coordinator)))

    async def fetch(self, ref: Any) -> pa.Table:
        """See `BlockSource`: a zero-copy view where the block lies on this machine."""
        return await ref

    def _dataset(self, datasource: RayEpoch) -> Dataset:
        """The Ray Data plan of one epoch: read and decode, fused into one task per part.

        `max_retries=0`: a replayed read task would splice different blocks in where the lost ones stood.
        """
        num = self._plan.num_readers
        # Two overlapping epochs of read tasks must fit beside the models, or a partition would wait for ever; Ray counts in 1/10000.
        read_cpus = max(1, int(1e4 * self._plan.stream.read_cpus / num)) / 1e4
        # Fusion needs equal concurrency and CPUs on both stages, hence the same arguments.
        arguments: dict[str, Any] = {"num_cpus": read_cpus, "concurrency": num}
        with warnings.catch_warnings():
            # Ray 2.60 warns that `max_retries` can no longer be set from 2.64 on; until then it is the only way.
            warnings.simplefilter("ignore", RayDeprecationWarning)
            dataset = ray.data.read_datasource(
                datasource, override_num_blocks=datasource.num_parts, ray_remote_args={"max_retries": 0}, **arguments
            )
            decoded: Dataset = dataset.map_batches(
                decode_block,
                batch_format="pyarrow",
                batch_size=None,
                fn_kwargs={"limits": self._plan.limits},
                max_retries=0,
                **arguments,
            )
        return decoded


class RayEpoch(Datasource):
    """One epoch as a Ray Data source."""

    def __init__(self, name: str, connect_to: ConnectTo, plan: ReadPlan, epoch: int, coordinator: ReadTaskCoordinator) -> None:
        """Arguments as `RaySource`."""
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's own gap
        self._name = name
        self._connect_to = connect_to
        self._plan = plan
        self._epoch = epoch
        self._coordinator = coordinator

    @property
    def num_parts(self) -> int:
        """Read tasks of the epoch."""
        return len(self._plan.parts(self._epoch))

    def get_name(self) -> str:
        """Name shown in Ray's own views."""
        return self._name

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown: the epoch is a stretch of time."""
        return None

    def get_read_tasks(self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None) -> list[ReadTask]:
        """One task per part."""
        metadata = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        plan, connect_to = self._plan, self._connect_to
        reads = [PartitionRead(plan, self._epoch, part, self._coordinator, connect_to(part.partition)) for part in plan.parts(self._epoch)]
        return [ReadTask(read, metadata, RAW_SCHEMA) for read in reads]


def open_ray_reading(name: str, connect_to: ConnectTo, plan: ReadPlan) -> Reading:
    """Source and coordinator of one generation; needs a running Ray. Arguments as `RaySource`."""
    coordinator = RayCoordinator(plan.part_starts, plan.stream.in_flight_blocks, plan.stream.in_flight_bytes, plan.order)
    return Reading(RaySource(name, connect_to, plan, coordinator), coordinator)
