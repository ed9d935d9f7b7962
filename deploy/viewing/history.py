"""Questions to the results table about the past: rows by time, the last rows of a sensor, the sights of a track."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray
from pyarrow.dataset import FileSystemDataset

from contracts.arrow import RESULTS_SCHEMA, Status, table_to_outcomes
from contracts.errors import SettingsError
from contracts.position import KafkaPosition
from contracts.result import DeadLetter, Detection, FrameResult, Gap, Outcome
from deploy.viewing.shown import number, seconds, text
from pipeline.table.delta import open_results, reading

BUCKETS = 120
_MOST_ROWS_SCANNED = 30_000_000
_SIGHTS, _TRACK_BEFORE, _TRACK_BEHIND = 2_000, 200_000, 10_000
_PLACE = ("source_topic", "source_partition", "source_offset")
_SMALL = (*_PLACE, "ingested_at", "status", "detection_suppressed_by")
_FILE = "__filename"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Rows that are asked for.

    Attributes:
        sensor_id: None: of all sensors.
        since: first moment of Kafka's timestamps.
        until: end, exclusive.
        only: `targets`: frames with a detection that no filter suppresses; `rejected`: rejected messages and gaps; `all`.
        limit: most rows that are listed, the newest ones.
    """

    sensor_id: str | None
    since: datetime
    until: datetime
    only: str = "all"
    limit: int = 100


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A detection of a track in its frame."""

    result: FrameResult
    index: int

    @property
    def detection(self) -> Detection:
        """The detection."""
        return self.result.detections[self.index]


class History:
    """Answers from one run's rows. Methods may be called from any thread."""

    def __init__(self, uri: str, storage_options: dict[str, str], run_id: str) -> None:
        """Nothing is opened yet.

        Args:
            uri: of the table.
            storage_options: of the object store.
            run_id: whose rows.
        """
        self._uri, self._options, self._run_id = uri, storage_options, run_id
        self._lock = threading.Lock()
        self._table: DeltaTable | None = None

    def timeline(self, asked: Asked) -> dict[str, Any]:
        """Rows of a stretch of time: counted in `BUCKETS` equal parts, and the newest of them one by one.

        Raises:
            SettingsError: no table, or a stretch with too many rows.
            RetryLater: the object store does not answer.
        """
        wanted = self._within(asked.since, asked.until)
        if asked.sensor_id is not None:
            wanted &= pc.field("sensor_id") == asked.sensor_id
        with self._reading() as (rows, files):
            self._require_few(files, asked)
            found = rows.scanner(columns=[*(name for name in _SMALL if name in rows.schema.names), _FILE], filter=wanted).to_table()
            times_N = found["ingested_at"].cast(pa.int64()).to_numpy() / 1e6
            targets_N = _num_shown(found)
            rejected_N = pc.not_equal(found["status"], Status.OK.value).to_numpy()
            chosen_N = {"targets": targets_N > 0, "rejected": rejected_N}.get(asked.only, np.ones(len(times_N), bool))
            newest = np.flatnonzero(chosen_N)[np.argsort(times_N[chosen_N], kind="stable")[::-1][: asked.limit]]
            places, outcomes = self._at(rows, found.take(newest), wanted)
        edges = np.linspace(asked.since.timestamp(), asked.until.timestamp(), BUCKETS + 1)
        return {
            "since": seconds(asked.since),
            "until": seconds(asked.until),
            "buckets": {
                name: np.histogram(times_N[of_N], edges)[0].tolist()
                for name, of_N in (("frames", ~rejected_N), ("targets", targets_N > 0), ("rejected", rejected_N))
            },
            "num": {"frames": int((~rejected_N).sum()), "targets": int((targets_N > 0).sum()), "rejected": int(rejected_N.sum())},
            "rows": [_line(outcomes[place]) for place in places if place in outcomes],
        }

    def last_results(self, sensor_id: str, limit: int) -> list[FrameResult]:
        """The last rows of a sensor that the networks have seen, newest first; errors as `timeline`."""
        mine = (pc.field("run_id") == self._run_id) & (pc.field("sensor_id") == sensor_id) & (pc.field("status") == Status.OK.value)
        with self._reading() as (rows, _):
            found = rows.scanner(columns=[*_PLACE, "ingested_at", _FILE], filter=mine).to_table()
            found = found.sort_by([("ingested_at", "descending"), ("source_offset", "descending")]).slice(0, limit)
            places, outcomes = self._at(rows, found, mine)
        return [each for place in places if isinstance(each := outcomes.get(place), FrameResult)]

    def sights(self, track_id: str, sensor_id: str, at: KafkaPosition) -> list[Sight]:
        """The sights of a track near a row, in the order of the log; of a long one the last. Errors as `timeline`."""
        offset = pc.field("source_offset")
        mine = (pc.field("run_id") == self._run_id) & (pc.field("source_topic") == at.topic) & (pc.field("sensor_id") == sensor_id)
        mine &= (pc.field("source_partition") == at.partition) & (pc.field("status") == Status.OK.value)
        mine &= (offset >= max(_first_offset(track_id), at.offset - _TRACK_BEFORE)) & (offset < at.offset + _TRACK_BEHIND)
        with self._reading() as (rows, _):
            if "detection_track_id" not in rows.schema.names:
                return []
            found = rows.scanner(columns=[*_PLACE, "detection_track_id", _FILE], filter=mine).to_table().sort_by("source_offset")
            flat = pc.list_flatten(found["detection_track_id"])
            in_row = pc.list_parent_indices(found["detection_track_id"]).filter(pc.equal(flat, track_id))
            _, outcomes = self._at(rows, found.take(pc.unique(in_row)[-_SIGHTS:]), mine)
        results = [each for _, each in sorted(outcomes.items()) if isinstance(each, FrameResult)]
        return [Sight(each, index) for each in results for index, one in enumerate(each.detections) if one.track_id == track_id]

    def _within(self, since: datetime, until: datetime) -> pc.Expression:
        moment, day = pc.field("ingested_at"), pc.field("ingest_date")
        # A day more on each side: gap rows lie in the day of their end. It leaves out whole files.
        days = (day >= pa.scalar((since - _DAY).date())) & (day <= pa.scalar((until + _DAY).date()))
        stamp = pa.timestamp("us", "UTC")
        return (pc.field("run_id") == self._run_id) & days & (moment >= pa.scalar(since, stamp)) & (moment < pa.scalar(until, stamp))

    def _require_few(self, files: pa.Table, asked: Asked) -> None:
        days = files["partition.ingest_date"].cast(pa.date32())
        within = pc.and_(
            pc.equal(files["partition.run_id"], self._run_id),
            pc.and_(pc.greater_equal(days, pa.scalar(asked.since.date())), pc.less_equal(days, pa.scalar(asked.until.date()))),
        )
        num = pc.sum(files["num_records"].filter(within)).as_py() or 0
        if num > _MOST_ROWS_SCANNED:
            raise SettingsError(
                expected=f"days with at most {_MOST_ROWS_SCANNED:,} rows",
                got=f"{num:,}",
                where=f"{asked.since:%Y-%m-%d} to {asked.until:%Y-%m-%d}",
                action="Look at a shorter time, or ask the table with DuckDB.",
            )

    def _at(
        self, rows: FileSystemDataset, found: pa.Table, mine: pc.Expression
    ) -> tuple[list[KafkaPosition], dict[KafkaPosition, Outcome]]:
        """Positions of some rows in their order, and the rows as a whole, from no other files than theirs."""
        places = [KafkaPosition(*place) for place in zip(*(found[name].to_pylist() for name in _PLACE), strict=True)]
        if not places:
            return [], {}
        offsets: dict[tuple[str, int], list[int]] = {}
        for each in places:
            offsets.setdefault((each.topic, each.partition), []).append(each.offset)
        wanted = [
            (pc.field("source_topic") == topic) & (pc.field("source_partition") == partition) & pc.field("source_offset").isin(of_it)
            for (topic, partition), of_it in offsets.items()
        ]
        names = set(found[_FILE].to_pylist())
        fragments = [each for each in rows.get_fragments() if each.path in names]
        files = FileSystemDataset(fragments, rows.schema, rows.format, rows.filesystem)
        columns = [name for name in RESULTS_SCHEMA.names if name in rows.schema.names]
        whole = files.scanner(columns=columns, filter=mine & reduce(or_, wanted)).to_table()
        return places, {each.position: each for each in table_to_outcomes(whole)}

    @contextmanager
    def _reading(self) -> Iterator[tuple[FileSystemDataset, pa.Table]]:
        """Rows and files of the newest version, with errors of the object store turned into ours."""
        with self._lock:
            if self._table is None:
                self._table = open_results(self._uri, self._options)
            with reading(self._table):
                self._table.update_incremental()
                rows, files = self._table.to_pyarrow_dataset(), pa.table(self._table.get_add_actions(flatten=True))
        with reading(self._table):
            yield rows, files


