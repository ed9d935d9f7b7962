"""Positions of the frames that a run has rows for: from there they can be read again."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from contracts.archive_range import RangePartition
from contracts.arrow import Status
from contracts.errors import SettingsError
from pipeline.table.delta import reading


def run_positions(
    table: DeltaTable, run_id: str, topic: str | None = None, begin: str | None = None, end: str | None = None
) -> tuple[str, list[RangePartition]]:
    """Topic and partitions of a run's rows; gap rows stand for no frame.

    Args:
        table: one version of the results.
        run_id: whose rows.
        topic: where a run has rows of several; None: of the one it has.
        begin: rows ingested at this moment or later only, ISO 8601.
        end: rows ingested before it only.

    Raises:
        SettingsError: no such run, several topics, no row between the bounds, or a bound that is no time.
        RetryLater: the object store does not answer.
    """
    wanted = (pc.field("run_id") == run_id) & (pc.field("status") != Status.GAP.value)
    if topic is not None:
        wanted &= pc.field("source_topic") == topic
    if begin is not None:
        wanted &= pc.field("ingested_at") >= pa.scalar(_moment(begin, "from"), pa.timestamp("us", "UTC"))
    if end is not None:
        wanted &= pc.field("ingested_at") < pa.scalar(_moment(end, "to"), pa.timestamp("us", "UTC"))
    with reading(table):
        rows = table.to_pyarrow_dataset().to_table(columns=["source_topic", "source_partition", "source_offset"], filter=wanted)
    topics = sorted(pc.unique(rows["source_topic"]).to_pylist())
    if len(topics) != 1:
        raise SettingsError(
            expected=f"rows of run {run_id}, of one topic",
            got=f"those of {', '.join(topics)}" if topics else "none",
            where=f"run:{run_id}",
            action=f"Name one: run:{run_id}/{topics[0]}." if topics else "Check the run id and the bounds.",
        )
    partitions = []
    for number in sorted(pc.unique(rows["source_partition"]).to_pylist()):
        offsets = np.unique(rows.filter(pc.equal(rows["source_partition"], number))["source_offset"].to_numpy())
        partitions.append(_partition(number, offsets))
    return topics[0], partitions


def _partition(number: int, offsets: np.ndarray) -> RangePartition:
    breaks = np.flatnonzero(np.diff(offsets) != 1) + 1
    spans = tuple((int(part[0]), int(part[-1]) + 1) for part in np.split(offsets, breaks))
    return RangePartition(number=number, start=spans[0][0], stop=spans[-1][1], selected=spans if len(spans) > 1 else None)


def _moment(text: str, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(expected="a time such as 2026-05-01T12:30:00Z", got=repr(text), where=where, action="Correct it.") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
