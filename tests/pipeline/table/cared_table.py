"""A table with many small files, made old, looked after."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.table.maintain import Care, maintain
from pipeline.table.results_table import ResultsTable
from pipeline.table.settings import SinkSettings
from tests.outcomes import result
from tests.pipeline.results import read_rows
from tests.pipeline.table.test_results_table import append_one

DAY_S = 86_400
FOLDER = "run_id=live/ingest_date=2026-03-01"


def filled(path: Path, num: int, run_id: str = "live") -> ResultsTable:
    """A table of `num` commits of one row each, never merged by the stream itself."""
    table = ResultsTable(str(path), run_id, compact_after_commits=0)
    table.open_or_create()
    for offset in range(num):
        append_one(table, offset)
    return table


def care_for(path: Path, **options: Any) -> Care:
    return maintain(SinkSettings(table=str(path)), **options)


def age(files: Iterator[Path] | list[Path], days: float) -> None:
    """As if they had been written so long ago."""
    then_s = time.time() - days * DAY_S
    for file in files:
        os.utime(file, (then_s, then_s))


def log_of(path: Path) -> list[Path]:
    return sorted((path / "_delta_log").iterdir())


def assert_each_once(path: Path, num: int) -> None:
    assert read_rows(path) == [result(offset) for offset in range(num)]
