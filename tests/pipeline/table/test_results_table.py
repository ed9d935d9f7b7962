"""The Delta table itself: zombies, crashes, other readers, places that cannot be used."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType
from deltalake.transaction import AddAction, RemoveAction

from contracts.arrow import RESULTS_SCHEMA, table_to_outcomes
from contracts.errors import RetryLater, SettingsError, StopPipeline
from contracts.position import OffsetRange
from contracts.result import Outcome
from pipeline.table.results_table import ResultsTable
from tests.outcomes import NOON, letter, result
from tests.pipeline.results import read_rows
from tests.processes import imported_already

TOPIC_IDS = {"frames": "id-1"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results"


def opened(path: Path, run_id: str = "live") -> ResultsTable:
    table = ResultsTable(str(path), run_id)
    table.open_or_create()
    return table


def append_one(table: ResultsTable, offset: int) -> None:
    table.append([result(offset)], [OffsetRange("frames", 0, offset, offset + 1)], TOPIC_IDS)


class Crash(BaseException):
    """The process is gone."""


class CrashingTable(ResultsTable):
    """Runs something between the data files and the commit, or after it."""

    def __init__(self, path: str, run_id: str, before_commit: Callable[[], None] = lambda: None, after: Callable[[], None] = lambda: None):
        super().__init__(path, run_id)
        self.before_commit = before_commit
        self.after = after

    def _commit_files(self, files: list[AddAction | RemoveAction], properties: CommitProperties) -> None:
        self.before_commit()
        super()._commit_files(files, properties)
        self.after()


def crash() -> None:
    raise Crash


def data_files(path: Path) -> set[str]:
    return {str(file.relative_to(path)) for file in path.rglob("*.parquet") if "_delta_log" not in file.parts}


def referenced_files(path: Path) -> set[str]:
    return {str(Path(uri).relative_to(path)) for uri in DeltaTable(path).file_uris()}


def test_commit_that_lost_the_race_after_its_check_is_refused_by_delta(path: Path) -> None:
    """The check alone is not enough: somebody may commit between it and our commit."""
    opened(path)
    winner = opened(path)
    loser = CrashingTable(str(path), "live", before_commit=lambda: append_one(winner, 0))
    loser.open_or_create()
    with pytest.raises(StopPipeline, match="another commit came first"):
        append_one(loser, 0)
    assert read_rows(path) == [result(0)]
    assert len(data_files(path)) == 2
    assert len(referenced_files(path)) == 1
    assert loser.next_offsets("frames", [0]) == {0: 1}


def test_threads_that_race_for_every_position_leave_one_row_each(path: Path) -> None:
    opened(path)
    barrier = threading.Barrier(2)

    def race(table: ResultsTable) -> int:
        wins = 0
        for offset in range(15):
            barrier.wait(120)
            try:
                append_one(table, offset)
            except StopPipeline:
                continue
            wins += 1
        return wins

    with ThreadPoolExecutor(2) as pool:
        wins = list(pool.map(race, [opened(path), opened(path)]))
    assert sum(wins) == 15
    assert read_rows(path) == [result(offset) for offset in range(15)]


def _race_in_process(path: Path, barrier: threading.Barrier) -> None:
    table = opened(path)
    barrier.wait(240)
    for offset in range(25):
        try:
            append_one(table, offset)
        except StopPipeline:
            continue


@pytest.mark.slow
def test_processes_that_create_and_write_the_same_table_leave_one_row_each(path: Path) -> None:
    context = imported_already()
    barrier = context.Barrier(2)
    processes = [context.Process(target=_race_in_process, args=(path, barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert read_rows(path) == [result(offset) for offset in range(25)]


def _die_before_commit(path: Path) -> None:
    table = CrashingTable(str(path), "live", before_commit=lambda: signal.raise_signal(signal.SIGKILL))
    table.open_or_create()
    append_one(table, 1)


@pytest.mark.slow
def test_sigkill_between_data_file_and_commit_leaves_only_an_unreferenced_file(path: Path) -> None:
    append_one(opened(path), 0)
    process = imported_already().Process(target=_die_before_commit, args=(path,))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert (len(data_files(path)), len(referenced_files(path))) == (2, 1)
    table = opened(path)
    assert table.next_offsets("frames", [0]) == {0: 1}
    append_one(table, 1)
    assert read_rows(path) == [result(0), result(1)]


def test_crash_after_the_commit_is_seen_by_the_next_start(path: Path) -> None:
    table = CrashingTable(str(path), "live", after=crash)
    table.open_or_create()
    with pytest.raises(Crash):
        append_one(table, 0)
    again = opened(path)
    assert again.next_offsets("frames", [0]) == {0: 1}
    with pytest.raises(StopPipeline):
        append_one(again, 0)


def test_offsets_and_topic_outlive_checkpoint_log_cleanup_and_compaction(path: Path) -> None:
    zombie = opened(path)
    table = opened(path)
    for offset in range(5):
        append_one(table, offset)
    other = DeltaTable(path)
    other.optimize.compact()
    other = DeltaTable(path)
    other.create_checkpoint()
    for log_file in sorted((path / "_delta_log").glob("*.json"))[:-1]:
        log_file.unlink()
    assert len(referenced_files(path)) == 1
    later = opened(path)
    assert later.next_offsets("frames", [0]) == {0: 5}
    later.require_topic("frames", "id-1", [0, 1])
    with pytest.raises(StopPipeline, match="deleted and created again"):
        later.require_topic("frames", "id-2", [0])
    append_one(table, 5)
    with pytest.raises(StopPipeline, match="where the table stands"):
        append_one(zombie, 0)  # the file name of its next version is free again
    assert read_rows(path) == [result(offset) for offset in range(6)]


@pytest.mark.slow
def test_small_files_are_merged_beside_the_stream(path: Path) -> None:
    other_run = opened(path, "again-1")
    other_run.append([result(0)], [OffsetRange("frames", 0, 0, 1)], TOPIC_IDS)
    table = ResultsTable(str(path), "live", compact_after_commits=10)
    table.open_or_create()
    for offset in range(25):
        append_one(table, offset)
    table.compactor.wait()
    assert len([file for file in referenced_files(path) if file.startswith("run_id=live/")]) < 16
    assert len([file for file in referenced_files(path) if file.startswith("run_id=again-1/")]) == 1
    assert read_rows(path) == [result(offset) for offset in range(25)]
    append_one(table, 25)
    assert opened(path).next_offsets("frames", [0]) == {0: 26}
    (merged, *_) = sorted(DeltaTable(path).file_uris(), key=lambda file: -Path(file).stat().st_size)
    assert pq.ParquetFile(merged).metadata.row_group(0).column(0).compression == "ZSTD"


def test_neighbours_on_other_partitions_commit_between_check_and_commit(path: Path) -> None:
    opened(path)
    neighbour = opened(path)
    offsets = iter(range(100))

    def neighbour_commits() -> None:
        offset = next(offsets)
        neighbour.append([result(offset, partition=1)], [OffsetRange("frames", 1, offset, offset + 1)], TOPIC_IDS)

    table = CrashingTable(str(path), "live", before_commit=neighbour_commits)
    table.open_or_create()
    for offset in range(3):
        append_one(table, offset)
    assert table.next_offsets("frames", [0, 1]) == {0: 3, 1: 3}
    assert len(read_rows(path)) == 6


def test_rows_of_two_days_go_to_two_partitions_in_one_commit(path: Path) -> None:
    late = NOON + timedelta(hours=11, minutes=59)
    rows = [result(0, ingested_at=late), result(1, ingested_at=late + timedelta(minutes=2))]
    version = opened(path).append(rows, [OffsetRange("frames", 0, 0, 2)], TOPIC_IDS).version
    assert version == 1
    folders = {str(Path(file).parent) for file in referenced_files(path)}
    assert folders == {"run_id=live/ingest_date=2026-03-01", "run_id=live/ingest_date=2026-03-02"}
    assert read_rows(path) == rows


def test_files_are_zstd_and_carry_their_row_count(path: Path) -> None:
    opened(path).append([result(3), result(9)], [OffsetRange("frames", 0, 0, 10)], TOPIC_IDS)
    (file,) = DeltaTable(path).file_uris()
    group = pq.ParquetFile(file).metadata.row_group(0)
    assert {group.column(index).compression for index in range(group.num_columns)} == {"ZSTD"}
    action = pa.table(DeltaTable(path).get_add_actions(flatten=True)).to_pylist()[0]
    assert action["num_records"] == 2


def test_filters_of_other_readers_leave_no_row_out(path: Path) -> None:
    """Extremes of some columns only made deltalake's pyarrow dataset skip whole files for a filter on another column."""
    rows: list[Outcome] = [result(0), letter(1), result(2)]
    opened(path).append(rows, [OffsetRange("frames", 0, 0, 3)], TOPIC_IDS)
    dataset = DeltaTable(path).to_pyarrow_dataset()
    for column, value, expected in (("status", "ok", 2), ("status", "rejected", 1), ("run_id", "live", 3), ("source_offset", 1, 1)):
        assert dataset.to_table(filter=pc.field(column) == value).num_rows == expected, column


