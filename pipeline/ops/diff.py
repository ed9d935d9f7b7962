"""Two runs compared: live against reprocessed, or one network against another, frame by frame.

Frames are the same where their positions are, or, where the runs have none in common, where sensor, frame id and capture time are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from contracts.arrow import RESULTS_SCHEMA, table_to_outcomes
from contracts.errors import SettingsError
from contracts.position import KafkaPosition
from contracts.result import Outcome
from evaluation.run_diff import Answer, FrameDiff, MatchRules, compare
from pipeline.table.delta import reading

_PLACE = ["source_topic", "source_partition", "source_offset"]
_NAME = ["sensor_id", "frame_id", "captured_at"]
_COLUMNS = [*_PLACE, *_NAME, "ingested_at", "status", "detections"]
_CHUNK_ROWS = 20_000
MatchBy = Literal["position", "frame"]


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of two runs.

    Attributes:
        table: one version of the results.
        run_id: whose rows.
        sensor: of this sensor only; None for all.
    """

    table: DeltaTable
    run_id: str
    sensor: str | None = None

    def keys(self) -> pa.Table:
        """Positions and names of its rows."""
        return self.rows_of([*_PLACE, *_NAME], None)

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

    Raises:
        SettingsError: a run has no rows, or they have no frame in common.
        RetryLater: the object store does not answer.
    """
    keys_a, keys_b = first.keys(), second.keys()
    for side, keys in ((first, keys_a), (second, keys_b)):
        if not keys.num_rows:
            raise _nothing(f"rows of run {side.run_id}" + (f", sensor {side.sensor}" if side.sensor else ""), "none", side)
    joined = None
    for way in ("position", "frame") if match_by is None else (match_by,):
        joined = _joined(keys_a, keys_b, _PLACE if way == "position" else _NAME)
        if joined.num_rows:
            match_by = way
            break
    assert joined is not None
    if not joined.num_rows:
        raise _nothing(f"frames that {first.run_id} and {second.run_id} have in common", "no position, and no sensor, id and time", second)
    assert match_by is not None
    num = joined.num_rows
    return Comparison(match_by, keys_a.num_rows - num, keys_b.num_rows - num, num, _frames(first, second, joined, rules))


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
        own = [part[name].to_pylist() for name in _PLACE]
        other = [part[f"{name}_b"].to_pylist() for name in _PLACE]
        rows_a = _by_position(first.rows_of(_COLUMNS, _around(own)))
        rows_b = _by_position(second.rows_of(_COLUMNS, _around(other)))
        for place_a, place_b in zip(zip(*own, strict=True), zip(*other, strict=True), strict=True):
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


def _around(places: list[list[Any]]) -> pc.Expression:
    """Rows of these places, and perhaps some between them: files are chosen by their extremes."""
    topics, partitions, offsets = places
    wanted = pc.field("source_topic").isin(sorted(set(topics))) & pc.field("source_partition").isin(sorted(set(partitions)))
    return wanted & (pc.field("source_offset") >= min(offsets)) & (pc.field("source_offset") <= max(offsets))


def _by_position(rows: pa.Table) -> dict[tuple[str, int, int], Mapping[str, Any]]:
    return {tuple(row[name] for name in _PLACE): row for row in rows.to_pylist(maps_as_pydicts="lossy")}


def _answer(row: Mapping[str, Any]) -> Answer:
    found = row["detections"] or []
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
    place &= (pc.field("source_partition") == position.partition) & (pc.field("source_offset") == position.offset)
    found = table_to_outcomes(side.rows_of(None, place).slice(0, 1))
    return found[0] if found else None
