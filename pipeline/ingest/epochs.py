"""The one place that touches Ray Data's executor: epochs run one after the other, slightly overlapped.

`Dataset.iter_internal_ref_bundles` is a developer API (Ray 2.60); everything the stream wants of it stands here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ray.data import DataContext, Dataset


@dataclass(frozen=True, slots=True, eq=False)
class BlockRef:
    """A block somewhere in the cluster.

    Attributes:
        ref: ObjectRef of a one-row table (`contracts.block.BLOCK_SCHEMA`).
        num_bytes: its size in the object store.
    """

    ref: Any
    num_bytes: int


def configure_ray_data() -> None:
    """Settings of Ray Data for a stream (reference: DataContext); call once per driver process.

    Blocks must leave at once (`target_max_block_size=1`), an idle stream is no stuck job, and nothing is printed.
    """
    context = DataContext.get_current()
    context.target_max_block_size = 1
    context.target_min_block_size = 1
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False
    context.execution_options.verbose_progress = False
    context.execution_no_progress_timeout_s = -1
    context.issue_detectors_config.detectors = []


def iter_blocks(dataset: Dataset) -> Iterator[BlockRef]:
    """Blocks in the order they come; an epoch that read nothing yields none.

    An execution without output hands over one empty block without our schema, which is skipped here.
    """
    for bundle in dataset.iter_internal_ref_bundles():
        for entry in bundle.blocks:
            if entry.metadata.num_rows:
                yield BlockRef(entry.ref, int(entry.metadata.size_bytes or 0))


class EpochThread(threading.Thread):
    """Runs one epoch and hands its blocks on; a failure is kept in `error`, the end is told by `ended` and `on_end`."""

    def __init__(self, epoch: int, dataset: Dataset, on_block: Callable[[BlockRef], None], on_end: Callable[[EpochThread], None]) -> None:
        """Prepare; `start()` begins the execution.

        Args:
            epoch: number of the epoch.
            dataset: its plan.
            on_block: called in this thread for each block.
            on_end: called in this thread once, after the last block or a failure.
        """
        super().__init__(name=f"epoch-{epoch}", daemon=True)
        self.epoch = epoch
        self.error: BaseException | None = None
        self.ended = threading.Event()
        self._dataset = dataset
        self._on_block = on_block
        self._on_end = on_end

    def run(self) -> None:
        """Execute the epoch."""
        try:
            for block in iter_blocks(self._dataset):
                self._on_block(block)
        except Exception as error:  # noqa: BLE001 - whatever ends an epoch ends the generation, by its owner
            self.error = error
        finally:
            self.ended.set()
            self._on_end(self)
