"""Deleting data files that nobody can need: neither a reader of a recent version nor a writer that is about to commit.

Delta's own vacuum is not used: its full mode has one retention for replaced files and for those nobody has committed yet, its
lite mode leaves the files of crashed writers for ever (deltalake 1.6.6). Here a file goes when all of this holds:

- the newest version does not refer to it; the files are listed before that version is read, so a commit in between counts;
- the version that was newest one retention ago does not refer to it: a reader may have opened that one or any later one;
- it was written more than retention and grace ago. This keeps what was committed and replaced between those two versions,
  and what a writer has written and not yet committed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyarrow.fs import FileSelector, FileSystem, FileType

from pipeline.table.delta import plain_text, refresh

LOG_FOLDER = "_delta_log"
_COMMIT = re.compile(rf"{LOG_FOLDER}/(\d{{20}})\.json")
_FALSE_START = re.compile(r".*#\d+")  # the object store writes under such a name first, and does not list them


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file in the table's folder.

    Attributes:
        path: below the folder.
        size_bytes: of the file.
        written_s: Unix seconds by the store's clock.
    """

    path: str
    size_bytes: int
    written_s: float

    @property
    def is_log(self) -> bool:
        """True when it belongs to the table's log."""
        return self.path.startswith(f"{LOG_FOLDER}/")

    @property
    def is_data(self) -> bool:
        """True for a data file: Delta leaves names with an underscore or dot in front alone, and so do we."""
        return self.path.endswith(".parquet") and not any(part.startswith(("_", ".")) for part in self.path.split("/"))


@dataclass(frozen=True, slots=True)
class Deletable:
    """Files that can be deleted.

    Attributes:
        files: data files, oldest first.
        why_none: why no file may be deleted now; None when they could be checked.
    """

    files: tuple[StoredFile, ...] = ()
    why_none: str | None = None


def list_files(store: FileSystem, uri: str) -> list[StoredFile]:
    """Every file in the table's folder, its log included; on a local disk also those of a crashed upload."""
    infos = store.get_file_info(FileSelector("", recursive=True))
    listed = [StoredFile(info.path, info.size, info.mtime_ns / 1e9) for info in infos if info.type == FileType.File]
    return [*listed, *_false_starts(uri)]


def find_deletable(
    table: DeltaTable, listed: Sequence[StoredFile], storage_options: dict[str, str], *, now_s: float, retention_s: float, grace_s: float
) -> Deletable:
    """Find those of the listed files that may be deleted.

    Args:
        table: brought up to date here, after the listing.
        listed: of `list_files`.
        storage_options: of the object store.
        now_s: Unix seconds when the listing began.
        retention_s: files of versions that were newest so recently are kept.
        grace_s: files written so shortly before that are kept whatever refers to them.

    Raises:
        SettingsError: the table has features that we do not know: they may refer to files in other ways.
        DeltaError, OSError: the object store failed.
    """
    refresh(table, table.table_uri)
    kept = _paths(table)
    commits = sorted((int(found[1]), file.written_s) for file in listed if (found := _COMMIT.fullmatch(file.path)))
    if not commits:
        return Deletable(why_none="the table's log holds no commit")
    before = [version for version, written_s in commits if written_s <= now_s - retention_s]
    first = before[-1] if before else commits[0][0]
    if not before and first > 0:
        return Deletable(why_none=f"the log begins at version {first}, less than the retention of {retention_s:g} s ago")
    try:
        kept |= _paths(DeltaTable(table.table_uri, version=first, storage_options=storage_options or None))
    except DeltaError as error:
        return Deletable(why_none=f"version {first}, the newest one {retention_s:g} s ago, cannot be read: {plain_text(error)}")
    cutoff_s = now_s - retention_s - grace_s
    old = [file for file in listed if (file.is_data or _FALSE_START.fullmatch(file.path)) and file.written_s < cutoff_s]
    return Deletable(tuple(sorted((file for file in old if file.path not in kept), key=lambda file: file.written_s)))


def delete_files(store: FileSystem, uri: str, files: Sequence[StoredFile], on_delete: Callable[[int], None]) -> int:
    """Delete them; one that is gone already is no mistake: two may be at it.

    Args:
        store: the table's folder.
        uri: the same, for names the store does not take.
        files: of `find_deletable`.
        on_delete: called with the number deleted so far.

    Returns:
        How many were deleted here.

    Raises:
        OSError: no right to delete, or the store failed.
    """
    num = 0
    for file in files:
        with suppress(FileNotFoundError):
            if _FALSE_START.fullmatch(file.path):
                (Path(uri) / file.path).unlink()
            else:
                store.delete_file(file.path)
            num += 1
            on_delete(num)
    return num


def _paths(table: DeltaTable) -> set[str]:
    listed = table.get_add_actions().column("path").to_pylist()
    return {*listed, *map(unquote, listed)}  # the log holds names as in a URL, a folder as they are


def _false_starts(uri: str) -> Iterator[StoredFile]:
    if "://" in uri:
        return
    for path in Path(uri).rglob("*#*"):
        with suppress(FileNotFoundError):
            if _FALSE_START.fullmatch(path.name) and path.is_file():
                yield StoredFile(path.relative_to(uri).as_posix(), path.stat().st_size, path.stat().st_mtime)
