"""The results table: one Delta commit makes rows visible and moves the offsets, or neither.

Steps of `append`, and what a crash after each leaves behind:

1. The handle is brought up to date; every span must begin where the table stands. (nothing)
2. Data files with unique names are written. (files nobody refers to; readers never see them)
3. One commit names the files and sets, per partition, the transaction `<run_id>/<topic>/<partition>` to the next
   offset. Delta's own conflict check refuses it when somebody has moved one of these since step 1. (all of it)
   It also refuses it when somebody has changed the table's metadata; where our offsets stand as they did, it is tried again.

The id of each topic is pinned by a second transaction, `<run_id>/<topic>/<partition>@<topic_id>`: transactions live
as long as the table, the metadata of a commit only as long as the log (docs/adr/0008-topic-id-in-a-transaction.md).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction
from pyarrow.fs import FileSystem

from contracts.arrow import outcomes_to_table
from contracts.errors import RetryLater, SettingsError, StopPipeline
from contracts.position import OffsetRange, TopicPartition
from contracts.result import Outcome
from pipeline.table.beside import BesideRows, by_run, continued
from pipeline.table.compactor import Compactor
from pipeline.table.delta import object_store, open_or_create_results, plain_text, reading, refresh, write_data_file
from pipeline.table.features import feature_of, refusal
from pipeline.table.recent import RecentFrame, recent_frames
from pipeline.table.run_range import has_range
from pipeline.table.settings import MergePolicy
from pipeline.table.watermark import CommitRefused, continue_from, require_outcomes_in_spans

# The name becomes a folder (run_id=...) and the first part of transaction ids.
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_MAX_TRIES = 20  # of a commit that others overtake with changes of metadata


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """One commit.

    Attributes:
        version: of the table, at least this commit's (a neighbour may have committed since).
        num_rows: rows it made visible.
        next_offsets: where each partition stands now.
        commit_ms: milliseconds from the first to the last step.
    """

    version: int
    num_rows: int
    next_offsets: dict[TopicPartition, int]
    commit_ms: float


class OutcomeTable(Protocol):
    """Interface of a table for the committer; `ResultsTable` and the tests' `MemoryTable` pass one suite."""

    def next_offsets(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Next offsets of the run, for those partitions it has committed."""
        ...

    def append(
        self,
        outcomes: Sequence[Outcome],
        spans: Sequence[OffsetRange],
        topic_ids: Mapping[str, str],
        beside: Sequence[BesideRows] = (),
    ) -> CommitInfo:
        """Make the rows visible and move the offsets, or neither; with those of other runs beside them."""
        ...


class ResultsTable:
    """The results of one run in one Delta table. Methods may be called from any thread; one runs at a time."""

    # Less than the least sink.orphan_grace_s, after which `irstream table maintain` deletes a file that no version refers to.
    max_uncommitted_s = 120.0

    def __init__(
        self,
        path: str,
        run_id: str,
        storage_options: Mapping[str, str] | None = None,
        *,
        compact_after_commits: int = 500,
        merge_policy: MergePolicy | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            path: folder or URL of the table.
            run_id: `live` or the name of a reprocessing run.
            storage_options: for the object store, passed through as they are.
            compact_after_commits: small files are merged in the background after so many commits; 0 never.
            merge_policy: how large merged files become.

        Raises:
            SettingsError: the run id cannot be a folder name.
        """
        if not _RUN_ID.fullmatch(run_id):
            raise SettingsError(
                expected="letters, digits, '.', '_' and '-', at most 128, beginning with a letter or digit",
                got=repr(run_id),
                where="run_id",
                action="Choose another run_id.",
            )
        self.path = path
        self.run_id = run_id
        self._storage_options = dict(storage_options or {})
        self._table: DeltaTable | None = None
        self._store: FileSystem | None = None
        self._next_offsets: dict[TopicPartition, int | None] = {}
        self._next_offsets_version = -1
        self._same_topic: set[tuple[TopicPartition, str]] = set()
        self._lock = threading.RLock()
        self.compactor = Compactor(path, run_id, self._storage_options, compact_after_commits, merge_policy)

    def open_or_create(self) -> None:
        """Open the table, create it where there is none.

        Raises:
            SettingsError: the place cannot be written, or holds something else.
        """
        with self._lock:
            self._table = open_or_create_results(self.path, self._storage_options)
            self._store = object_store(self.path, self._storage_options)
            self._next_offsets_version = -1

    @property
    def version(self) -> int:
        """Delta version this handle knows."""
        return int(self._opened().version())

    def has_range(self) -> bool:
        """True where the run is that of an archive, with a range that was fixed when it began."""
        with self._lock:
            return has_range(self._opened(), self.run_id)

    def next_offsets(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Next offsets of the run: the first offset without a row, for those partitions it has committed.

        Transactions can be asked for but not listed, hence `partitions`.

        Raises:
            RetryLater: the object store does not answer.
        """
        with self._lock:
            self._refresh()
            next_offsets = {partition: self._next_offset(TopicPartition(topic, partition)) for partition in partitions}
        return {partition: offset for partition, offset in next_offsets.items() if offset is not None}

    def require_topic(self, topic: str, topic_id: str, partitions: Iterable[int]) -> None:
        """Check that the offsets in the table were counted in this very topic, not in one deleted since.

        Raises:
            StopPipeline: the table stands somewhere in another topic of this name.
            RetryLater: the object store does not answer.
        """
        with self._lock:
            self._refresh()
            for partition in partitions:
                self._require_topic_id(TopicPartition(topic, partition), topic_id)

    def recent_frames(self, topic: str, offsets: Mapping[int, range]) -> dict[int, list[RecentFrame]]:
        """Frames of some offsets of each partition, in the order of the log.

        Raises:
            RetryLater: the object store does not answer.
        """
        with self._lock:
            self._refresh()
            table = self._opened()
            rows = table.to_pyarrow_dataset()
        with reading(table):
            return recent_frames(rows, self.run_id, topic, offsets)

    def append(
        self,
        outcomes: Sequence[Outcome],
        spans: Sequence[OffsetRange],
        topic_ids: Mapping[str, str],
        beside: Sequence[BesideRows] = (),
    ) -> CommitInfo:
        """Make rows visible and move the offsets in one commit.

        Args:
            outcomes: in log order per partition; each lies in one of the spans, at most one per position.
            spans: what the commit accounts for; spans without a row (markers, compaction) move the offset alone.
            topic_ids: Kafka's id of each topic that has one.
            beside: rows of other runs (shadows) for some of the spans; their offsets move in the same commit.

        Raises:
            CommitRefused: a span does not begin where the table stands, or somebody else moved our offsets first.
            StopPipeline: the topic was recreated.
            SettingsError: another program has changed the table so that we must not write to it.
            RetryLater: the object store failed; whether the commit took place is for the next start to read.
            ValueError: an outcome outside the spans, or two for one position.
        """
        require_outcomes_in_spans(outcomes, spans)
        with self._lock:
            return self._append(outcomes, spans, topic_ids, beside)

    def _append(
        self,
        outcomes: Sequence[Outcome],
        spans: Sequence[OffsetRange],
        topic_ids: Mapping[str, str],
        beside: Sequence[BesideRows],
    ) -> CommitInfo:
        started_s = time.monotonic()
        self._refresh()
        next_offsets = {span.topic_partition: self._next_offset(span.topic_partition) for span in spans}
        following = continue_from(next_offsets, spans, self.path)
        transactions = [Transaction(self._app_id(partition), offset) for partition, offset in following.items()]
        for partition in following:
            if (topic_id := topic_ids.get(partition.topic)) is not None:
                self._require_topic_id(partition, topic_id)
                if next_offsets[partition] is None:
                    transactions.append(Transaction(self._topic_app_id(partition, topic_id), 0))
        files = [outcomes_to_table(outcomes, self.run_id)]
        for run_id, rows in by_run(beside).items():
            more, moved = self._beside(run_id, rows, topic_ids)
            files.append(outcomes_to_table(more, run_id))
            transactions.extend(moved)
        self._next_offsets_version = self._commit(files, transactions, following, topic_ids)
        self._next_offsets |= following
        self.compactor.count_commit(by_run(beside))
        return CommitInfo(self.version, len(outcomes), following, (time.monotonic() - started_s) * 1e3)

    def _beside(self, run_id: str, rows: Sequence[BesideRows], topic_ids: Mapping[str, str]) -> tuple[list[Outcome], list[Transaction]]:
        """Rows of another run, and what moves its offsets."""
        stood = {each.span.topic_partition: self._transaction(f"{run_id}/{each.span.topic_partition}") for each in rows}
        outcomes, following = continued(rows, stood.__getitem__)
        transactions = [Transaction(f"{run_id}/{partition}", offset) for partition, offset in following.items()]
        new = [partition for partition in following if stood[partition] is None and partition.topic in topic_ids]
        transactions += [Transaction(f"{run_id}/{partition}@{topic_ids[partition.topic]}", 0) for partition in new]
        return outcomes, transactions

    def _commit(
        self,
        rows: Sequence[pa.Table],
        transactions: list[Transaction],
        following: Mapping[TopicPartition, int],
        topic_ids: Mapping[str, str],
    ) -> int:
        before = self.version
        note = {
            "run_id": self.run_id,
            "next_offsets": {str(partition): offset for partition, offset in following.items()},
            "topic_ids": {topic: topic_ids[topic] for topic in {partition.topic for partition in following} if topic in topic_ids},
        }
        written_s = time.time()  # not monotonic: that clock stands still while a machine sleeps
        try:
            files = [file for each in rows for file in self._write_files(each)]
            properties = CommitProperties(custom_metadata={"irstream": note}, app_transactions=transactions)
            stood = {partition: self._next_offset(partition) for partition in following}
            self._commit_where_it_stood(files, properties, stood, written_s)
        except CommitFailedError as error:
            raise self._refused(error) from error
        except (DeltaError, OSError) as error:
            raise self._unavailable(error) from error
        self._refresh()
        # A neighbour's commit in between may have been of this run: what we remember is then read again.
        return self.version if self.version == before + 1 else -1

    def _commit_where_it_stood(
        self,
        files: list[AddAction | RemoveAction],
        properties: CommitProperties,
        stood: Mapping[TopicPartition, int | None],
        written_s: float,
    ) -> None:
        """Commit; again, when others changed the table beside us (a column, a property) and our offsets stand as they did."""
        for _ in range(_MAX_TRIES):
            if (waited_s := time.time() - written_s) > self.max_uncommitted_s:
                raise OSError(f"{waited_s:.0f} s from data file to commit: a vacuum may have deleted the file")
            try:
                self._commit_files(files, properties)
            except CommitFailedError as error:
                if feature := feature_of(error):
                    raise refusal([feature], self.path) from error
                self._refresh()
                if any(self._next_offset(partition) != offset for partition, offset in stood.items()):
                    raise self._refused(error) from error
                last = error
            else:
                return
        raise last

    def _write_files(self, rows: pa.Table) -> list[AddAction | RemoveAction]:
        days = pc.unique(rows.column("ingest_date"))
        parts = [rows] if len(days) == 1 else [rows.filter(pc.equal(rows.column("ingest_date"), day)) for day in days]
        return [write_data_file(self._opened_store(), part) for part in parts]

    def _commit_files(self, files: list[AddAction | RemoveAction], properties: CommitProperties) -> None:
        table = self._opened()
        table.create_write_transaction(files, "append", table.schema(), commit_properties=properties)

    def _refused(self, error: CommitFailedError) -> CommitRefused:
        return CommitRefused(
            expected="to be the only process that writes these partitions of this run",
            got=f"another commit came first ({plain_text(error)})",
            where=f"{self.path}, run_id {self.run_id}",
            action="Nothing of ours was written. Stop one of the two processes, or give one of them another run_id.",
        )

    def _unavailable(self, error: Exception) -> RetryLater:
        return RetryLater(
            expected="the table to be readable and writable",
            got=plain_text(error),
            where=self.path,
            action="Trying again from where the table stands; check disk space, network and credentials.",
        )

    def _opened(self) -> DeltaTable:
        if self._table is None:
            raise RuntimeError("open_or_create() comes first")
        return self._table

    def _opened_store(self) -> FileSystem:
        if self._store is None:
            raise RuntimeError("open_or_create() comes first")
        return self._store

    def _refresh(self) -> None:
        try:
            refresh(self._opened(), self.path)
        except (DeltaError, OSError) as error:
            raise self._unavailable(error) from error

    def _next_offset(self, partition: TopicPartition) -> int | None:
        version = int(self._opened().version())
        if version != self._next_offsets_version:
            self._next_offsets.clear()
            self._next_offsets_version = version
        if partition not in self._next_offsets:
            self._next_offsets[partition] = self._transaction(self._app_id(partition))
        return self._next_offsets[partition]

    def _require_topic_id(self, partition: TopicPartition, topic_id: str) -> None:
        if (partition, topic_id) in self._same_topic or self._next_offset(partition) is None:
            return
        if self._transaction(self._topic_app_id(partition, topic_id)) is not None:
            self._same_topic.add((partition, topic_id))
            return
        raise StopPipeline(
            expected=f"topic {partition.topic} to be the one whose offsets the table holds",
            got=f"a topic of the same name with id {topic_id}: it was deleted and created again",
            where=f"{self.path}, run_id {self.run_id}, {partition}",
            action="Offsets of the new topic mean other messages. Continue it under another run_id.",
        )

    def _transaction(self, app_id: str) -> int | None:
        try:
            version = self._opened().transaction_version(app_id)
        except (DeltaError, OSError) as error:
            raise self._unavailable(error) from error
        return None if version is None else int(version)

    def _app_id(self, partition: TopicPartition) -> str:
        return f"{self.run_id}/{partition}"

    def _topic_app_id(self, partition: TopicPartition, topic_id: str) -> str:
        return f"{self._app_id(partition)}@{topic_id}"