def test_other_programs_read_it_as_it_is(path: Path) -> None:
    rows: list[Outcome] = [result(0, num_detections=2), letter(1), result(2, num_detections=0)]
    opened(path).append(rows, [OffsetRange("frames", 0, 0, 3)], TOPIC_IDS)
    table = DeltaTable(path)
    dataset = table.to_pyarrow_dataset()
    query = "select status, count(*), max(detections[2].score), max(map_extract(headers, 'mission')[1]) from {} group by 1 order by 1"
    expected = [("ok", 2, 0.75, "7"), ("rejected", 1, None, None)]
    connection = duckdb.connect().register("results", dataset)
    files = f"read_parquet({table.file_uris()}, hive_partitioning = true) where run_id = 'live'"
    assert connection.execute(query.format("results")).fetchall() == expected
    assert connection.execute(query.format(files)).fetchall() == expected
    assert dataset.schema.names == RESULTS_SCHEMA.names
    frame = pl.scan_delta(str(path)).filter(pl.col("source_offset") >= 1).select("status", "ingest_date").collect()
    assert frame.rows() == [("rejected", NOON.date()), ("ok", NOON.date())]
    assert pl.read_delta(str(path)).height == 3
    assert table.to_pandas()["source_offset"].tolist() == [0, 1, 2]


