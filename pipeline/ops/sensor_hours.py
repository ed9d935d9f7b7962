"""A sensor's own hours: its frames in the results table, or in a Parquet of `irstream predict`, and all that was found in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray
from pyarrow.dataset import Dataset, dataset

from contracts.arrow import Status
from contracts.choices import chosen
from contracts.errors import RetryLater, SettingsError
from contracts.position import KafkaPosition
from contracts.result import CLUTTER, KEPT_BESIDE
from pipeline.inference.rules import Findings
from pipeline.table.delta import open_results, reading

_POSITION = ("source_topic", "source_partition", "source_offset")
_COLUMNS = (
    "captured_at",
    "finished_at",
    "preprocess_version",
    "models",
    "detections",
    "detection_suppressed_by",
    "width_px",
    "height_px",
    *_POSITION,
)
_SCORING_TASKS = ("detection", "segmentation")  # the classifier names what they found; it is in rows with detections only
_BOX = ("x_min_px", "y_min_px", "x_max_px", "y_max_px")
_CENTROID = ("centroid_x_px", "centroid_y_px")
_MICROSECONDS = 1e6
_PARQUET = ".parquet"

# Preprocessing and networks that made scores: those of others mean something else.
Origin: TypeAlias = tuple[str, ...]
Rows: TypeAlias = DeltaTable | Dataset


@dataclass(frozen=True, slots=True, eq=False)
class SensorHours:
    """Frames of one sensor with scores of one origin.

    Attributes:
        times_s_N: capture times, Unix seconds.
        scores_M: float32, of all detections.
        frames_M: index of the frame each detection is in.
        origin: version of the preprocessing, then name and digest of each network.
        num_others: frames left out because older weights made their scores.
        labels_M: of all detections.
        centroids_M2: x, y in pixels.
        boxes_M4: x_min, y_min, x_max, y_max in pixels.
        sizes_N2: width, height of each frame in pixels.
        clutter_M: class scores of `clutter` of all detections; 0 where their classifier has no such class.
        marks_M: `weak` or `double`; None for targets.
        newest: position of the frame that was finished last; None where it is not known.
    """

    times_s_N: NDArray[np.float64]
    scores_M: NDArray[np.float32]
    frames_M: NDArray[np.int64]
    origin: Origin
    num_others: int
    labels_M: NDArray[np.object_]
    centroids_M2: NDArray[np.float64]
    boxes_M4: NDArray[np.float64]
    sizes_N2: NDArray[np.int64]
    clutter_M: NDArray[np.float64]
    marks_M: NDArray[np.object_]
    newest: KafkaPosition | None = None

    def findings(self, chosen_M: NDArray[np.bool_], size_px: tuple[int, int]) -> Findings:
        """Some of the detections, of frames of one size."""
        return Findings(
            self.labels_M[chosen_M],
            self.scores_M[chosen_M].astype(np.float64),
            self.boxes_M4[chosen_M],
            self.centroids_M2[chosen_M],
            size_px,
            self.clutter_M[chosen_M],
            self.marks_M[chosen_M],
        )


@dataclass(slots=True)
class _Part:
    """Rows of one origin, as they are read."""

    columns: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    num_frames: int = 0
    newest: datetime | None = None
    position: KafkaPosition | None = None

    def add(self, rows: pa.RecordBatch) -> None:
        found = rows.column("detections")
        each = pc.list_flatten(found)
        self._add("times", rows.column("captured_at").cast(pa.int64()).to_numpy(zero_copy_only=False) / _MICROSECONDS)
        self._add("sizes", _side_by_side([rows.column(name) for name in ("width_px", "height_px")], np.int64))
        self._add("scores", pc.struct_field(each, "score").to_numpy(zero_copy_only=False).astype(np.float32))
        self._add("labels", pc.struct_field(each, "label").to_numpy(zero_copy_only=False).astype(object))
        clutter = pc.map_lookup(pc.struct_field(each, "class_scores"), pa.scalar(CLUTTER), "first")
        self._add("clutter", pc.fill_null(clutter, 0.0).to_numpy(zero_copy_only=False).astype(np.float64))
        self._add("marks", _marks(rows.column("detection_suppressed_by"), found))
        self._add("boxes", _side_by_side([pc.struct_field(each, name) for name in _BOX], np.float64))
        self._add("centroids", _side_by_side([pc.struct_field(each, name) for name in _CENTROID], np.float64))
        self._add("frames", self.num_frames + pc.list_parent_indices(found).to_numpy(zero_copy_only=False).astype(np.int64))
        self.num_frames += rows.num_rows
        newest = pc.max(rows.column("finished_at")).as_py()
        if self.newest is None or newest > self.newest:
            index = pc.index(rows.column("finished_at"), newest).as_py()
            self.newest, self.position = newest, KafkaPosition(*(rows.column(name)[index].as_py() for name in _POSITION))

    def _add(self, name: str, values: NDArray[Any]) -> None:
        self.columns.setdefault(name, []).append(values)

    def joined(self, name: str) -> NDArray[Any]:
        joined: NDArray[Any] = np.concatenate(self.columns[name])
        return joined


def open_rows(place: str, storage_options: dict[str, str]) -> Rows:
    """The results table, or the file of `irstream predict`.

    Raises:
        SettingsError: there is none, or it cannot be read.
    """
    if not is_file_of_predict(place):
        return open_results(place, storage_options)
    try:
        rows = dataset(place)
        rows.scanner(columns=list(_COLUMNS))
    except (pa.ArrowInvalid, OSError) as error:
        raise SettingsError(
            expected="a Parquet of `irstream predict`",
            got=str(error),
            where=f"sink.table = {place}",
            action="Name results.parquet of its folder.",
        ) from error
    return rows


def is_file_of_predict(place: str) -> bool:
    """True for a Parquet file instead of a table."""
    return place.endswith(_PARQUET) and Path(place).is_file()


def sensor_hours(rows: Rows, run_id: str, sensor_id: str, since: datetime | None = None) -> SensorHours:
    """Frames of a sensor whose scores are of the same origin as those of its newest row.

    Args:
        rows: the results table, or what `irstream predict` wrote.
        run_id: whose rows.
        sensor_id: the sensor.
        since: only frames captured then or later; default: all.

    Raises:
        SettingsError: no such frames; names the sensors that have some.
        RetryLater: the object store does not answer.
    """
    good = (pc.field("run_id") == run_id) & (pc.field("status") == Status.OK.value)
    mine = good & (pc.field("sensor_id") == sensor_id)
    if since is not None:
        mine &= pc.field("captured_at") >= pa.scalar(since, pa.timestamp("us", tz="UTC"))
    parts: dict[Origin, _Part] = {}
    with _reading(rows) as whole:
        for batch in whole.scanner(columns=list(_COLUMNS), filter=mine).to_batches():
            origins = _origins(batch)
            for origin in set(origins):
                chosen_rows = pa.array([each == origin for each in origins], pa.bool_())
                parts.setdefault(origin, _Part()).add(batch.filter(chosen_rows))
        sensors = [] if parts else _sensors(whole, good)
    if not parts:
        raise _no_frames(run_id, sensor_id, sensors, since)
    newest = max(parts, key=lambda each: (parts[each].newest, each))
    part = parts[newest]
    return SensorHours(
        times_s_N=part.joined("times"),
        scores_M=part.joined("scores"),
        frames_M=part.joined("frames"),
        origin=newest,
        num_others=sum(each.num_frames for each in parts.values()) - part.num_frames,
        labels_M=part.joined("labels"),
        centroids_M2=part.joined("centroids"),
        boxes_M4=part.joined("boxes"),
        sizes_N2=part.joined("sizes"),
        clutter_M=part.joined("clutter"),
        marks_M=part.joined("marks"),
        newest=part.position,
    )


def _marks(names: pa.Array, found: pa.Array) -> NDArray[np.object_]:
    """Of a batch's detections, the marks of those that are no targets; none in rows of earlier versions, whose column is null."""
    if names.null_count:  # of a merge of old rows and new ones
        lengths_N = pc.fill_null(pc.list_value_length(found), 0).to_pylist()
        whole = [each if each is not None else [None] * length for each, length in zip(names.to_pylist(), lengths_N, strict=True)]
        names = pa.array(whole, pa.list_(pa.string()))
    flat = pc.list_flatten(names)
    is_mark = pc.is_in(flat, pa.array(sorted(KEPT_BESIDE), flat.type))
    marks_M: NDArray[np.object_] = pc.if_else(is_mark, flat, None).to_numpy(zero_copy_only=False).astype(object)
    return marks_M


