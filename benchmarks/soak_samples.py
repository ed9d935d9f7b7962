"""What a soak run looks at every few seconds: processes by role, shared memory, the table and its folder."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from benchmarks.stream import role_of
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import end_offsets

_SHARED_MEMORY = "/dev/shm"  # noqa: S108


class Sampler:
    """One sample: a flat-ish dictionary, ready for JSON."""

    def __init__(self, stream_pid: int, broker_pid: int, kafka: KafkaSettings, table: Path) -> None:
        """Nothing is read yet."""
        self._stream = psutil.Process(stream_pid)
        self._broker = psutil.Process(broker_pid)
        self._kafka = kafka
        self._path = table
        self._table: DeltaTable | None = None

    def sample(self) -> dict[str, Any]:
        """Look at everything once."""
        began_s = time.monotonic()
        rss, handles, count = self._processes()
        found: dict[str, Any] = {"rss_mib": rss, "handles": handles, "processes": count}
        # Ray's object store lives there. Its own count is behind the cluster's token, which only the stream has.
        found["object_store_bytes"] = psutil.disk_usage(_SHARED_MEMORY).used
        found |= self._table_numbers() | self._folder()
        rows = found["rows"]
        found["lag"] = sum(end_offsets(self._kafka, self._kafka.topic).values()) - (rows or 0)
        return found | {"sample_ms": round((time.monotonic() - began_s) * 1e3)}

    def _processes(self) -> tuple[dict[str, float], dict[str, int], dict[str, int]]:
        rss: dict[str, float] = defaultdict(float)
        handles: dict[str, int] = defaultdict(int)
        count: dict[str, int] = defaultdict(int)
        try:
            processes = [self._stream, *self._stream.children(recursive=True)]
        except psutil.NoSuchProcess:
            processes = []
        for process in (*processes, self._broker):
            try:
                role = "broker" if process == self._broker else role_of(process)
                mib, num_handles = process.memory_info().rss / 2**20, process.num_fds()
            except psutil.Error:
                continue
            rss[role] += mib
            handles[role] += num_handles
            count[role] += 1
        return {role: round(mib, 1) for role, mib in rss.items()}, dict(handles), dict(count)

    def _table_numbers(self) -> dict[str, Any]:
        try:
            if self._table is None:
                self._table = DeltaTable(str(self._path))
            self._table.update_incremental()
            rows = sum(self._table.get_add_actions().column("num_records").to_pylist())
            return {"version": int(self._table.version()), "files": len(self._table.file_uris()), "rows": rows}
        except (TableNotFoundError, DeltaError, OSError):
            self._table = None
            return {"version": None, "files": None, "rows": None}

    def _folder(self) -> dict[str, int]:
        stored = list(self._path.rglob("*.parquet")) if self._path.exists() else []
        log = list((self._path / "_delta_log").iterdir()) if (self._path / "_delta_log").exists() else []
        return {"stored_files": sum("_delta_log" not in path.parts for path in stored), "log_files": len(log)}


def read_table(table: Path) -> dict[str, Any]:
    """What a reader of results sees: rows, distinct positions, latency of the last minute's rows up to their outcome."""
    import duckdb

    began_s = time.monotonic()
    opened = DeltaTable(str(table))
    rows, positions, p50_s, p99_s = (
        duckdb.connect()
        .register("results", opened.to_pyarrow_dataset())
        .sql(
            "with recent as (select epoch(finished_at) - epoch(ingested_at) as s from results "
            "where finished_at > (select max(finished_at) from results) - interval 1 minute) "
            "select (select count(*) from results), (select count(distinct (source_topic, source_partition, source_offset)) from results), "
            "(select quantile_cont(s, 0.5) from recent), (select quantile_cont(s, 0.99) from recent)"
        )
        .fetchall()[0]
    )
    seconds = round(time.monotonic() - began_s, 2)
    return {"version": opened.version(), "rows": rows, "positions": positions, "p50_s": p50_s, "p99_s": p99_s, "read_s": seconds}
