"""Frames that a replay feeds through again: those a run has rejected, by reference to where they still lie in Kafka."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from contracts.arrow import Status
from contracts.errors import RejectReason, RetryLater
from pipeline.table.delta import plain_text

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
    try:
        rows = table.to_pyarrow_dataset().to_table(columns=["source_partition", "source_offset"], filter=wanted)
    except (DeltaError, OSError) as error:
        raise RetryLater(
            expected="the files of the table to be readable",
            got=plain_text(error),
            where=str(table.table_uri),
            action="Check network and credentials.",
        ) from error
    found: dict[int, set[int]] = {}
    for partition, offset in zip(rows["source_partition"].to_pylist(), rows["source_offset"].to_pylist(), strict=True):
        found.setdefault(partition, set()).add(offset)
    return {partition: tuple(sorted(offsets)) for partition, offsets in sorted(found.items())}
