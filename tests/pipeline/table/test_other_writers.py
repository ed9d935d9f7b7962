"""Other programs that write the table: what they do beside us loses and doubles no row, and what we do not know is refused by name."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable, Field
from deltalake.exceptions import CommitFailedError
from deltalake.schema import PrimitiveType

from actors.reply import DetectorReply
from contracts.block import unpack_block
from contracts.errors import SettingsError
from pipeline.kafka.memory_topic import MemoryTopic
from pipeline.table.delta import open_results
from pipeline.table.merge import merge_small_files
from pipeline.table.results_table import ResultsTable
from pipeline.table.settings import MergePolicy
from pipeline.table.watermark import CommitRefused
from tests.pipeline.inference.rule_networks import RuleNetworks
from tests.pipeline.runtime.memory_stream import MemoryStream, frames
from tests.pipeline.table.cared_table import FOLDER, age, care_for, filled, log_of
from tests.pipeline.table.test_results_table import CrashingTable, append_one, data_files

NO_ROWS_CHANGED: list[tuple[list[str], list[str]]] = [
    ([], ["rowTracking", "domainMetadata"]),
    ([], ["clustering", "domainMetadata"]),
    ([], ["inCommitTimestamp"]),
    ([], ["icebergCompatV2"]),
    ([], ["checkConstraints"]),
    ([], ["generatedColumns"]),
    ([], ["aFeatureOfTomorrow"]),
]
ROWS_READ_OTHERWISE = [
    (["deletionVectors"], ["deletionVectors"]),
    (["columnMapping"], ["columnMapping"]),
    (["typeWidening"], ["typeWidening"]),
    (["v2Checkpoint"], ["v2Checkpoint"]),
    (["vacuumProtocolCheck"], ["vacuumProtocolCheck"]),
    (["catalogManaged"], ["catalogManaged"]),
    (["aFeatureOfTomorrow"], ["aFeatureOfTomorrow"]),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results"


def offsets(path: Path) -> dict[int, int]:
    """Offset to the number of its rows."""
    return dict(Counter(DeltaTable(path).to_pyarrow_table(columns=["source_offset"])["source_offset"].to_pylist()))


def each_once(num: int, *without: int) -> dict[int, int]:
    return {offset: 1 for offset in range(num) if offset not in without}


def commit(path: Path, **actions: Any) -> None:
    """What another program writes into the log."""
    version = len(list((path / "_delta_log").glob("*.json")))
    lines = [{"commitInfo": {"timestamp": 1, "operation": "SET TBLPROPERTIES"}}, *({name: value} for name, value in actions.items())]
    written = path / f"{version}.tmp"
    written.write_text("\n".join(map(json.dumps, lines)) + "\n")
    try:
        (path / "_delta_log" / f"{version:020}.json").hardlink_to(written)  # whole, and never over another one's
    finally:
        written.unlink()


def add_features(path: Path, reader: list[str], writer: list[str]) -> None:
    protocol = {"minReaderVersion": 3 if reader else 1, "minWriterVersion": 7, "writerFeatures": writer}
    commit(path, protocol=protocol | ({"readerFeatures": reader} if reader else {}))


@pytest.mark.parametrize(("reader", "writer"), NO_ROWS_CHANGED + ROWS_READ_OTHERWISE, ids="+".join)
def test_a_feature_we_do_not_know_is_refused_by_name_wherever_we_write(path: Path, reader: list[str], writer: list[str]) -> None:
    running = filled(path, 3)
    merging = DeltaTable(path)
    add_features(path, reader, writer)
    before = data_files(path)
    name = rf"got one with .*{writer[0]}"
    with pytest.raises(SettingsError, match=name):
        append_one(running, 3)
    with pytest.raises(SettingsError, match=name):
        ResultsTable(str(path), "live").open_or_create()
    with pytest.raises(SettingsError, match=name):
        merge_small_files(merging, {}, MergePolicy())
    for dry_run in (False, True):
        with pytest.raises(SettingsError, match=name):
            care_for(path, dry_run=dry_run)
    assert data_files(path) == before, "nothing was written or deleted"


@pytest.mark.parametrize(("reader", "writer"), ROWS_READ_OTHERWISE, ids="+".join)
def test_rows_that_would_be_read_wrongly_are_not_read(path: Path, reader: list[str], writer: list[str]) -> None:
    filled(path, 2)
    add_features(path, reader, writer)
    with pytest.raises(SettingsError, match=rf"got one with {writer[0]}: rows would be read or kept wrongly"):
        open_results(str(path), {})


@pytest.mark.parametrize(("reader", "writer"), NO_ROWS_CHANGED, ids="+".join)
def test_features_that_only_writers_need_are_no_reason_not_to_read(path: Path, reader: list[str], writer: list[str]) -> None:
    filled(path, 2)
    add_features(path, reader, writer)
    assert open_results(str(path), {}).to_pyarrow_dataset().count_rows() == 2


@pytest.mark.parametrize("version", [3, 4, 5])
def test_an_older_protocol_is_taken_unless_the_table_uses_what_it_allows(path: Path, version: int) -> None:
    """Before version 7 a protocol does not list what a table uses."""
    running = filled(path, 2)
    commit(path, protocol={"minReaderVersion": 2 if version > 4 else 1, "minWriterVersion": version})
    append_one(running, 2)
    assert offsets(path) == each_once(3)
    DeltaTable(path).alter.add_constraint({"positive": "source_offset >= 0"})
    with pytest.raises(SettingsError, match="checkConstraints"):
        append_one(running, 3)


@pytest.mark.parametrize("version", [6, 8])
def test_a_protocol_that_deltalake_cannot_write_is_refused_at_the_start(path: Path, version: int) -> None:
    filled(path, 2)
    commit(path, protocol={"minReaderVersion": 2, "minWriterVersion": version})
    with pytest.raises(SettingsError, match=rf"got one with writer version {version}"):
        ResultsTable(str(path), "live").open_or_create()


def test_features_that_ask_nothing_of_us_are_taken(path: Path) -> None:
    running = filled(path, 3)
    add_features(path, ["timestampNtz"], ["appendOnly", "changeDataFeed", "invariants", "timestampNtz"])
    DeltaTable(path).alter.set_table_properties({"delta.appendOnly": "true", "delta.enableChangeDataFeed": "true"})
    append_one(running, 3)
    assert care_for(path).merged.files_before == 4
    assert offsets(path) == each_once(4)


STALE: dict[str, Callable[[DeltaTable], object]] = {
    "compact": lambda table: table.optimize.compact(),
    "z_order": lambda table: table.optimize.z_order(["source_offset"]),
    "delete": lambda table: table.delete("source_offset = 2"),
    "update": lambda table: table.update(predicate="source_offset = 2", updates={"sensor_id": "'other'"}),
}


@pytest.mark.parametrize("what", STALE)
def test_what_deltalake_began_before_a_merge_of_ours_is_refused(path: Path, what: str) -> None:
    """Without the change of a property deltalake's own merge would commit, and every row would be there twice."""
    filled(path, 5)
    begun = DeltaTable(path)
    assert merge_small_files(DeltaTable(path), {}, MergePolicy()).files_after == 1
    with pytest.raises(CommitFailedError):
        STALE[what](begun)
    assert offsets(path) == each_once(5)
    STALE[what](DeltaTable(path))
    assert offsets(path) == each_once(5, *([2] if what == "delete" else []))


