"""Rows of the results table as commits make them visible; only files that are new are read."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow.fs import FileSystem

from contracts.arrow import PARTITION_COLUMNS, table_to_outcomes
from contracts.errors import RetryLater
from contracts.position import TopicPartition
from contracts.result import Outcome
from pipeline.table.delta import object_store, open_results, plain_text

_FIRST_FILES = 4
_MOST_FILES = 16
_MOST_ROWS = 5_000
_SLACK_MS = 60_000  # clocks of several writers


class TableRows:
    """A `RowFeed` of one topic's rows."""

    def __init__(self, uri: str, storage_options: dict[str, str], run_id: str, topic: str) -> None:
        """Nothing is opened yet.

        Args:
            uri: of the table.
            storage_options: of the object store.
            run_id: whose rows.
            topic: of the frames.
        """
        self._uri, self._options, self._run_id, self._topic = uri, storage_options, run_id, topic
        self._table: DeltaTable | None = None
        self._store: FileSystem | None = None
        self._known: set[str] = set()
        self._newest_ms = 0
        self._next: dict[TopicPartition, int] = {}

    def poll(self) -> list[Outcome]:
        """See `RowFeed`."""
        try:
            if self._table is None:
                self._table = open_results(self._uri, self._options)
                self._store = object_store(self._uri, self._options)
            else:
                self._table.update_incremental()
            paths, is_first = self._new_files(self._table), not self._known
            self._known |= set(paths)
            rows = [row for path in paths[-(_FIRST_FILES if is_first else _MOST_FILES) :] for row in self._read(path)]
            self._next |= self._stands(self._table, {row.position.topic_partition for row in rows})
        except (DeltaError, OSError, pa.ArrowInvalid) as error:
            self._table = None
            raise RetryLater(
                expected="the files of the table to be readable",
                got=plain_text(error),
                where=f"sink.table = {self._uri}",
                action="The page tries again by itself.",
            ) from error
        return rows

    @property
    def next_offsets(self) -> Mapping[TopicPartition, int]:
        """See `RowFeed`."""
        return self._next

    def _new_files(self, table: DeltaTable) -> list[str]:
        """Files of this run that were not read yet, oldest first; merged ones hold rows of files that were."""
        actions = pa.table(table.get_add_actions(flatten=True)).select(["path", "modification_time", "partition.run_id"])
        times = actions["modification_time"].cast(pa.int64())
        mine = pc.and_(pc.equal(actions["partition.run_id"], self._run_id), pc.greater_equal(times, self._newest_ms - _SLACK_MS))
        actions = actions.filter(mine).sort_by("modification_time")
        if actions.num_rows:
            self._newest_ms = max(self._newest_ms, pc.max(actions["modification_time"].cast(pa.int64())).as_py())
        found = [path for path in actions["path"].to_pylist() if path not in self._known]
        self._known &= set(actions["path"].to_pylist())
        return found

    def _read(self, path: str) -> list[Outcome]:
        assert self._store is not None
        with self._store.open_input_file(unquote(path)) as file:
            parquet = pq.ParquetFile(file)
            # Of a merged file only the end is new.
            groups = [index for index in range(parquet.num_row_groups) if self._may_be_new(parquet.metadata.row_group(index))]
            if not groups:
                return []
            rows = parquet.read_row_groups(groups)
        partition, offset = rows["source_partition"], rows["source_offset"]
        fresh = pc.equal(rows["source_topic"], self._topic)
        for known, stop in self._next.items():
            fresh = pc.and_(fresh, pc.or_(pc.not_equal(partition, known.partition), pc.greater_equal(offset, stop)))
        rows = rows.filter(fresh)
        rows = rows.slice(max(0, rows.num_rows - _MOST_ROWS))
        outcomes = table_to_outcomes(rows.drop_columns([name for name in PARTITION_COLUMNS if name in rows.column_names]))
        for each in outcomes:
            place = each.position.topic_partition
            self._next[place] = max(self._next.get(place, 0), each.position.offset + 1)
        return outcomes

    def _may_be_new(self, group: pq.RowGroupMetaData) -> bool:
        columns = {group.column(index).path_in_schema: group.column(index).statistics for index in range(group.num_columns)}
        partition, offset = columns.get("source_partition"), columns.get("source_offset")
        if partition is None or offset is None or not (partition.has_min_max and offset.has_min_max) or partition.min != partition.max:
            return True
        return bool(offset.max >= self._next.get(TopicPartition(self._topic, partition.min), 0))

    def _stands(self, table: DeltaTable, seen: set[TopicPartition]) -> dict[TopicPartition, int]:
        stands = {each: table.transaction_version(f"{self._run_id}/{each}") for each in {*self._next, *seen}}
        return {each: int(stop) for each, stop in stands.items() if stop is not None}
