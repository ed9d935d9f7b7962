"""Rows of a table that are worth a look, found without holding the table in memory."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from contracts.arrow import RESULTS_SCHEMA, Status, table_to_outcomes
from contracts.result import FrameResult
from deploy.demo.results import choose
from pipeline.table.delta import reading

_BATCH_ROWS = 2000
_APART_S = 1.0
"""Of frames of a sensor that lie nearer together one is enough."""
_SPARE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Rows that are wanted; all conditions hold.

    Attributes:
        sensors: ids; none: all.
        since: first moment of capture; None: from the beginning.
        track: id of a track; None: any.
    """

    sensors: tuple[str, ...] = ()
    since: datetime | None = None
    track: str | None = None


def rows_of(table: DeltaTable, run_id: str, wanted: Wanted) -> Iterator[FrameResult]:
    """Frames with a result, batch by batch, in no order.

    Raises:
        RetryLater: the object store does not answer.
    """
    chosen = (pc.field("run_id") == run_id) & (pc.field("status") == Status.OK.value)
    if wanted.sensors:
        chosen &= pc.field("sensor_id").isin(list(wanted.sensors))
    if wanted.since is not None:
        chosen &= pc.field("captured_at") >= pa.scalar(wanted.since, pa.timestamp("us", "UTC"))
    with reading(table):
        dataset = table.to_pyarrow_dataset()
        columns = [name for name in RESULTS_SCHEMA.names if name in dataset.schema.names]  # a table of an earlier version has fewer
        if wanted.track is not None and "detection_track_id" not in columns:
            return
        for batch in dataset.scanner(columns=columns, filter=chosen, batch_size=_BATCH_ROWS).to_batches():
            rows = pa.Table.from_batches([batch])
            if wanted.track is not None:
                rows = rows.filter(pa.array([wanted.track in (ids or ()) for ids in rows["detection_track_id"].to_pylist()], pa.bool_()))
            yield from (each for each in table_to_outcomes(rows) if isinstance(each, FrameResult))


@dataclass(slots=True)
class _Few:
    """At most so many of a stream, evenly spread, whose number nobody knows before the end."""

    most: int
    kept: list[FrameResult] = field(default_factory=list)
    every: int = 1
    seen: int = 0

    def add(self, result: FrameResult) -> None:
        if self.seen % self.every == 0:
            self.kept.append(result)
        self.seen += 1
        if len(self.kept) > self.most:
            self.kept, self.every = self.kept[::2], self.every * 2


def spread_over(rows: Iterator[FrameResult], num: int) -> list[FrameResult]:
    """Up to `num` frames: every sensor in turn, frames with shown detections first, spread over time."""
    few: defaultdict[tuple[str, bool], _Few] = defaultdict(lambda: _Few(4 * num))
    for result in rows:
        few[result.sensor_id, bool(result.shown)].add(result)
    ordered = sorted((each for some in few.values() for each in some.kept), key=lambda result: (result.captured_at, result.position))
    return choose(ordered, num)


def worst_of(rows: Iterator[FrameResult], num: int) -> list[FrameResult]:
    """The `num` frames that the networks are least sure of: by the lowest score of a shown detection; of a sensor one each second."""
    ties, heap = count(), list[tuple[float, int, FrameResult]]()
    for result in rows:
        if result.shown:
            entry = (-doubt(result), next(ties), result)
            if len(heap) < _SPARE * num:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)
    chosen: list[FrameResult] = []
    for _, _, result in sorted(heap, key=lambda entry: (-entry[0], entry[2].position)):
        near = (
            each.sensor_id == result.sensor_id and abs((each.captured_at - result.captured_at).total_seconds()) < _APART_S
            for each in chosen
        )
        if len(chosen) < num and not any(near):
            chosen.append(result)
    return chosen


def doubt(result: FrameResult) -> float:
    """Lowest score of a shown detection; there is one."""
    return min(found.score for found in result.shown)


def in_order(rows: Iterator[FrameResult], most: int) -> tuple[list[FrameResult], int]:
    """The first `most` frames by position, and how many there are in all; no more than those are held."""
    numbers = count()
    seen = (result for result, _ in zip(rows, numbers, strict=False))
    first = heapq.nsmallest(most, seen, key=lambda result: result.position)
    return first, next(numbers)
