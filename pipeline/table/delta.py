"""Opening, creating and filling the Delta table of the results; everything that knows the file formats."""

from __future__ import annotations

import json
import re
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction
from pyarrow.fs import FileSystem, PyFileSystem

from contracts.arrow import PARTITION_COLUMNS, RESULTS_SCHEMA
from contracts.errors import RetryLater, SettingsError
from pipeline.table.features import feature_of, refusal, require_readable_features, require_writable_features

_CONFIGURATION: Mapping[str, str | None] = {
    # A reader replays the log from the last checkpoint: 100 small files at most.
    "delta.checkpointInterval": "100",
    # One commit a second is 2.6 million log files in 30 days, the default; a week is enough to look back.
    "delta.logRetentionDuration": "interval 7 days",
    # Files that compaction replaced stay in every checkpoint this long (a week by default: 600,000 of them).
    "delta.deletedFileRetentionDuration": "interval 1 days",
}
_MAX_TRIES = 20
_FEW_ROWS, _GROUP_ROWS = 1000, 10_000
_ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def reading(table: DeltaTable, action: str = "Check network and credentials, and try again.") -> Iterator[None]:
    """Around reads of the files of a table.

    Args:
        table: whose files are read.
        action: to be taken when they cannot be.

    Raises:
        RetryLater: the object store does not answer, or a file is missing.
    """
    try:
        yield
    except (DeltaError, OSError) as error:
        raise RetryLater(
            expected="the files of the table to be readable", got=plain_text(error), where=str(table.table_uri), action=action
        ) from error


def open_or_create_results(uri: str, storage_options: dict[str, str]) -> DeltaTable:
    """Open the table, or create it with `RESULTS_SCHEMA`; two processes may do so at the same time.

    A table of an earlier version gets the columns that were added since, null in its rows.

    Raises:
        SettingsError: the place cannot be used: a file in the way, no permission, another table, one with features that
            we do not know, an unknown URL scheme, an object store that does not answer.
        RetryLater: others commit so often that columns could not be added.
    """
    if "://" not in uri:
        require_writable_folder(Path(uri))
    try:
        table = _open(uri, storage_options) or _create(uri, storage_options)
    except (DeltaError, OSError) as error:
        if feature := feature_of(error):
            raise refusal([feature], uri) from error
        raise SettingsError(
            expected="a Delta table, or a place where one can be created",
            got=plain_text(error),
            where=f"sink.table = {uri}",
            action="Choose another folder or URL, or check credentials and sink.storage_options.",
        ) from error
    require_writable_features(table, uri)
    _require_results_schema(table, uri)
    _add_missing_columns(table)
    return table


def open_results(uri: str, storage_options: dict[str, str]) -> DeltaTable:
    """Open the newest version of a table that exists; nothing is created, and columns added since it was written may be missing.

    Raises:
        SettingsError: there is none, it is another table, its rows cannot be read rightly (deletion vectors, column mapping),
            or the object store does not answer.
    """
    try:
        table = _open(uri, storage_options)
    except (DeltaError, OSError) as error:
        if feature := feature_of(error):
            raise refusal([feature], uri) from error
        table, got = None, plain_text(error)
    else:
        got = "no table there"
    if table is None:
        raise SettingsError(
            expected="the results table of a stream",
            got=got,
            where=f"sink.table = {uri}",
            action="Name the table with `sink.table` or IRSTREAM_SINK__TABLE, or start a stream first; check credentials.",
        )
    require_readable_features(table, uri)
    _require_results_schema(table, uri)
    return table


def refresh(table: DeltaTable, uri: str) -> None:
    """Bring a handle to the newest version, and check that we may still write to the table.

    Raises:
        SettingsError: another program has added a feature that we do not know, or changed our columns.
        DeltaError, OSError: the object store failed.
    """
    try:
        table.update_incremental()
    except DeltaError as error:
        if feature := feature_of(error):
            raise refusal([feature], uri) from error
        raise
    require_writable_features(table, uri)
    _require_results_schema(table, uri)


class _BytesOnly:
    """A writable file for `pa.PythonFile`: deltalake 1.6 takes bytes, pyarrow 26 hands over its own buffers."""

    closed = False

    def __init__(self, target: Any) -> None:
        self._target = target

    def write(self, data: Any) -> int:
        return int(self._target.write(bytes(data)))

    def flush(self) -> None:
        self._target.flush()

    def close(self) -> None:
        self._target.close()
        self.closed = True


class _StorageHandler(DeltaStorageHandler):
    def open_output_stream(self, path: str, metadata: dict[str, str] | None = None) -> pa.PythonFile:
        return pa.PythonFile(_BytesOnly(self._handler.open_output_stream(path, metadata)), mode="w")


def object_store(uri: str, storage_options: dict[str, str]) -> FileSystem:
    """The table's folder as a pyarrow file system, through the same object store that Delta uses."""
    return PyFileSystem(_StorageHandler(uri, storage_options or None))


def write_data_file(store: FileSystem, rows: pa.Table) -> AddAction:
    """Write rows of one partition (`run_id`, `ingest_date`) as one Parquet file with a unique name.

    Args:
        store: the table's folder.
        rows: at least one row with `RESULTS_SCHEMA`; the partition columns are constant.

    Returns:
        What a commit needs to refer to the file.
    """
    values = {name: str(rows.column(name)[0].as_py()) for name in PARTITION_COLUMNS}
    return write_partition_file(store, rows.drop_columns(list(PARTITION_COLUMNS)), values)


