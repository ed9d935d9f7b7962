"""Care of the table beside writers and readers: every row once, whatever overtakes whatever and whoever is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable, Field
from deltalake.schema import PrimitiveType

from contracts.errors import SettingsError
from contracts.position import OffsetRange
from pipeline.table.maintain import Care
from pipeline.table.merge import merge_small_files
from pipeline.table.results_table import ResultsTable
from pipeline.table.settings import MergePolicy
from tests.outcomes import result
from tests.pipeline.table.cared_table import FOLDER, age, assert_each_once, care_for, filled, log_of
from tests.pipeline.table.test_results_table import TOPIC_IDS, CrashingTable, append_one, data_files, opened, referenced_files
from tests.processes import imported_already


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results"


class OvertakenTable(DeltaTable):
    """Lets somebody else commit between the last look at the table and the merge's commit, `times` times."""

    def __init__(self, path: Path, overtake: Callable[[], object], times: int = 1) -> None:
        super().__init__(path)
        self.overtake = overtake
        self.left = times

    def create_write_transaction(self, *args: Any, **options: Any) -> None:
        if self.left > 0:
            self.left -= 1
            self.overtake()
        super().create_write_transaction(*args, **options)


def test_rows_stay_in_log_order_and_runs_apart(path: Path) -> None:
    filled(path, 3, "again-1")
    table = filled(path, 0)
    for offset in range(0, 20, 2):
        spans = [OffsetRange("frames", partition, offset, offset + 2) for partition in (0, 1)]
        table.append([result(offset + step, partition=partition) for partition in (1, 0) for step in (0, 1)], spans, TOPIC_IDS)
        if offset == 8:
            DeltaTable(path).optimize.compact()  # Delta's own reads the newest file first
    care = care_for(path)
    assert (care.before.files, care.before.small_files, care.after.files) == (7, 6, 2)
    rows = DeltaTable(path).to_pyarrow_table(filters=[("run_id", "=", "live")], columns=["source_partition", "source_offset"]).to_pylist()
    for partition in (0, 1):
        assert [row["source_offset"] for row in rows if row["source_partition"] == partition] == list(range(20))


def test_the_merge_is_told_apart_from_new_rows(path: Path) -> None:
    filled(path, 3)
    merge_small_files(DeltaTable(path), {}, MergePolicy())
    versions = [(path / "_delta_log" / f"{version:020}.json").read_text() for version in range(4, DeltaTable(path).version() + 1)]
    assert [text.count('"dataChange":false') for text in versions] == [0, 4, 0], "a property before and after it"
    assert '"dataChange":true' not in "".join(versions)


@pytest.mark.slow
def test_files_grow_to_their_size_and_are_then_left_alone(path: Path) -> None:
    filled(path, 25)
    policy = MergePolicy(max_rows=10)
    assert merge_small_files(DeltaTable(path), {}, policy).files_after == 3
    assert sorted(DeltaTable(path).get_add_actions().column("num_records").to_pylist()) == [5, 10, 10]
    large = {
        file for file in referenced_files(path) if (path / file).stat().st_size == max((path / f).stat().st_size for f in data_files(path))
    }
    assert merge_small_files(DeltaTable(path), {}, policy).files_after == 0
    assert large <= referenced_files(path)
    assert_each_once(path, 25)


@pytest.mark.parametrize("times", [1, 3])
def test_a_merge_that_a_stream_overtakes_tries_again(path: Path, times: int) -> None:
    table = filled(path, 5)
    offsets = iter(range(5, 100))
    merged = merge_small_files(OvertakenTable(path, lambda: append_one(table, next(offsets)), times), {}, MergePolicy())
    assert (merged.files_before, merged.files_after, merged.num_given_up) == (5, 1, 0)
    assert_each_once(path, 5 + times)


@pytest.mark.parametrize("who", ["ours", "Delta's"])
def test_a_merge_that_another_merge_overtakes_gives_up(path: Path, who: str) -> None:
    """Left to Delta's own conflict check both commit, and every row is there twice."""
    filled(path, 5)

    def overtake() -> None:
        if who == "ours":
            merge_small_files(DeltaTable(path), {}, MergePolicy())
        else:
            DeltaTable(path).optimize.compact()

    merged = merge_small_files(OvertakenTable(path, overtake), {}, MergePolicy())
    assert (merged.files_after, merged.num_given_up) == (0, 1)
    assert_each_once(path, 5)
    assert len(data_files(path)) == 6, "the merge that gave up leaves no file behind"


def test_a_commit_that_a_merge_overtakes_goes_through(path: Path) -> None:
    filled(path, 5)

    def overtake() -> None:
        merged.append(merge_small_files(DeltaTable(path), {}, MergePolicy()).files_after)

    merged: list[int] = []
    table = CrashingTable(str(path), "live", before_commit=overtake)
    table.open_or_create()
    append_one(table, 5)
    assert merged == [1, 0], "the second try finds nothing to merge any more"
    assert len(referenced_files(path)) == 2
    assert_each_once(path, 6)