@dataclass(frozen=True)
class BadPlace:
    name: str
    prepare: Callable[[Path], str]
    message: str
    storage_options: dict[str, str] = field(default_factory=dict)


def _file_in_the_way(folder: Path) -> str:
    (folder / "results").write_text("not a folder")
    return str(folder / "results")


def _file_above(folder: Path) -> str:
    (folder / "runs").write_text("not a folder")
    return str(folder / "runs" / "results")


def _foreign_table(folder: Path) -> str:
    write_deltalake(folder / "results", pa.table({"run_id": ["a"], "status": [1]}))
    return str(folder / "results")


def _unpartitioned(folder: Path) -> str:
    DeltaTable.create(folder / "results", RESULTS_SCHEMA)
    return str(folder / "results")


def _damaged_log(folder: Path) -> str:
    append_one(opened(folder / "results"), 0)
    (folder / "results" / "_delta_log" / f"{0:020}.json").write_text("{")
    return str(folder / "results")


BAD_PLACES = [
    BadPlace("file in the way", _file_in_the_way, "File exists"),
    BadPlace("file above", _file_above, "Not a directory"),
    BadPlace("not writable", lambda _: "/proc/irstream/results", "No such file or directory"),
    BadPlace("foreign table", _foreign_table, "no column ingest_date"),
    BadPlace("other partitioning", _unpartitioned, "partitioned by nothing"),
    BadPlace("damaged log", _damaged_log, "got "),
    BadPlace("unknown scheme", lambda _: "ftp3://place/results", "Unknown scheme: ftp3"),
    BadPlace(
        "object store away",
        lambda _: "s3://bucket/results",
        "127.0.0.1:1",
        {
            "aws_endpoint": "http://127.0.0.1:1",
            "allow_http": "true",
            "aws_region": "none",
            "aws_access_key_id": "who",
            "aws_secret_access_key": "hush-hush",
            "max_retries": "0",
        },
    ),
]


@pytest.mark.parametrize("bad", BAD_PLACES, ids=lambda bad: bad.name)
def test_places_that_cannot_be_used_are_named_with_the_reason(tmp_path: Path, bad: BadPlace) -> None:
    uri = bad.prepare(tmp_path)
    with pytest.raises(SettingsError) as caught:
        ResultsTable(uri, "live", bad.storage_options).open_or_create()
    text = str(caught.value)
    assert f"sink.table = {uri}" in text
    assert bad.message in text
    assert "hush-hush" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize("run_id", ["", "a/b", "..", "-x", "a b", "x" * 129])
def test_run_ids_that_cannot_be_folders_are_refused(run_id: str) -> None:
    with pytest.raises(SettingsError, match="run_id"):
        ResultsTable("anywhere", run_id)


def test_table_that_vanishes_is_an_outage(path: Path) -> None:
    table = opened(path)
    append_one(table, 0)
    shutil.rmtree(path)
    with pytest.raises(RetryLater, match=str(path)):
        append_one(table, 1)


def test_a_table_with_columns_of_a_later_version_is_written_on(path: Path) -> None:
    append_one(opened(path), 0)
    DeltaTable(path).alter.add_columns(Field("added_later", PrimitiveType("string"), nullable=True))
    append_one(opened(path), 1)
    rows = DeltaTable(path).to_pyarrow_table()
    assert rows.column("added_later").to_pylist() == [None, None]
    assert table_to_outcomes(rows.select(RESULTS_SCHEMA.names).sort_by("source_offset")) == [result(0), result(1)]
