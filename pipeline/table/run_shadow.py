"""The terms of a shadow, stored beside the table and pinned in its log: the first to store them decides."""

from __future__ import annotations

from collections.abc import Mapping

from deltalake import DeltaTable
from pydantic import ValidationError

from contracts.errors import SettingsError
from contracts.shadow_run import SHADOW_PREFIX, ShadowRun
from pipeline.table.pinned import Kind, store_text, stored_text

_SHADOW = Kind("shadow", "shadows", "begin another shadow under another name")


def stored_shadow(table: DeltaTable, run_id: str, storage_options: Mapping[str, str]) -> ShadowRun | None:
    """The terms of a shadow; None where there is none of this run id.

    Args:
        table: brought up to date.
        run_id: whose.
        storage_options: of the object store.

    Raises:
        StopPipeline: the file is gone, or is not the one that was stored.
        RetryLater: the object store does not answer.
    """
    if not run_id.startswith(SHADOW_PREFIX):
        return None
    text = stored_text(table, _SHADOW, run_id, storage_options)
    return None if text is None else _read(table, run_id, text)


def store_shadow(table: DeltaTable, wanted: ShadowRun, storage_options: Mapping[str, str]) -> None:
    """Store the terms of a shadow, where there are none yet.

    Args:
        table: of the results; is brought up to date.
        wanted: the terms.
        storage_options: of the object store.

    Raises:
        SettingsError: the shadow has begun under other terms.
        StopPipeline: see `stored_shadow`.
        RetryLater: the object store does not answer, or others commit all the time.
    """
    stored = _read(table, wanted.run_id, store_text(table, _SHADOW, wanted.run_id, wanted.model_dump_json(), storage_options))
    if stored != wanted:
        before, now = (each.model_dump(exclude={"version", "run_id"}) for each in (stored, wanted))
        raise SettingsError(
            expected=f"what {wanted.run_id} began with ({_listed({name: before[name] for name in before if before[name] != now[name]})})",
            got=_listed({name: now[name] for name in before if before[name] != now[name]}),
            where="shadow.name",
            action="Give the shadow another name: rows of one run are of one candidate and one share.",
        )


def _listed(terms: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {str(value)[:12]}" for name, value in terms.items())


def _read(table: DeltaTable, run_id: str, text: str) -> ShadowRun:
    try:
        return ShadowRun.model_validate_json(text)
    except ValidationError as error:
        raise _SHADOW.lost(table, run_id, f"a form that this version of irstream does not know ({error.error_count()} faults)") from error