@contextmanager
def _reading(rows: Rows) -> Iterator[Dataset]:
    if isinstance(rows, DeltaTable):
        with reading(rows):
            yield rows.to_pyarrow_dataset()
        return
    try:
        yield rows
    except (pa.ArrowInvalid, OSError) as error:
        raise RetryLater(expected="a Parquet that can be read", got=str(error), where="sink.table", action="Write it again.") from error


def _side_by_side(columns: list[pa.Array], kind: Any) -> NDArray[Any]:
    return np.stack([column.to_numpy(zero_copy_only=False).astype(kind) for column in columns], axis=1)


def _origins(rows: pa.RecordBatch) -> list[Origin]:
    return [
        (version or "", *(f"{each['name']} {each['digest']}" for each in models if each["task"] in _SCORING_TASKS))
        for version, models in zip(rows.column("preprocess_version").to_pylist(), rows.column("models").to_pylist(), strict=True)
    ]


def _sensors(rows: Dataset, good: pc.Expression) -> list[str]:
    """Sensors with frames, by their ids."""
    found = pc.unique(rows.scanner(columns=["sensor_id"], filter=good).to_table()["sensor_id"])
    return sorted(found.to_pylist())


def _no_frames(run_id: str, sensor_id: str, sensors: list[str], since: datetime | None) -> SettingsError:
    if sensor_id in sensors and since is not None:
        return SettingsError(
            expected=f"frames of {sensor_id} in run {run_id}",
            got=f"none captured since {since.isoformat()}",
            where="since",
            action="Go further back, or leave it out.",
        )
    if sensors:
        try:
            chosen(dict.fromkeys(sensors), sensor_id, "sensor")
        except SettingsError as error:
            return error
    return SettingsError(
        expected=f"frames of {sensor_id}",
        got=f"no frames at all in run {run_id}",
        where="sensor",
        action="Stream some first, or name another run or table (`sink.table`).",
    )
