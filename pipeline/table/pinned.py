"""Terms of a run, stored beside the table and pinned in its log: the first to store them decides.

The text lies in a file that is named by its digest; a transaction `<run_id>@<kind>` holds the digest. Delta refuses the second of two
who set it at once, and a transaction lives as long as the table.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from pyarrow.fs import FileSystem

from contracts.errors import RetryLater, StopPipeline
from pipeline.table.delta import object_store, plain_text

# Delta, and so every vacuum, leaves names alone that begin with an underscore.
_FOLDER = "_irstream"
_MAX_TRIES = 20
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of terms.

    Attributes:
        name: in the transaction.
        folder: below the table's folder of such files.
        again: what to do where the file is lost, after "or".
    """

    name: str
    folder: str
    again: str

    def app_id(self, run_id: str) -> str:
        """The transaction that holds the digest."""
        return f"{run_id}@{self.name}"

    def path(self, run_id: str, pinned: int) -> str:
        """The file, below the table."""
        return f"{_FOLDER}/{self.folder}/{_UNSAFE.sub('_', run_id)}-{pinned:016x}.json"

    def lost(self, table: DeltaTable, run_id: str, got: str, path: str = "") -> StopPipeline:
        """The error where the file is not what was stored."""
        return StopPipeline(
            expected=f"the {self.name} that was stored for run {run_id}",
            got=got,
            where=f"{table.table_uri}/{path or self.folder}",
            action=f"Put the file back from a copy of the table's folder, or {self.again}.",
        )


def stored_text(table: DeltaTable, kind: Kind, run_id: str, storage_options: Mapping[str, str]) -> str | None:
    """The terms that are stored for a run; None where there are none.

    Args:
        table: brought up to date.
        kind: of terms.
        run_id: whose.
        storage_options: of the object store.

    Raises:
        StopPipeline: the file is gone, or is not the one that was stored.
        RetryLater: the object store does not answer.
    """
    try:
        pinned = table.transaction_version(kind.app_id(run_id))
    except (DeltaError, OSError) as error:
        raise _unavailable(table, error) from error
    if pinned is None:
        return None
    path = kind.path(run_id, pinned)
    try:
        with object_store(table.table_uri, dict(storage_options)).open_input_stream(path) as file:
            text: str = file.read().decode()
    except FileNotFoundError as error:
        raise kind.lost(table, run_id, "none", path) from error
    except (DeltaError, OSError) as error:
        raise _unavailable(table, error) from error
    if _digest(text) != pinned:
        raise kind.lost(table, run_id, "another", path)
    return text


def store_text(table: DeltaTable, kind: Kind, run_id: str, text: str, storage_options: Mapping[str, str]) -> str:
    """Store the terms of a run, unless somebody has; those that count.

    Args:
        table: of the results; is brought up to date.
        kind: of terms.
        run_id: whose.
        text: the terms.
        storage_options: of the object store.

    Raises:
        StopPipeline: see `stored_text`.
        RetryLater: the object store does not answer, or others commit all the time.
    """
    pinned = _digest(text)
    path = kind.path(run_id, pinned)
    try:
        _write(object_store(table.table_uri, dict(storage_options)), path, text)
        for _ in range(_MAX_TRIES):
            table.update_incremental()
            if (stored := stored_text(table, kind, run_id, storage_options)) is not None:
                return stored
            properties = CommitProperties(
                custom_metadata={"irstream": {"run_id": run_id, kind.name: path}},
                app_transactions=[Transaction(kind.app_id(run_id), pinned)],
            )
            try:
                table.create_write_transaction([], "append", table.schema(), commit_properties=properties)
            except CommitFailedError:
                continue  # somebody was quicker: perhaps with these very terms
            return text
    except (DeltaError, OSError) as error:
        raise _unavailable(table, error) from error
    raise _unavailable(table, RuntimeError(f"{_MAX_TRIES} commits of others"))


def is_stored(table: DeltaTable, kind: Kind, run_id: str) -> bool:
    """True where a run has such terms. Raises RetryLater where the object store does not answer."""
    try:
        return table.transaction_version(kind.app_id(run_id)) is not None
    except (DeltaError, OSError) as error:
        raise _unavailable(table, error) from error


def _write(store: FileSystem, path: str, text: str) -> None:
    with store.open_output_stream(path) as file:
        file.write(text.encode())


def _digest(text: str) -> int:
    """63 bits of the sha256, as a transaction holds them."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def _unavailable(table: DeltaTable, error: Exception) -> RetryLater:
    return RetryLater(
        expected="the table to be readable and writable",
        got=plain_text(error),
        where=str(table.table_uri),
        action="Check disk space, network and credentials, and try again.",
    )
