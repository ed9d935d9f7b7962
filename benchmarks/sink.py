"""How long a commit takes, and whether it stays that way: ms per commit of 1,000 rows after 1, 500, 2,000, ... commits.

    .venv/bin/python benchmarks/sink.py [--depths 1 500 2000 5000] [--compact-after 500 | 0]

Between the probes the table is filled with commits of 10 rows, one file each, as a slow stream leaves them. Wall time and
CPU time (all threads of this process) are both given: on a shared machine only the second can be compared. A probe is
30 commits; the worst of each hundred also writes a checkpoint. Not measured: an object store.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from deltalake import DeltaTable

from contracts.frame import Band, Platform
from contracts.position import KafkaPosition, OffsetRange
from contracts.result import BatchInfo, Detection, FrameResult, ModelRef, StageTimes
from pipeline.table.results_table import ResultsTable

PROBE_COMMITS = 30
PROBE_ROWS = 1_000
FILL_ROWS = 10


def template() -> FrameResult:
    """A frame with two detections, as the stream makes them."""
    now = datetime.now(UTC)
    detection = Detection("drone", 0.9, 10, 10, 20, 20, 15, 15, 80, {"drone": 0.9, "bird": 0.1}, "PPYo0" * 8, ("detector", "segmenter"))
    tasks = ("detection", "segmentation", "classification")
    return FrameResult(
        position=KafkaPosition("frames", 0, 0),
        sensor_id="cam-1",
        frame_id="0b8f9a52-2f6c-4f0e-9df1-1c2b3a4d5e6f",
        frame_number=1,
        captured_at=now,
        ingested_at=now,
        finished_at=now,
        width_px=640,
        height_px=512,
        bit_depth=14,
        platform=Platform.AIR,
        band=Band.LWIR,
        headers={},
        detections=(detection, detection),
        models=tuple(ModelRef(task, "a_network", "0" * 64) for task in tasks),
        preprocess_version="1",
        batch=tuple(BatchInfo(task, 16, "full") for task in tasks),
        stage_ms=StageTimes(0.5, 1.0, 20.0, 8.0, 9.0, 2.0, 0.1),
    )


class Filler:
    """Appends rows to a table, one commit after another."""

    def __init__(self, table: ResultsTable) -> None:
        """Begin at offset 0 of an empty table."""
        self._table = table
        self._template = template()
        self._offset = 0

    def commit(self, num_rows: int) -> tuple[float, float]:
        """Wall and CPU milliseconds of one commit."""
        span = OffsetRange("frames", 0, self._offset, self._offset + num_rows)
        outcomes = [replace(self._template, position=KafkaPosition("frames", 0, offset)) for offset in range(span.start, span.stop)]
        self._offset = span.stop
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        self._table.append(outcomes, [span], {"frames": "topic-id"})
        return (time.perf_counter() - wall_s) * 1e3, (time.process_time() - cpu_s) * 1e3


def measure(depths: Sequence[int], compact_after: int) -> None:
    """Print one line per depth."""
    with tempfile.TemporaryDirectory() as folder:
        table = ResultsTable(str(Path(folder) / "results"), "live", compact_after_commits=compact_after)
        table.open_or_create()
        filler = Filler(table)
        filler.commit(FILL_ROWS)  # the first commit of a process imports what it needs
        print(f"ms per commit of {PROBE_ROWS} rows")
        print(f"{'commits':>8} {'files':>6} {'wall p50':>9} {'wall max':>9} {'cpu p50':>8} {'cpu max':>8} {'open':>6}")
        done = 1
        for depth in depths:
            for _ in range(depth - done):
                filler.commit(FILL_ROWS)
            wall_ms, cpu_ms = np.array([filler.commit(PROBE_ROWS) for _ in range(PROBE_COMMITS)]).T
            done = max(done, depth) + PROBE_COMMITS
            table.compactor.wait()
            began_s = time.perf_counter()
            num_files = len(DeltaTable(table.path).file_uris())
            open_ms = (time.perf_counter() - began_s) * 1e3
            middle = f"{np.median(wall_ms):9.1f} {wall_ms.max():9.1f} {np.median(cpu_ms):8.1f} {cpu_ms.max():8.1f}"
            print(f"{depth:8d} {num_files:6d} {middle} {open_ms:6.0f}", flush=True)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 500, 2000])
    parser.add_argument("--compact-after", type=int, default=500, help="0: never")
    arguments = parser.parse_args()
    measure(arguments.depths, arguments.compact_after)


if __name__ == "__main__":
    main()
