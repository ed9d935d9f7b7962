"""Two runs compared: live against reprocessed, or one network against another, frame by frame.

Frames are the same where their positions are, or, where the runs have none in common, where sensor, frame id and capture time are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from contracts.archive_range import ARCHIVE_PREFIX
from contracts.arrow import RESULTS_SCHEMA, Status, table_to_outcomes
from contracts.errors import SettingsError
from contracts.position import KafkaPosition, TopicPartition
from contracts.result import KEPT_BESIDE, Outcome
from evaluation.run_diff import Answer, FrameDiff, MatchRules, compare
from pipeline.table.delta import reading
from pipeline.table.run_range import stored_range

_PLACE = ["source_topic", "source_partition", "source_offset"]
_NAME = ["sensor_id", "frame_id", "captured_at"]
_COLUMNS = [*_PLACE, *_NAME, "ingested_at", "status", "detections", "detection_suppressed_by"]
_CHUNK_ROWS = 20_000
MatchBy = Literal["position", "frame"]


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of two runs.

    Attributes:
        table: one version of the results.
        run_id: whose rows.
        sensor: of this sensor only; None for all.
        storage_options: of the table's object store.
    """

    table: DeltaTable
    run_id: str
    sensor: str | None = None
    storage_options: dict[str, str] = field(default_factory=dict)

    def keys(self) -> pa.Table:
        """Positions and names of its frames; a gap row stands for none."""
        return self.rows_of([*_PLACE, *_NAME], pc.field("status") != Status.GAP.value)

    def rows_of(self, columns: list[str] | None, wanted: pc.Expression | None) -> pa.Table:
        """Some columns (None: all) of some rows (None: all).

        Raises:
            RetryLater: the object store does not answer.
        """
        mine = pc.field("run_id") == self.run_id
        if self.sensor is not None:
            mine &= pc.field("sensor_id") == self.sensor
        with reading(self.table):
            dataset = self.table.to_pyarrow_dataset()
            known = [name for name in columns or RESULTS_SCHEMA.names if name in dataset.schema.names]  # an older table has fewer
            return dataset.to_table(columns=known, filter=mine if wanted is None else mine & wanted)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Frames of two runs, one by one, and how many only one of them has.

    Attributes:
        match_by: how frames were found again.
        only_a, only_b: rows of one run that have no partner in the other.
        num_frames: that both have.
        frames: comparison of each, made as they are taken.
    """

    match_by: MatchBy
    only_a: int
    only_b: int
    num_frames: int
    frames: Iterator[FrameDiff]


def compare_runs(first: Side, second: Side, rules: MatchRules, match_by: MatchBy | None = None) -> Comparison:
    """Compare the frames that two runs have in common.

    Args:
        first: run A.
        second: run B.
        rules: which detections are one target.
        match_by: how to find a frame again; None: by position where the runs have positions in common, else by name and time.

    Positions mean the same frames only within one topic, or one archive of the same files: those of others of the same name do not count.

    Raises:
        SettingsError: a run has no rows, they have no frame in common, or positions are asked for that mean other frames.
        RetryLater: the object store does not answer.
    """
    keys_a, keys_b = first.keys(), second.keys()
    for side, keys in ((first, keys_a), (second, keys_b)):
        if not keys.num_rows:
            raise _nothing(f"rows of run {side.run_id}" + (f", sensor {side.sensor}" if side.sensor else ""), "none", side)
    joined = None
    other = _other_topic(first, second, keys_a, keys_b) if match_by != "frame" else None
    if other is not None and match_by == "position":
        raise SettingsError(
            expected=f"positions of one {other}",
            got=f"those of two of this name: {_other(other)}",
            where=f"{first.run_id} and {second.run_id}",
            action="Compare them by frame: sensor, frame id and time of capture.",
        )
    for way in ("position", "frame") if match_by is None and other is None else (match_by or "frame",):
        joined = _joined(keys_a, keys_b, _PLACE if way == "position" else _NAME)
        if joined.num_rows:
            match_by = way
            break
    assert joined is not None
    if not joined.num_rows:
        got = "no position, and no sensor, id and time"
        if other is not None:
            got = f"no sensor, id and time; positions are of two {other}, {_other(other)}"
        raise _nothing(f"frames that {first.run_id} and {second.run_id} have in common", got, second)
    assert match_by is not None
    num = joined.num_rows
    return Comparison(match_by, keys_a.num_rows - num, keys_b.num_rows - num, num, _frames(first, second, joined, rules))


def _other_topic(first: Side, second: Side, keys_a: pa.Table, keys_b: pa.Table) -> str | None:
    """A topic that both runs name and that was another one for each, as far as the tables say; None where there is none."""
    ranges = [stored_range(side.table, side.run_id, side.storage_options) for side in (first, second)]
    for topic in sorted(set(pc.unique(keys_a["source_topic"]).to_pylist()) & set(pc.unique(keys_b["source_topic"]).to_pylist())):
        ids = [None if each is None or each.topic != topic else each.topic_id for each in ranges]
        if ids[0] is not None and ids[1] is not None:
            if ids[0] != ids[1]:
                return str(topic)
            continue
        for topic_id, side, keys in ((ids[0], second, keys_b), (ids[1], first, keys_a)):
            if topic_id is not None and not _is_of(side, keys, topic, topic_id):
                return str(topic)
    return None


def _is_of(side: Side, keys: pa.Table, topic: str, topic_id: str) -> bool:
    """False where a run's offsets are noted for another topic of this name."""
    numbers = pc.unique(keys.filter(pc.equal(keys["source_topic"], topic))["source_partition"]).to_pylist()
    with reading(side.table):
        for number in numbers:
            name = f"{side.run_id}/{TopicPartition(topic, number)}"
            if side.table.transaction_version(name) is not None and side.table.transaction_version(f"{name}@{topic_id}") is None:
                return False
    return True


