"""Reading a results table back in tests, as any other program would."""

from __future__ import annotations

from pathlib import Path

from deltalake import DeltaTable

from contracts.arrow import table_to_outcomes
from contracts.result import Outcome


def read_rows(path: Path, run_id: str = "live") -> list[Outcome]:
    """All rows of one run, ordered by position."""
    rows = DeltaTable(path).to_pyarrow_table(filters=[("run_id", "=", run_id)])
    return table_to_outcomes(rows.sort_by([(name, "ascending") for name in ("source_topic", "source_partition", "source_offset")]))
