"""Frames that a replay feeds through again: those a run has rejected, by reference to where they still lie in Kafka."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow.compute as pc
from deltalake import DeltaTable

from contracts.arrow import Status
from contracts.errors import RejectReason
from pipeline.table.delta import reading

SelectedOffsets = dict[int, tuple[int, ...]]


def rejected_offsets(table: DeltaTable, run_id: str, topic: str, reasons: Iterable[RejectReason] = ()) -> SelectedOffsets:
    """Offsets of the rejected rows of a run, ascending, per partition.

    Args:
        table: the results; this version of them.
        run_id: whose rows.
        topic: of the frames.
        reasons: only these; none for all.

    Raises:
        RetryLater: the object store does not answer.
    """
    wanted = (pc.field("run_id") == run_id) & (pc.field("source_topic") == topic) & (pc.field("status") == Status.REJECTED.value)
    if names := [reason.value for reason in reasons]:
        wanted &= pc.field("reason").isin(names)
    with reading(table):
        rows = table.to_pyarrow_dataset().to_table(columns=["source_partition", "source_offset"], filter=wanted)
    found: dict[int, set[int]] = {}
    for partition, offset in zip(rows["source_partition"].to_pylist(), rows["source_offset"].to_pylist(), strict=True):
        found.setdefault(partition, set()).add(offset)
    return {partition: tuple(sorted(offsets)) for partition, offsets in sorted(found.items())}
