"""Care of the results table while streams write and readers read: merge, vacuum, log clean-up, with numbers before and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow.fs import FileSystem

from contracts.errors import RetryLater, SettingsError
from pipeline.table.delta import object_store, open_results, plain_text, refresh, require_writable_folder
from pipeline.table.features import require_writable_features
from pipeline.table.merge import Merged, data_files, merge_small_files, plan_merges
from pipeline.table.settings import SinkSettings
from pipeline.table.vacuum import StoredFile, delete_files, find_deletable, list_files

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TableSize:
    """Files of the table at one moment.

    Attributes:
        version: of the table.
        files: data files of that version: what a reader opens.
        bytes: of these.
        small_files: of these, those that will be merged with others.
        stored_files: data files on the disk, whoever refers to them.
        stored_bytes: of these.
        log_files: in the table's log.
        log_bytes: of these.
    """

    version: int
    files: int
    bytes: int
    small_files: int
    stored_files: int
    stored_bytes: int
    log_files: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class Care:
    """Report of one run of maintenance (or of what it would do, when nothing was to be changed).

    Attributes:
        before: the table as it was found.
        after: the table as it was left; streams have gone on writing meanwhile. The same as `before` in a dry run.
        dry_run: nothing was changed.
        merged: small files merged into larger ones; in a dry run what they would become, with bytes unchanged.
        deleted_files: data files that no recent version refers to.
        deleted_bytes: of these.
        not_vacuumed: why no file could be checked for deletion; None when they could.
        seconds: all of it.
    """

    before: TableSize
    after: TableSize
    dry_run: bool
    merged: Merged
    deleted_files: int
    deleted_bytes: int
    not_vacuumed: str | None
    seconds: float


def maintain(sink: SinkSettings, *, older_than_s: float | None = None, dry_run: bool = False, say: Say = lambda text: None) -> Care:
    """Merge small files, delete files nobody can need, write a checkpoint, remove expired log entries.

    Safe beside streams, readers and another maintenance, and at every moment at which it may be killed.

    Args:
        sink: which table, and how long things are kept.
        older_than_s: instead of `sink.file_retention_s`.
        dry_run: only say what would be done.
        say: gets a line now and then.

    Raises:
        SettingsError: no such table, another table, one with features that we do not know, no right to write.
        RetryLater: the object store failed on the way; what is done stays done.
    """
    began_s = time.monotonic()
    options = sink.plain_storage_options()
    table = open_results(sink.table, options)
    require_writable_features(table, sink.table)
    if not dry_run and "://" not in sink.table:
        require_writable_folder(Path(sink.table))
    try:
        return _maintain(table, sink, sink.file_retention_s if older_than_s is None else older_than_s, dry_run, say, began_s)
    except PermissionError as error:
        raise SettingsError(
            expected="the right to write and delete in the table's folder",
            got=plain_text(error),
            where=f"sink.table = {sink.table}",
            action="Run it as the user the stream runs as. What was done before this stays.",
        ) from error
    except (DeltaError, OSError) as error:
        raise RetryLater(
            expected="the table to be readable and writable",
            got=plain_text(error),
            where=f"sink.table = {sink.table}",
            action="Run it again; what was done before this stays. Check disk space, network and credentials.",
        ) from error


def _maintain(table: DeltaTable, sink: SinkSettings, retention_s: float, dry_run: bool, say: Say, began_s: float) -> Care:
    options = sink.plain_storage_options()
    store = object_store(sink.table, options)
    before = _size(table, list_files(store, sink.table), sink)
    merged = _merge(table, sink, dry_run, say)
    now_s = time.time()
    listed = list_files(store, sink.table)
    found = find_deletable(table, listed, options, now_s=now_s, retention_s=retention_s, grace_s=sink.orphan_grace_s)
    deleted = _delete(store, sink.table, found.files, dry_run, say)
    if not dry_run:
        say("writing a checkpoint, removing expired log entries")
        refresh(table, sink.table)
        table.create_checkpoint()
        table.cleanup_metadata()
        table.update_incremental()
    after = before if dry_run else _size(table, list_files(store, sink.table), sink)
    return Care(
        before=before,
        after=after,
        dry_run=dry_run,
        merged=merged,
        deleted_files=deleted,
        deleted_bytes=sum(file.size_bytes for file in found.files[:deleted]),
        not_vacuumed=found.why_none,
        seconds=time.monotonic() - began_s,
    )


def _merge(table: DeltaTable, sink: SinkSettings, dry_run: bool, say: Say) -> Merged:
    plans = plan_merges(data_files(table), sink.merge_policy())
    num = sum(map(len, plans))
    if dry_run:
        size_bytes = sum(file.size_bytes for plan in plans for file in plan)
        return Merged(num, len(plans), size_bytes, size_bytes)
    say(f"merging {num:,} small files into {len(plans):,}")

    def report(done: Merged) -> None:
        say(f"merged {done.files_before:,} of {num:,} small files")

    return merge_small_files(table, sink.plain_storage_options(), sink.merge_policy(), on_merge=report)


def _delete(store: FileSystem, uri: str, files: Sequence[StoredFile], dry_run: bool, say: Say) -> int:
    if dry_run:
        return len(files)

    def report(num: int) -> None:
        if num % 100 == 0:
            say(f"deleted {num:,} of {len(files):,} files that no recent version refers to")

    return delete_files(store, uri, files, report)


def _size(table: DeltaTable, listed: Sequence[StoredFile], sink: SinkSettings) -> TableSize:
    alive = data_files(table)
    data = [file.size_bytes for file in listed if file.is_data]
    log = [file.size_bytes for file in listed if file.is_log]
    return TableSize(
        version=int(table.version()),
        files=len(alive),
        bytes=sum(file.size_bytes for file in alive),
        small_files=sum(map(len, plan_merges(alive, sink.merge_policy()))),
        stored_files=len(data),
        stored_bytes=sum(data),
        log_files=len(log),
        log_bytes=sum(log),
    )