def write_partition_file(store: FileSystem, rows: pa.Table, partition: dict[str, str], *, data_change: bool = True) -> AddAction:
    """Write rows as one Parquet file with a unique name.

    Args:
        store: the table's folder.
        rows: at least one, without the partition columns.
        partition: value of each partition column.
        data_change: False: these rows were in the table already.

    Returns:
        What a commit needs to refer to the file.
    """
    # Readers take the values from the log. A colon (`shadow:mine`) before the first slash ends a scheme to Java's URI, so to Spark.
    folder = "/".join(f"{name}={partition[name].replace(':', '-')}" for name in PARTITION_COLUMNS)
    path = f"{folder}/part-{uuid.uuid4()}.zstd.parquet"
    buffer = pa.BufferOutputStream()
    with pq.ParquetWriter(buffer, rows.schema, compression="zstd") as writer:
        start = 0
        for length in _row_groups(rows):
            writer.write_table(rows.slice(start, length), row_group_size=length)
            start += length
    content = buffer.getvalue()
    with store.open_output_stream(path) as file:
        file.write(content)
    return AddAction(path, content.size, partition, int(time.time() * 1000), data_change, _statistics(rows))


def plain_text(error: BaseException) -> str:
    """The text of an error of the object store on one line, without terminal colours."""
    return " ".join(_ANSI_COLOUR.sub("", str(error)).split())


def _row_groups(rows: pa.Table) -> list[int]:
    """Rows of each row group: of one Kafka partition where they are many, so that extremes tell a reader which to leave out."""
    partitions_N = rows["source_partition"].to_numpy()
    edges = [0, *(np.flatnonzero(np.diff(partitions_N)) + 1).tolist(), len(partitions_N)]
    groups: list[int] = []
    joined = False  # the last group is one of small ones
    for length in (stop - start for start, stop in pairwise(edges)):
        is_small = length < _FEW_ROWS
        if is_small and joined and groups[-1] + length <= _GROUP_ROWS:
            groups[-1] += length
        else:
            groups += [min(_GROUP_ROWS, length - start) for start in range(0, length, _GROUP_ROWS)]
        joined = is_small
    return groups


def _statistics(rows: pa.Table) -> str:
    # The number of rows and nothing more: with extremes of some columns only, deltalake's pyarrow dataset compares all the
    # others with null and leaves the whole file out of `status = 'ok'`, without a word. Extremes are in the Parquet footers.
    return json.dumps({"numRecords": rows.num_rows})


def _open(uri: str, storage_options: dict[str, str]) -> DeltaTable | None:
    try:
        return DeltaTable(uri, storage_options=storage_options or None)
    except TableNotFoundError:
        return None


def _create(uri: str, storage_options: dict[str, str]) -> DeltaTable:
    try:
        DeltaTable.create(
            uri,
            Schema.from_arrow(RESULTS_SCHEMA),
            mode="error",
            partition_by=list(PARTITION_COLUMNS),
            name="irstream results",
            description="One row per consumed Kafka position; see docs/results-table.md",
            configuration=_CONFIGURATION,
            storage_options=storage_options or None,
        )
    except DeltaError:
        # Somebody else may have been quicker.
        if (table := _open(uri, storage_options)) is not None:
            return table
        raise
    return DeltaTable(uri, storage_options=storage_options or None)


def require_writable_folder(folder: Path) -> None:
    """Check that a local folder can be created and written to.

    Raises:
        SettingsError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Delta ignores names that begin with an underscore or a dot.
        with tempfile.TemporaryFile(prefix=".write-probe-", dir=folder):
            pass
    except OSError as error:
        raise SettingsError(
            expected="a folder that can be created and written to",
            got=f"{error.strerror} ({error.filename})",
            where=f"sink.table = {folder}",
            action="Choose another folder, or make this one writable.",
        ) from error


def _require_results_schema(table: DeltaTable, uri: str) -> None:
    wanted = {field.name: field for field in Schema.from_arrow(RESULTS_SCHEMA).fields}
    found = {field.name: field for field in table.schema().fields}
    partitions = list(table.metadata().partition_columns)
    wrong = [f"no column {name}" for name in wanted if name not in found and not wanted[name].nullable]
    wrong += [f"column {name} is {found[name].type}" for name in wanted if name in found and found[name].type != wanted[name].type]
    wrong += [f"a required column {name}" for name in found if name not in wanted and not found[name].nullable]
    if partitions != list(PARTITION_COLUMNS):
        wrong.append(f"partitioned by {', '.join(partitions) or 'nothing'}")
    if wrong:
        raise SettingsError(
            expected=f"a results table partitioned by {', '.join(PARTITION_COLUMNS)} with the columns of docs/results-table.md",
            got=f"a table with {'; '.join(wrong[:5])}",
            where=f"sink.table = {uri}",
            action="This table belongs to something else or to another version. Choose another folder or URL.",
        )


def _add_missing_columns(table: DeltaTable) -> None:
    for _ in range(_MAX_TRIES):
        found = {field.name for field in table.schema().fields}
        missing = [field for field in Schema.from_arrow(RESULTS_SCHEMA).fields if field.name not in found]
        if not missing:
            return
        with suppress(CommitFailedError):  # a neighbour committed; perhaps the very same
            table.alter.add_columns(missing)
        table.update_incremental()
    raise RetryLater(
        expected="a moment without commits to add columns in",
        got=f"{_MAX_TRIES} commits of others",
        where=str(table.table_uri),
        action="Start again.",
    )
