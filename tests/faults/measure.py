"""One fault done to a stream, and what it cost."""

from __future__ import annotations

import json
import os
import time
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from deltalake import DeltaTable

from pipeline.ops.audit import audit
from tests.faults.faults import WHOLE, Fault
from tests.faults.scene import RUN_ID, Moment, Scene

# How long frames flow before and after a fault: where nobody reads the latencies, just long enough to be under load.
WINDOW_S = 6.0 if WHOLE else 1.5
PROOF_S = 1.0


@dataclass(frozen=True)
class Latency:
    """Message time to visible row, seconds; None without a frame."""

    p50_s: float | None
    p99_s: float | None

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Latency:
        """Of some frames."""
        values = list(seconds)
        if not values:
            return cls(None, None)
        p50, p99 = np.percentile(values, [50, 99]).tolist()
        return cls(round(p50, 2), round(p99, 2))


@dataclass(frozen=True)
class Cost:
    """One row of the table of results.

    Attributes:
        frames: with a message time from the beginning of the fault until the recovery (some wait in the producer for a broker).
        lost, doubled: offsets, by the auditor, over everything up to now.
        fault_s: how long the fault itself lasted.
        recover_s: from its end until every frame published before its end, and within `PROOF_S` after it, had its row: a frame
            from before may have passed what was killed.
        stall_s: longest time without a new row.
        starts: how often the supervisor had to start a driver.
        before, during, after: latency of frames visible before the fault, of all others published until the recovery, and
            of those after it.
        series: per frame, seconds since the beginning of the fault and latency.
    """

    fault: str
    frames: int
    lost: int
    doubled: int
    fault_s: float
    recover_s: float
    stall_s: float
    starts: int
    before: Latency
    during: Latency
    after: Latency
    series: list[tuple[float, float]]


def suffer(scene: Scene, fault: Fault) -> Cost:
    """Do it, wait until all is well again, audit.

    Raises:
        TimeoutError: it does not get well.
    """
    ends = scene.ends()
    scene.wait(lambda: scene.caught_up_with(ends), "a healthy stream before the fault")
    time.sleep(WINDOW_S)
    starts = sum(driver.starts - 1 for driver in scene.drivers)
    began = time.time()
    fault.inject(scene)
    ended = time.time()
    time.sleep(PROOF_S)
    ends = scene.ends()
    recovered = scene.wait(lambda: scene.caught_up_with(ends), f"recovery from: {fault.name}", fault.limit_s)
    time.sleep(WINDOW_S)
    ends = scene.ends()
    last = scene.wait(lambda: scene.caught_up_with(ends), "a healthy stream after the fault")
    series = latencies(scene, began - WINDOW_S, last)
    lost, doubled = count_faults(scene)
    return Cost(
        fault=fault.name,
        frames=sum(began <= at <= recovered for at, _ in series),
        lost=lost,
        doubled=doubled,
        fault_s=round(ended - began, 1),
        recover_s=round(recovered - ended, 1),
        stall_s=round(longest_stall(scene.moments, began, recovered), 1),
        starts=sum(driver.starts - 1 for driver in scene.drivers) - starts,
        before=Latency.of(value for at, value in series if at + value < began),
        during=Latency.of(value for at, value in series if at + value >= began and at <= recovered),
        after=Latency.of(value for at, value in series if at > recovered),
        series=[(round(at - began, 2), round(value, 2)) for at, value in series],
    )


def count_faults(scene: Scene) -> tuple[int, int]:
    """Offsets lost and doubled, by the auditor."""
    found = list(audit(scene.kafka, DeltaTable(str(scene.table)), RUN_ID))
    lost = sum(len(span) for each in found for span in (*each.lost, *each.unproved))
    return lost, sum(len(span) for each in found for span in (*each.doubled, *each.beyond))


def latencies(scene: Scene, since: float, until: float) -> list[tuple[float, float]]:
    """Message time and latency of every frame published in between, as a reader of the table saw it (to a quarter of a second)."""
    columns = ["source_partition", "source_offset", "ingested_at"]
    rows = DeltaTable(str(scene.table)).to_pyarrow_dataset().to_table(columns=columns)
    moments = [moment for moment in scene.moments if moment.at >= since]
    found = []
    for partition in range(scene.partitions):
        mine = rows.filter(pc.equal(rows["source_partition"], partition))
        sent_at = mine["ingested_at"].cast("int64").to_numpy() / 1e6
        next_offsets = [moment.next_offsets.get(partition, 0) for moment in moments]
        for offset, at in zip(mine["source_offset"].to_pylist(), sent_at.tolist(), strict=True):
            seen = bisect_left(next_offsets, offset + 1)
            if since <= at <= until and seen < len(moments):
                found.append((at, max(0.0, moments[seen].at - at)))
    return sorted(found)


def longest_stall(moments: list[Moment], began: float, until: float) -> float:
    """Longest time between two moments at which the table had moved."""
    longest, moved_at, last = 0.0, began, None
    for moment in moments:
        if began <= moment.at <= until and moment.next_offsets != last:
            longest, moved_at, last = max(longest, moment.at - moved_at), moment.at, moment.next_offsets
    return longest


def keep(cost: Cost) -> None:
    """Write a row to `$FAULTS_OUT`, for the report; nothing where that is not set."""
    if (folder := os.environ.get("FAULTS_OUT")) is not None:
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        name = "".join(letter if letter.isalnum() else "-" for letter in cost.fault)
        (place / f"{name}.json").write_text(json.dumps(asdict(cost)))