def _other(topic: str) -> str:
    return "the files are others" if topic.startswith(ARCHIVE_PREFIX) else "it was deleted and created again"


def _joined(keys_a: pa.Table, keys_b: pa.Table, on: list[str]) -> pa.Table:
    """Positions of A's and B's rows (`_b`) of the same frames; names that stand for several rows of a run stand for none."""
    left = _unambiguous(keys_a, on).select([*on, *(name for name in _PLACE if name not in on)])
    right = _unambiguous(keys_b, on).select([*on, *(name for name in _PLACE if name not in on)])
    found = left.join(right, on, join_type="inner", right_suffix="_b")
    for name in _PLACE:
        if f"{name}_b" not in found.column_names:
            found = found.append_column(f"{name}_b", found[name])
    return found.sort_by([(name, "ascending") for name in _PLACE])


def _unambiguous(keys: pa.Table, on: list[str]) -> pa.Table:
    for name in on:
        keys = keys.filter(pc.is_valid(keys[name]))
    counts = keys.group_by(on).aggregate([([], "count_all")])
    if counts.num_rows == keys.num_rows:
        return keys
    return keys.join(counts.filter(pc.equal(counts["count_all"], 1)).select(on), on, join_type="left semi")


def _frames(first: Side, second: Side, joined: pa.Table, rules: MatchRules) -> Iterator[FrameDiff]:
    for start in range(0, joined.num_rows, _CHUNK_ROWS):
        part = joined.slice(start, _CHUNK_ROWS)
        own = part.select(_PLACE)
        other = part.select([f"{name}_b" for name in _PLACE]).rename_columns(_PLACE)
        rows_a, rows_b = _rows_at(first, own), _rows_at(second, other)
        for place_a, place_b in zip(_tuples(own), _tuples(other), strict=True):
            row_a, row_b = rows_a[place_a], rows_b[place_b]
            yield compare(
                _answer(row_a),
                _answer(row_b),
                rules,
                sensor_id=row_a["sensor_id"] or "",
                frame_id=row_a["frame_id"] or "",
                captured_at=row_a["captured_at"] or row_a["ingested_at"],
                positions=("/".join(map(str, place_a)), "/".join(map(str, place_b))),
            )


def _rows_at(side: Side, places: pa.Table) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    """Rows of some places: of each partition's stretch, which files are chosen by, only they become objects."""
    wanted = None
    bounds = places.group_by(_PLACE[:2]).aggregate([("source_offset", "min"), ("source_offset", "max")])
    for each in bounds.to_pylist():
        stretch = (pc.field("source_topic") == each["source_topic"]) & (pc.field("source_partition") == each["source_partition"])
        stretch &= (pc.field("source_offset") >= each["source_offset_min"]) & (pc.field("source_offset") <= each["source_offset_max"])
        wanted = stretch if wanted is None else wanted | stretch
    rows = side.rows_of(_COLUMNS, wanted)
    numbered = rows.select(_PLACE).append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    rows = rows.take(numbered.join(places, _PLACE, join_type="left semi")["row"])
    return {tuple(row[name] for name in _PLACE): row for row in rows.to_pylist(maps_as_pydicts="lossy")}


def _tuples(places: pa.Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(places[name].to_pylist() for name in _PLACE), strict=True)


def _answer(row: Mapping[str, Any]) -> Answer:
    every = row["detections"] or []
    marks = row.get("detection_suppressed_by") or [None] * len(every)
    found = [each for each, mark in zip(every, marks, strict=True) if mark not in KEPT_BESIDE]
    return Answer(
        status=row["status"],
        labels=tuple(each["label"] for each in found),
        scores_N=np.array([each["score"] for each in found], np.float64),
        boxes_N4=np.array([(each["x_min_px"], each["y_min_px"], each["x_max_px"], each["y_max_px"]) for each in found], np.float64).reshape(
            -1, 4
        ),
        centroids_N2=np.array([(each["centroid_x_px"], each["centroid_y_px"]) for each in found], np.float64).reshape(-1, 2),
    )


def _nothing(expected: str, got: str, side: Side) -> SettingsError:
    return SettingsError(
        expected=expected, got=got, where=str(side.table.table_uri), action="Check run ids and table; `irstream audit` says what a run has."
    )


def models_of(side: Side) -> str:
    """Networks of a run's rows, by task; several of a task where it has had several."""
    flat = pc.list_flatten(side.rows_of(["models"], pc.field("status") == "ok")["models"])
    listed = pa.table({name: pc.struct_field(flat, name) for name in ("task", "name")})
    names: dict[str, list[str]] = {}
    for row in listed.group_by(["task", "name"]).aggregate([]).sort_by([("task", "ascending"), ("name", "ascending")]).to_pylist():
        names.setdefault(row["task"], []).append(row["name"])
    return ", ".join(f"{task} {' and '.join(found)}" for task, found in names.items()) or "no networks"


def outcome_at(side: Side, position: KafkaPosition) -> Outcome | None:
    """The row of one position."""
    place = pc.field("source_topic") == position.topic
    place &= (
        (pc.field("status") != Status.GAP.value)
        & (pc.field("source_partition") == position.partition)
        & (pc.field("source_offset") == position.offset)
    )
    found = table_to_outcomes(side.rows_of(None, place).slice(0, 1))
    return found[0] if found else None
