"""A data set in Parquet: a folder of parts and `dataset.json`, which says what it is and where it is from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import SettingsError
from training.data.labelled_frame import PIXEL_FREE, SCHEMA, LabelledFrame

MANIFEST = "dataset.json"
REFUSED = "refused.jsonl"
_PART_BYTES = 32 * 2**20
_PART_ROWS = 2048
_GROUP_ROWS = 64
_HELP = "Make one with `irstream dataset import` (docs/datasets.md)."
_HASHED = ("sample_id", "dataset", "image_sha256", "group_id", "split", "mask_rle", "boxes", "labels")


class PartWriter:
    """Writes rows into parts of bounded size; each appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        """Go on after the parts that are there."""
        self._folder, self._rows, self._bytes = folder, list[dict[str, Any]](), 0
        self._next = 1 + max((int(part.stem.removeprefix("part-")) for part in parts_of(folder)), default=-1)

    def add(self, frame: LabelledFrame) -> bool:
        """Take a frame; true when a part was written."""
        self._rows.append(frame.row())
        self._bytes += len(frame.image)
        if self._bytes < _PART_BYTES and len(self._rows) < _PART_ROWS:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Write what is there as a part."""
        if not self._rows:
            return
        path = self._folder / f"part-{self._next:05}.parquet"
        partial = path.with_suffix(".partial")
        # Images are compressed already.
        codecs = {name: "NONE" if name == "image" else "ZSTD" for name in SCHEMA.names}
        pq.write_table(pa.Table.from_pylist(self._rows, SCHEMA), partial, row_group_size=_GROUP_ROWS, compression=codecs)
        partial.replace(path)
        self._next, self._rows, self._bytes = self._next + 1, [], 0


def parts_of(folder: Path) -> list[Path]:
    """Parts of a data set, in order."""
    return sorted(folder.glob("part-*.parquet"))


def is_parquet_set(folder: Path) -> bool:
    """True for a folder with a finished data set in Parquet."""
    return (folder / MANIFEST).is_file()


def require_parquet_set(folder: Path) -> dict[str, Any]:
    """The manifest of a data set.

    Raises:
        SettingsError: there is none, or the import that makes it has not ended.
    """
    path = folder / MANIFEST
    if not path.is_file():
        begun = bool(parts_of(folder))
        raise SettingsError(
            expected=f"a data set in Parquet (a folder with {MANIFEST})",
            got="an import that has not ended" if begun else "none",
            where=str(folder),
            action="Give the same import command again: it goes on." if begun else _HELP,
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(expected="JSON", got=str(error), where=str(path), action="Import the data set again.") from error
    return dict(manifest)


def read_table(folder: Path, columns: Sequence[str] = PIXEL_FREE) -> pa.Table:
    """Some columns of a data set, in the order of its parts; without pixels it is small.

    Raises:
        SettingsError: there is no data set, or a part of it cannot be read.
    """
    tables = [_read(part, columns) for part in parts_of(folder)]
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table().select(list(columns))


def _read(part: Path, columns: Sequence[str]) -> pa.Table:
    try:
        return pq.read_table(part, columns=list(columns), partitioning=None)
    except (OSError, pa.ArrowInvalid) as error:
        raise SettingsError(expected="a readable part", got=str(error), where=str(part), action="Import the data set again.") from error


def iterate_rows(folder: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a data set, a row group of a part at a time in memory."""
    for part in parts_of(folder):
        for batch in pq.ParquetFile(part).iter_batches(_GROUP_ROWS, columns=list(columns or SCHEMA.names)):
            yield from batch.to_pylist()


def data_hash(folders: Sequence[Path]) -> str:
    """Hash of images, labels, groups and splits of some data sets, whatever the order of their rows."""
    lines = sorted(
        json.dumps([row[name] for name in _HASHED], sort_keys=True) for folder in folders for row in read_table(folder, _HASHED).to_pylist()
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