BESIDE: dict[str, Callable[[DeltaTable], object]] = STALE | {
    "vacuum": lambda table: table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False),
    "added column": lambda table: table.alter.add_columns([Field("note", PrimitiveType("string"))]),
    "property": lambda table: table.alter.set_table_properties({"delta.logRetentionDuration": "interval 3 days"}),
    "checkpoint": lambda table: table.create_checkpoint(),
}


@pytest.mark.parametrize("what", BESIDE)
def test_a_commit_goes_through_whatever_another_writer_did_beside_it(path: Path, what: str) -> None:
    filled(path, 5)
    left = [1]

    def beside() -> None:
        if left:
            left.pop()
            BESIDE[what](DeltaTable(path))

    table = CrashingTable(str(path), "live", before_commit=beside)
    table.open_or_create()
    append_one(table, 5)
    append_one(table, 6)
    assert offsets(path) == each_once(7, *([2] if what == "delete" else []))


def test_another_owner_of_our_offsets_is_still_refused(path: Path) -> None:
    """A change of metadata hides no other driver: the offsets are read again before the second try."""
    other = filled(path, 5)

    def beside() -> None:
        append_one(other, 5)
        DeltaTable(path).alter.add_columns([Field("note", PrimitiveType("string"))])

    table = CrashingTable(str(path), "live", before_commit=beside)
    table.open_or_create()
    with pytest.raises(CommitRefused, match="another commit came first"):
        append_one(table, 5)
    assert offsets(path) == each_once(6)


