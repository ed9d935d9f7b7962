"""The one place that touches Ray Data's executor.

`Dataset.iter_internal_ref_bundles` is a developer API (Ray 2.60); everything the stream wants of it stands here.
"""

from __future__ import annotations

from collections.abc import Iterator

from ray.data import DataContext, Dataset

from pipeline.ingest.interfaces import BlockRef


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