@pytest.mark.slow
def test_many_merges_at_once_leave_each_row_once(path: Path) -> None:
    table = filled(path, 0)
    for start in range(0, 40, 8):
        for offset in range(start, start + 8):
            append_one(table, offset)
        threads = [threading.Thread(target=merge_small_files, args=(DeltaTable(path), {}, MergePolicy())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(referenced_files(path)) == 1
    assert_each_once(path, 40)


def test_files_from_before_a_column_was_added_are_merged_with_later_ones(path: Path) -> None:
    filled(path, 2)
    DeltaTable(path).alter.add_columns(Field("added_later", PrimitiveType("string"), nullable=True))
    append_one(opened(path), 2)
    care_for(path)
    assert len(referenced_files(path)) == 1
    assert_each_once_with_more_columns(path, 3)


def assert_each_once_with_more_columns(path: Path, num: int) -> None:
    rows = DeltaTable(path).to_pyarrow_table().sort_by("source_offset")
    assert rows.column("source_offset").to_pylist() == list(range(num))
    assert rows.column("added_later").to_pylist() == [None] * num


class Writer:
    """Commits one row every 20 ms; its own compaction runs too, and the first failure is kept."""

    def __init__(self, path: Path) -> None:
        self.table = ResultsTable(str(path), "live", compact_after_commits=40)
        self.table.open_or_create()
        self.stop = threading.Event()
        self.failure: BaseException | None = None
        self.num = 0
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        try:
            while not self.stop.wait(0.02):
                append_one(self.table, self.num)
                self.num += 1
        except BaseException as error:  # noqa: BLE001  # shown by the test
            self.failure = error


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    writer = Writer(path)
    writer.thread.start()
    try:
        yield writer
    finally:
        writer.stop.set()
        writer.thread.join()
        writer.table.compactor.wait()


def assert_version_is_whole(table: DeltaTable) -> None:
    """Each offset below the version's own transaction exactly once."""
    next_offset = table.transaction_version("live/frames/0") or 0
    offsets = sorted(table.to_pyarrow_table(columns=["source_offset"]).column(0).to_pylist())
    assert offsets == list(range(next_offset))


@pytest.mark.slow
def test_beside_a_writer_files_stay_few_and_readers_see_each_row_once(path: Path) -> None:
    with writing(path) as writer:
        while writer.num < 20 and writer.failure is None:
            time.sleep(0.01)
        early = DeltaTable(path)
        cares: list[Care] = []
        reads = 0
        while (writer.num < 60 or len(cares) < 2) and writer.failure is None:
            cares.append(care_for(path, older_than_s=60))
            for _ in range(3):
                assert_version_is_whole(DeltaTable(path))
                reads += 1
    assert writer.failure is None
    assert writer.num >= 60
    assert reads >= 6
    for care in cares:
        # What was committed while it ran is all it may leave, beside the merged file of each merge at that time.
        assert care.after.files <= 4 + care.after.version - care.before.version
    assert_version_is_whole(early)
    last = care_for(path)
    assert last.after.files == 1
    assert_each_once(path, writer.num)
    assert opened(path).next_offsets("frames", [0]) == {0: writer.num}


class DyingTable(DeltaTable):
    """Is killed before or after the commit of the merge."""

    def __init__(self, path: Path, when: str) -> None:
        super().__init__(path)
        self.when = when

    def create_write_transaction(self, *args: Any, **options: Any) -> None:
        if self.when == "before the commit":
            signal.raise_signal(signal.SIGKILL)
        super().create_write_transaction(*args, **options)
        signal.raise_signal(signal.SIGKILL)


def _die(path: Path, when: str) -> None:
    def die(text: str) -> None:
        if text.startswith(when):
            signal.raise_signal(signal.SIGKILL)

    if when.endswith("the commit"):
        merge_small_files(DyingTable(path, when), {}, MergePolicy())
    care_for(path, say=die)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before the commit", "after the commit", "merged", "deleted", "writing a checkpoint"])
def test_kill_in_the_middle_leaves_a_good_table(path: Path, when: str) -> None:
    table = filled(path, 12)
    for number in range(150):
        (path / FOLDER / f"part-{number}.zstd.parquet").write_bytes(b"orphan")
    age([path / file for file in data_files(path)], days=8)
    age(log_of(path), days=8)
    process = imported_already().Process(target=_die, args=(path, when))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert_each_once(path, 12)
    append_one(table, 12)
    care = care_for(path)
    assert care.not_vacuumed is None
    assert not list((path / FOLDER).glob("part-[0-9].zstd.parquet"))
    assert_each_once(path, 13)
    assert opened(path).next_offsets("frames", [0]) == {0: 13}


def test_a_dry_run_changes_nothing(path: Path) -> None:
    filled(path, 4)
    before = sorted(file for file in path.rglob("*"))
    care = care_for(path, dry_run=True)
    assert (care.merged.files_before, care.merged.files_after, care.before) == (4, 1, care.after)
    assert sorted(file for file in path.rglob("*")) == before


def test_no_right_to_write_is_named(path: Path) -> None:
    filled(path, 3)
    path.chmod(0o555)
    before = os.geteuid()
    for above in path.parents:
        if above.stat().st_uid == before:
            above.chmod(above.stat().st_mode | 0o055)
    if before == 0:
        os.seteuid(65_534)
    try:
        with pytest.raises(SettingsError, match=r"sink.table = .* got Permission denied"):
            care_for(path)
        assert care_for(path, dry_run=True).before.files == 3
    finally:
        if before == 0:
            os.seteuid(0)
        path.chmod(0o755)
