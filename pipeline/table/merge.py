"""Merging small data files of the table into larger ones, rows in log order, beside any number of writers.

Delta's own `optimize.compact` is not used: two of them at the same time both commit, and every row is there twice (deltalake
1.6.6; docs/adr/0012-a-merge-of-our-own.md). Here a merge commits only as the very next version after the one in which
it has seen all its files alive; whoever comes first, a stream, another merge or Delta's, the slower merge looks again.

Delta's merge has no such check: begun before ours and committed after it, it would double every row. It is refused where the table's
metadata have changed meanwhile, and only there. So each merge of ours changes a property of the table right before and right after.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction
from pyarrow.fs import FileSystem

from pipeline.table.delta import object_store, refresh, write_partition_file
from pipeline.table.settings import MergePolicy

_LOG_ORDER = [(name, "ascending") for name in ("source_topic", "source_partition", "source_offset")]
# A neighbour that commits every few milliseconds wins most races; one that commits every second, hardly any.
_MAX_TRIES = 50
_PROPERTY = "irstream.merges"
_UNKNOWN = 2**31  # rows of a file of another program that does not count them: never small


@dataclass(frozen=True, slots=True)
class DataFile:
    """One data file of a version.

    Attributes:
        path: below the table's folder.
        size_bytes: of the Parquet file.
        num_rows: as the log says.
        written_ms: Unix milliseconds, by the clock of its writer.
        partition: values of `run_id` and `ingest_date` as text.
    """

    path: str
    size_bytes: int
    num_rows: int
    written_ms: int
    partition: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """Report of a merge.

    Attributes:
        files_before: small files that were merged away.
        files_after: files that took their place.
        bytes_before: of the former.
        bytes_after: of the latter.
        num_given_up: merges that another commit has overtaken; their files stay as they are until the next time.
    """

    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    num_given_up: int = 0


def merge_small_files(
    table: DeltaTable,
    storage_options: Mapping[str, str],
    policy: MergePolicy,
    run_id: str | None = None,
    on_merge: Callable[[Merged], None] = lambda merged: None,
) -> Merged:
    """Merge the small files of each partition of the table; no row and no offset changes.

    Args:
        table: a handle of its own; it is brought up to date.
        storage_options: of the object store.
        policy: which files are small, how large they become.
        run_id: only files of this run; None: of all.
        on_merge: called after each merge with the sum so far.

    Raises:
        SettingsError: the table has features that we do not know; a merge could bring deleted rows back.
        DeltaError, OSError: the object store failed; what is committed by then stays.
    """
    refresh(table, table.table_uri)
    store = object_store(table.table_uri, dict(storage_options))
    done = Merged()
    for files in plan_merges(data_files(table), policy, run_id):
        size_bytes = _merge(table, store, files)
        if size_bytes is None:
            done = Merged(done.files_before, done.files_after, done.bytes_before, done.bytes_after, done.num_given_up + 1)
        else:
            before = sum(file.size_bytes for file in files)
            done = Merged(
                done.files_before + len(files),
                done.files_after + 1,
                done.bytes_before + before,
                done.bytes_after + size_bytes,
                done.num_given_up,
            )
        on_merge(done)
    return done


def data_files(table: DeltaTable) -> list[DataFile]:
    """The data files of the version the handle is at."""
    actions = pa.table(table.get_add_actions()).select(["path", "size_bytes", "num_records", "modification_time", "partition"])
    return [_data_file(action) for action in actions.to_pylist()]


def plan_merges(files: Sequence[DataFile], policy: MergePolicy, run_id: str | None = None) -> list[list[DataFile]]:
    """Groups of files that become one: of one partition, not yet half as large as a merged one may be, oldest first."""
    by_partition: dict[tuple[tuple[str, str], ...], list[DataFile]] = {}
    for file in files:
        if policy.is_small(file.size_bytes, file.num_rows) and run_id in (None, dict(file.partition)["run_id"]):
            by_partition.setdefault(file.partition, []).append(file)
    plans: list[list[DataFile]] = []
    for small in by_partition.values():
        plan: list[DataFile] = []
        for file in sorted(small, key=lambda file: (file.written_ms, file.path)):
            size_bytes, num_rows = (sum(getattr(each, name) for each in (*plan, file)) for name in ("size_bytes", "num_rows"))
            if plan and (size_bytes > policy.target_bytes or num_rows > policy.max_rows):
                plans.append(plan)
                plan = []
            plan.append(file)
        plans.append(plan)
    return [plan for plan in plans if len(plan) > 1]


def _data_file(action: Mapping[str, Any]) -> DataFile:
    partition = tuple((name, str(value)) for name, value in action["partition"].items())
    elsewhere = "://" in action["path"]  # a shallow clone refers to the files of another table
    num_rows = _UNKNOWN if elsewhere or action["num_records"] is None else action["num_records"]
    return DataFile(action["path"], action["size_bytes"], num_rows, action["modification_time"], partition)


def _merge(table: DeltaTable, store: FileSystem, files: Sequence[DataFile]) -> int | None:
    """Bytes of the merged file, or None: a file is gone, or every try was overtaken."""
    refresh(table, table.table_uri)
    if not _alive(table, files):
        return None
    rows = _read(store, files, _file_schema(table))
    merged = write_partition_file(store, rows, dict(files[0].partition), data_change=False)
    for _ in range(_MAX_TRIES):
        refresh(table, table.table_uri)
        try:
            _refuse_merges_under_way(table)
            if not _alive(table, files):
                break
            _commit(table, merged, files)
        except CommitFailedError:
            continue
        with suppress(CommitFailedError):
            _refuse_merges_under_way(table)
        return merged.size
    _discard(table, store, merged)
    return None


def _alive(table: DeltaTable, files: Sequence[DataFile]) -> bool:
    paths = pa.table(table.get_add_actions()).column("path")
    return bool(pc.all(pc.is_in(pa.array([file.path for file in files]), value_set=paths.combine_chunks())).as_py())


def _file_schema(table: DeltaTable) -> pa.Schema:
    schema = pa.schema(table.schema().to_arrow())
    partitions = table.metadata().partition_columns
    return pa.schema([field for field in schema if field.name not in partitions])


def _read(store: FileSystem, files: Sequence[DataFile], schema: pa.Schema) -> pa.Table:
    """Their rows in log order; other programs write the same types in other layouts (deltalake's `DELETE`: string views)."""
    parts = []
    for file in files:
        with store.open_input_file(unquote(file.path)) as opened:  # the log holds names as in a URL
            part = pq.ParquetFile(opened).read()
        try:
            parts.append(part.cast(pa.schema([schema.field(name) for name in part.column_names])))
        except (KeyError, pa.ArrowException) as error:
            raise OSError(f"expected the columns of the table in {file.path}, got {error}") from error
    # Promoted: files from before a column was added have it as null.
    rows = pa.concat_tables(parts, promote_options="default").combine_chunks()
    if (expected := sum(file.num_rows for file in files)) != rows.num_rows:
        raise OSError(f"expected {expected} rows in {len(files)} data files as the table's log says, got {rows.num_rows}")
    return rows.take(pc.sort_indices(rows, sort_keys=_LOG_ORDER))


def _commit(table: DeltaTable, merged: AddAction, files: Sequence[DataFile]) -> None:
    now_ms = int(time.time() * 1000)
    removed = [RemoveAction(file.path, False, now_ms, file.size_bytes, dict(file.partition)) for file in files]
    properties = CommitProperties(
        custom_metadata={"irstream": {"merged_files": len(files)}},
        max_commit_retries=0,  # with one retry Delta takes it for an append, which never conflicts, and rows double
    )
    table.create_write_transaction([merged, *removed], "append", table.schema(), commit_properties=properties)


def _refuse_merges_under_way(table: DeltaTable) -> None:
    table.alter.set_table_properties({_PROPERTY: uuid.uuid4().hex}, raise_if_not_exists=False)


def _discard(table: DeltaTable, store: FileSystem, merged: AddAction) -> None:
    table.update_incremental()
    if merged.path not in {file.path for file in data_files(table)}:
        with suppress(OSError):  # an orphan more, for the vacuum
            store.delete_file(merged.path)
