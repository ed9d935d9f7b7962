"""The range that a run promises to cover, stored beside the table and pinned in its log: the first to store it decides.

The text lies in a file that is named by its digest; a transaction `<run_id>@range` holds the digest. Delta refuses the second of two
who set it at once, and a transaction lives as long as the table.
"""

from __future__ import annotations

import hashlib
import re

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from pyarrow.fs import FileSystem
from pydantic import ValidationError

from contracts.archive_range import ArchiveRange
from contracts.errors import RetryLater, StopPipeline
from pipeline.table.delta import object_store, plain_text

# Delta, and so every vacuum, leaves names alone that begin with an underscore.
_FOLDER = "_irstream/ranges"
_MAX_TRIES = 20
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def stored_range(table: DeltaTable, run_id: str, storage_options: dict[str, str]) -> ArchiveRange | None:
    """The range that is stored for a run; None where there is none.

    Args:
        table: brought up to date.
        run_id: whose.
        storage_options: of the object store.

    Raises:
        StopPipeline: the file is gone, or is not the one that was stored.
        RetryLater: the object store does not answer.
    """
    try:
        pinned = table.transaction_version(_app_id(run_id))
    except (DeltaError, OSError) as error:
        raise _unavailable(table, error) from error
    if pinned is None:
        return None
    path = _path(run_id, pinned)
    try:
        with object_store(table.table_uri, storage_options).open_input_stream(path) as file:
            text = file.read().decode()
    except FileNotFoundError as error:
        raise _lost(table, run_id, path, "none") from error
    except (DeltaError, OSError) as error:
        raise _unavailable(table, error) from error
    if _digest(text) != pinned:
        raise _lost(table, run_id, path, "another")
    try:
        return ArchiveRange.model_validate_json(text)
    except ValidationError as error:
        raise _lost(table, run_id, path, f"a form that this version of irstream does not know ({error.error_count()} faults)") from error


def store_range(table: DeltaTable, wanted: ArchiveRange, storage_options: dict[str, str]) -> ArchiveRange:
    """Store the range of a run, unless somebody has; the range that counts.

    Args:
        table: of the results; is brought up to date.
        wanted: the range.
        storage_options: of the object store.

    Raises:
        StopPipeline: see `stored_range`.
        RetryLater: the object store does not answer, or others commit all the time.
    """
    store = object_store(table.table_uri, storage_options)
    run_id, text = wanted.run_id, wanted.model_dump_json()
    pinned = _digest(text)
    try:
        _write(store, _path(run_id, pinned), text)
        for _ in range(_MAX_TRIES):
            table.update_incremental()
            if (stored := stored_range(table, run_id, storage_options)) is not None:
                return stored
            properties = CommitProperties(
                custom_metadata={"irstream": {"run_id": run_id, "range": _path(run_id, pinned)}},
                app_transactions=[Transaction(_app_id(run_id), pinned)],
            )
            try:
                table.create_write_transaction([], "append", table.schema(), commit_properties=properties)
            except CommitFailedError:
                continue  # somebody was quicker: perhaps with this very range
            return wanted
    except (DeltaError, OSError) as error:
        raise _unavailable(table, error) from error
    raise _unavailable(table, RuntimeError(f"{_MAX_TRIES} commits of others"))


def has_range(table: DeltaTable, run_id: str) -> bool:
    """True where a run is that of an archive. Raises RetryLater where the object store does not answer."""
    try:
        return table.transaction_version(_app_id(run_id)) is not None
    except (DeltaError, OSError) as error:
        raise _unavailable(table, error) from error


def _write(store: FileSystem, path: str, text: str) -> None:
    with store.open_output_stream(path) as file:
        file.write(text.encode())


def _digest(text: str) -> int:
    """63 bits of the sha256, as a transaction holds them."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def _path(run_id: str, pinned: int) -> str:
    return f"{_FOLDER}/{_UNSAFE.sub('_', run_id)}-{pinned:016x}.json"


def _app_id(run_id: str) -> str:
    return f"{run_id}@range"


def _unavailable(table: DeltaTable, error: Exception) -> RetryLater:
    return RetryLater(
        expected="the table to be readable and writable",
        got=plain_text(error),
        where=str(table.table_uri),
        action="Check disk space, network and credentials, and try again.",
    )


def _lost(table: DeltaTable, run_id: str, path: str, got: str) -> StopPipeline:
    return StopPipeline(
        expected=f"the range that was stored for run {run_id}",
        got=got,
        where=f"{table.table_uri}/{path}",
        action="Put the file back from a copy of the table's folder, or reprocess under another run id.",
    )
