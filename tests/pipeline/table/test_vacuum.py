"""What vacuum and log clean-up take, and what they leave: no reader, writer or offset loses anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable

from contracts.errors import RetryLater, StopPipeline
from pipeline.table.delta import _CONFIGURATION
from pipeline.table.maintain import Care
from pipeline.table.results_table import ResultsTable
from tests.pipeline.table.cared_table import FOLDER, age, assert_each_once, care_for, filled, log_of
from tests.pipeline.table.test_results_table import CrashingTable, append_one, data_files, opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results"


def test_vacuum_takes_old_orphans_and_leaves_what_a_writer_is_about_to_commit(path: Path) -> None:
    filled(path, 2)
    orphan, fresh = path / FOLDER / "part-dead.zstd.parquet", path / FOLDER / "part-fresh.zstd.parquet"
    cut_off, not_ours = path / FOLDER / "part-cut.zstd.parquet#1", path / FOLDER / "_notes.parquet"
    for file in (orphan, fresh, cut_off, not_ours):
        file.write_bytes(b"half a file")
    age([orphan, cut_off, not_ours], days=1.1)
    age([fresh], days=1.0)  # within the retention and the hour of grace
    cares: list[Care] = []
    table = CrashingTable(str(path), "live", before_commit=lambda: cares.append(care_for(path)))
    table.open_or_create()
    append_one(table, 2)
    assert (cares[0].deleted_files, cares[0].deleted_bytes) == (2, 22)
    assert [file.exists() for file in (orphan, cut_off, fresh, not_ours)] == [False, False, True, True]
    assert_each_once(path, 3)


def test_vacuum_keeps_every_file_a_reader_may_be_in(path: Path) -> None:
    table = filled(path, 5)
    age([path / file for file in data_files(path)], days=30)
    age(log_of(path), days=30)
    reader = DeltaTable(path)
    care = care_for(path)
    assert (care.merged.files_before, care.deleted_files) == (5, 0), "replaced a moment ago, though written long ago"
    assert reader.to_pyarrow_table().num_rows == 5
    append_one(table, 5)
    age(log_of(path), days=1.2)
    assert care_for(path, dry_run=True).deleted_files == 5
    assert len(data_files(path)) == 7
    care = care_for(path)
    assert care.deleted_files == 5
    assert care.after.stored_files == len(data_files(path)) == 3
    assert_each_once(path, 6)


class SleepyTable(ResultsTable):
    """Any time from data file to commit is too long for it."""

    max_uncommitted_s = -1.0


def test_a_commit_whose_data_file_has_become_old_is_refused(path: Path) -> None:
    """The machine slept between data file and commit: the vacuum may have been there."""
    table = filled(path, 1)
    sleepy = SleepyTable(str(path), "live")
    sleepy.open_or_create()
    with pytest.raises(RetryLater, match="a vacuum may have deleted the file"):
        append_one(sleepy, 1)
    append_one(table, 1)
    assert_each_once(path, 2)


@pytest.mark.slow
def test_offsets_and_topic_outlive_merge_vacuum_and_log_clean_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_CONFIGURATION, "delta.checkpointInterval", "20")
    zombie = opened(path)
    filled(path, 26)
    age(log_of(path), days=8)
    age([path / file for file in data_files(path)], days=8)
    care = care_for(path)
    assert care.before.log_files > 26
    assert care.after.log_files < 16, "those of today, and what they need: back to the checkpoint of version 20"
    age(log_of(path), days=8)
    append_one(opened(path), 26)
    assert care_for(path).deleted_files == 26
    assert not (path / "_delta_log" / f"{0:020}.json").exists()
    assert len(data_files(path)) < 5
    later = opened(path)
    assert later.next_offsets("frames", [0]) == {0: 27}
    later.require_topic("frames", "id-1", [0])
    with pytest.raises(StopPipeline, match="deleted and created again"):
        later.require_topic("frames", "id-2", [0])
    append_one(later, 27)
    with pytest.raises(StopPipeline):
        append_one(zombie, 0)
    assert_each_once(path, 28)


def test_a_log_that_begins_within_the_retention_is_not_judged(path: Path) -> None:
    filled(path, 5)
    DeltaTable(path).create_checkpoint()
    for file in log_of(path)[:3]:
        file.unlink()
    age([path / file for file in data_files(path)], days=30)
    care = care_for(path)
    assert care.not_vacuumed is not None
    assert care.deleted_files == 0
    assert_each_once(path, 5)
