"""The range that a run promises to cover, stored beside the table and pinned in its log: the first to store it decides."""

from __future__ import annotations

from deltalake import DeltaTable
from pydantic import ValidationError

from contracts.archive_range import ArchiveRange
from pipeline.table.pinned import Kind, is_stored, store_text, stored_text

_RANGE = Kind("range", "ranges", "reprocess under another run id")


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
    text = stored_text(table, _RANGE, run_id, storage_options)
    return None if text is None else _read(table, run_id, text)


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
    text = wanted.model_dump_json()
    stored = store_text(table, _RANGE, wanted.run_id, text, storage_options)
    return wanted if stored == text else _read(table, wanted.run_id, stored)


def has_range(table: DeltaTable, run_id: str) -> bool:
    """True where a run is that of an archive. Raises RetryLater where the object store does not answer."""
    return is_stored(table, _RANGE, run_id)


def _read(table: DeltaTable, run_id: str, text: str) -> ArchiveRange:
    try:
        return ArchiveRange.model_validate_json(text)
    except ValidationError as error:
        raise _RANGE.lost(table, run_id, f"a form that this version of irstream does not know ({error.error_count()} faults)") from error
