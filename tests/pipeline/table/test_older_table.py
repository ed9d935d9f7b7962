"""Tables of an earlier version: what was added since is added to them, and they can be read as they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake

from contracts.arrow import PARTITION_COLUMNS, RESULTS_SCHEMA, outcomes_to_table, table_to_outcomes
from contracts.position import OffsetRange
from contracts.result import FrameResult
from pipeline.table.delta import open_or_create_results, open_results
from pipeline.table.results_table import ResultsTable
from tests.outcomes import result

OLD_SCHEMA = pa.schema(list(RESULTS_SCHEMA)[: RESULTS_SCHEMA.get_field_index("detection_scr")])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A table without the columns that came later, one row of partition 0 in it."""
    path = tmp_path / "results"
    DeltaTable.create(str(path), Schema.from_arrow(OLD_SCHEMA), partition_by=list(PARTITION_COLUMNS))
    row = outcomes_to_table([result(0)], "live").select(OLD_SCHEMA.names)
    next_offsets = [Transaction("live/frames/0", 1), Transaction("live/frames/0@id-1", 1)]
    write_deltalake(str(path), row, mode="append", commit_properties=CommitProperties(app_transactions=next_offsets))
    return path


def ratios(path: Path) -> list[list[float | None] | None]:
    rows = DeltaTable(str(path)).to_pyarrow_table(columns=["source_offset", "detection_scr"]).sort_by("source_offset")
    found: list[list[float | None] | None] = rows["detection_scr"].to_pylist()
    return found


def test_a_stream_goes_on_with_the_table_of_an_earlier_version(path: Path) -> None:
    table = ResultsTable(str(path), "live")
    table.open_or_create()
    table.append([result(1)], [OffsetRange("frames", 0, 1, 2)], {"frames": "id-1"})
    assert ratios(path) == [None, [6.5]]
    assert DeltaTable(str(path)).schema().to_arrow().names == RESULTS_SCHEMA.names
    results = DeltaTable(str(path)).to_pyarrow_dataset()
    counted = duckdb.connect().register("results", results).execute("select count(*) from results where detection_scr is not null")
    assert counted.fetchone() == (1,)
    outcomes = table_to_outcomes(results.to_table())
    assert sorted(outcome.detections[0].scr or 0 for outcome in outcomes if isinstance(outcome, FrameResult)) == [0, 6.5]


def test_two_streams_may_open_it_at_the_same_time(path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        tables = list(threads.map(lambda _: open_or_create_results(str(path), {}), range(4)))
    assert all(table.schema().to_arrow().names == RESULTS_SCHEMA.names for table in tables)
    versions = DeltaTable(str(path)).version()
    open_or_create_results(str(path), {})
    assert DeltaTable(str(path)).version() == versions, "a table that has all columns is left alone"


def test_who_only_reads_changes_nothing(path: Path) -> None:
    before = DeltaTable(str(path)).version()
    opened = open_results(str(path), {})
    assert opened.schema().to_arrow().names == OLD_SCHEMA.names
    assert table_to_outcomes(opened.to_pyarrow_table())[0].position.offset == 0
    assert DeltaTable(str(path)).version() == before