def test_a_file_whose_name_is_escaped_in_the_log_is_not_taken_for_an_orphan(path: Path) -> None:
    """Names in the log are those of a URL; another program may choose names that differ there."""
    filled(path, 1)
    made = path / next(iter(data_files(path)))
    other = made.with_name("of another program.parquet")
    shutil.copyfile(made, other)
    name = f"{FOLDER}/of%20another%20program.parquet"
    partition = {"run_id": "live", "ingest_date": "2026-03-01"}
    size = other.stat().st_size
    commit(path, add={"path": name, "partitionValues": partition, "size": size, "modificationTime": 1, "dataChange": True})
    age([made, other, *log_of(path)], days=30)
    assert offsets(path) == {0: 2}
    assert care_for(path).deleted_files == 0
    assert offsets(path) == {0: 2}


class DeletingNetworks(RuleNetworks):
    """At the second block, another program deletes rows of the first as Spark does: a vector beside the file, in one commit."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.left: dict[int, int] | None = None

    async def detect(self, block: Any) -> DetectorReply:
        if self.left is None and unpack_block(block).span.start > 0:
            while not (added := self._added()):
                await asyncio.sleep(0.01)
            self.left = offsets(self._path)
            vector = {
                "storageType": "i",
                "pathOrInlineDv": "wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L",
                "sizeInBytes": 40,
                "cardinality": 6,
            }
            file = {name: added[0][name] for name in ("path", "partitionValues", "size", "dataChange")}
            features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
            while True:
                try:
                    commit(
                        self._path,
                        protocol={"minReaderVersion": 3, "minWriterVersion": 7} | features,
                        remove=file | {"deletionTimestamp": 1},
                        add=file | {"modificationTime": 1, "deletionVector": vector},
                    )
                    break
                except FileExistsError:
                    continue
        return await super().detect(block)

    def _added(self) -> list[dict[str, Any]]:
        return [entry["add"] for entry in entries_of(self._path) if "add" in entry]


def entries_of(path: Path) -> list[dict[str, Any]]:
    """Actions of the log, in their order."""
    return [json.loads(line) for log in sorted((path / "_delta_log").glob("*.json")) for line in log.read_text().splitlines()]


def test_a_delete_with_vectors_while_the_stream_runs_ends_it_by_name(path: Path) -> None:
    networks = DeletingNetworks(path)
    stream = MemoryStream(MemoryTopic({0: frames(24)}), path, networks.handles(), in_flight_blocks=2)
    with pytest.raises(SettingsError, match=r"got one with .*deletionVectors"):
        stream.catch_up()
    assert networks.left
    assert "deletionVector" in [entry["add"] for entry in entries_of(path) if "add" in entry][-1], "the last commit is theirs"


@pytest.mark.slow
def test_a_stream_beside_writers_that_never_rest(path: Path) -> None:
    """Another writer merges, deletes, vacuums and changes metadata all the time; we commit and merge."""
    table = ResultsTable(str(path), "live", compact_after_commits=10)
    table.open_or_create()
    done = threading.Event()
    deleted: list[int] = []

    def delete() -> None:
        rows = DeltaTable(path).to_pyarrow_table(columns=["source_offset"])["source_offset"].to_pylist()
        if rows and (offset := max(rows)) not in deleted:
            DeltaTable(path).delete(f"source_offset = {offset}")
            deleted.append(offset)

    def annoy() -> None:
        doings: list[Callable[[], object]] = [
            lambda: DeltaTable(path).optimize.compact(),
            delete,
            lambda: DeltaTable(path).vacuum(retention_hours=24, dry_run=False),
            lambda: DeltaTable(path).alter.set_table_properties({"delta.logRetentionDuration": "interval 3 days"}),
        ]
        while not done.is_set():
            for doing in doings:
                with suppress(CommitFailedError):
                    doing()

    annoying = threading.Thread(target=annoy)
    annoying.start()
    for offset in range(60):
        append_one(table, offset)
        if offset % 20 == 10:  # a delete never commits beside a commit of new rows
            before = len(deleted)
            while len(deleted) == before and annoying.is_alive():
                time.sleep(0.01)
    done.set()
    annoying.join()
    table.compactor.wait()
    care_for(path)
    assert table.next_offsets("frames", [0]) == {0: 60}
    assert len(deleted) >= 3
    assert offsets(path) == each_once(60, *deleted)