def spread(items: Sequence[Sight], num: int) -> Iterator[Sight]:
    """`num` of them at even distances, the first and the last among them."""
    if len(items) <= num:
        yield from items
        return
    for index in range(num):
        yield items[round(index * (len(items) - 1) / (num - 1))]


def _num_shown(rows: pa.Table) -> NDArray[np.int64]:
    """Detections of each row that no filter suppresses; 0 in rows of versions that did not say."""
    num_N = np.zeros(rows.num_rows, np.int64)
    if "detection_suppressed_by" not in rows.column_names:
        return num_N
    lists = rows["detection_suppressed_by"].combine_chunks()
    shown = pc.is_null(pc.list_flatten(lists)).to_numpy(zero_copy_only=False)
    np.add.at(num_N, pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)[shown], 1)
    return num_N


def _first_offset(track_id: str) -> int:
    try:
        return KafkaPosition.parse(track_id.partition("#")[0]).offset
    except ValueError:
        return 0


def _line(outcome: Outcome) -> dict[str, Any]:
    line: dict[str, Any] = {"position": str(outcome.position), "at": seconds(outcome.ingested_at), "sensor_id": None, "words": ""}
    if isinstance(outcome, Gap):
        return line | {"status": "gap", "words": text(outcome.detail)}
    line["sensor_id"] = None if outcome.sensor_id is None else text(outcome.sensor_id)
    if isinstance(outcome, DeadLetter):
        return line | {"status": "rejected", "words": text(f"{outcome.reason.value}: {outcome.detail}")}
    quiet = len(outcome.sure) - len(outcome.shown)
    words = [text(each.words) for each in outcome.shown[:4]]
    return line | {"status": "ok", "words": "; ".join(words), "targets": len(outcome.shown), "suppressed": quiet}


def sight_line(sight: Sight) -> dict[str, Any]:
    """A sight for the page."""
    each, result = sight.detection, sight.result
    return {
        "position": str(result.position),
        "at": seconds(result.captured_at),
        "x": number(each.centroid_x_px),
        "y": number(each.centroid_y_px),
        "label": text(each.label),
        "score": number(each.score),
        "label_score": number(each.label_score),
        "speed_px_s": number(each.speed_px_s),
        "suppressed_by": None if each.suppressed_by is None else text(each.suppressed_by),
    }
