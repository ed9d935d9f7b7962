"""A sensor's own hours in the results table, and the least score that they speak for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray

from contracts.arrow import Status
from contracts.choices import chosen
from contracts.errors import SettingsError
from evaluation.false_alarms import Coverage, LeastScore, RateAt, coverage, least_score, rate_at
from pipeline.table.delta import reading

_COLUMNS = ("captured_at", "finished_at", "preprocess_version", "models", "detections")
_SCORING_TASKS = ("detection", "segmentation")  # the classifier names what they found; it is in rows with detections only
_SHOWN_SCORES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999, 0.99999)
_MICROSECONDS = 1e6

# Preprocessing and networks that made scores: those of others mean something else.
Origin = tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SensorHours:
    """Frames of one sensor with scores of one origin.

    Attributes:
        times_s_N: capture times, Unix seconds.
        scores_M: float32, of all detections.
        frames_M: index of the frame each detection is in.
        origin: version of the preprocessing, then name and digest of each network.
        num_others: frames left out because older weights made their scores.
    """

    times_s_N: NDArray[np.float64]
    scores_M: NDArray[np.float32]
    frames_M: NDArray[np.int64]
    origin: Origin
    num_others: int


@dataclass(frozen=True, slots=True, eq=False)
class Tuning:
    """A least score for one sensor, and what it is taken from.

    Attributes:
        coverage: hours that the frames cover.
        least: the proposal, with and without a promise.
        rates: detections and their rates at rising scores, that of the proposal among them.
        num_frames_left: frames that keep a detection under the proposal; 0 without one.
    """

    sensor_id: str
    run_id: str
    max_per_hour: float
    hours: SensorHours
    coverage: Coverage
    least: LeastScore
    rates: tuple[RateAt, ...]
    num_frames_left: int


@dataclass(slots=True)
class _Part:
    """Rows of one origin, as they are read."""

    times: list[NDArray[np.float64]] = field(default_factory=list)
    scores: list[NDArray[np.float32]] = field(default_factory=list)
    frames: list[NDArray[np.int64]] = field(default_factory=list)
    num_frames: int = 0
    newest: datetime | None = None

    def add(self, rows: pa.RecordBatch) -> None:
        found = rows.column("detections")
        self.times.append(rows.column("captured_at").cast(pa.int64()).to_numpy(zero_copy_only=False) / _MICROSECONDS)
        self.scores.append(pc.struct_field(pc.list_flatten(found), "score").to_numpy(zero_copy_only=False).astype(np.float32))
        self.frames.append(self.num_frames + pc.list_parent_indices(found).to_numpy(zero_copy_only=False).astype(np.int64))
        self.num_frames += rows.num_rows
        newest = pc.max(rows.column("finished_at")).as_py()
        self.newest = newest if self.newest is None else max(self.newest, newest)


def tune(table: DeltaTable, run_id: str, sensor_id: str, max_per_hour: float, since: datetime | None = None) -> Tuning:
    """Propose a least score from what one sensor found; nothing is written.

    Args:
        table: the results table.
        run_id: whose rows.
        sensor_id: the sensor.
        max_per_hour: detections an hour that may stay, all taken for false alarms.
        since: only frames captured then or later; default: all.

    Raises:
        SettingsError: no such frames; names the sensors that have some.
        RetryLater: the object store does not answer.
        ValueError: a rate that is not above 0.
    """
    hours = sensor_hours(table, run_id, sensor_id, since)
    covered = coverage(hours.times_s_N)
    least = least_score(hours.scores_M, covered.hours, max_per_hour)
    proposal = least.promised or least.counted
    lowest, highest = float(hours.scores_M.min(initial=1.0)), float(hours.scores_M.max(initial=0.0))
    shown = {
        0.0,
        *(score for score in _SHOWN_SCORES if lowest < score <= highest),
        *[score for score in _SHOWN_SCORES if score > highest][:1],
    }
    shown |= {proposal.score} if proposal else set()
    kept = hours.frames_M[hours.scores_M >= np.float32(proposal.score)] if proposal else hours.frames_M[:0]
    return Tuning(
        sensor_id=sensor_id,
        run_id=run_id,
        max_per_hour=max_per_hour,
        hours=hours,
        coverage=covered,
        least=least,
        rates=tuple(rate_at(hours.scores_M, score, covered.hours) for score in sorted(shown)),
        num_frames_left=len(np.unique(kept)),
    )


def sensor_hours(table: DeltaTable, run_id: str, sensor_id: str, since: datetime | None = None) -> SensorHours:
    """Frames of a sensor whose scores are of the same origin as those of its newest row.

    Args:
        table: the results table.
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
    with reading(table):
        for rows in table.to_pyarrow_dataset().scanner(columns=list(_COLUMNS), filter=mine).to_batches():
            origins = _origins(rows)
            for origin in set(origins):
                chosen_rows = pa.array([each == origin for each in origins], pa.bool_())
                parts.setdefault(origin, _Part()).add(rows.filter(chosen_rows))
        sensors = [] if parts else _sensors(table, good)
    if not parts:
        raise _no_frames(run_id, sensor_id, sensors, since)
    newest = max(parts, key=lambda each: (parts[each].newest, each))
    part = parts[newest]
    return SensorHours(
        times_s_N=np.concatenate(part.times),
        scores_M=np.concatenate(part.scores),
        frames_M=np.concatenate(part.frames),
        origin=newest,
        num_others=sum(each.num_frames for each in parts.values()) - part.num_frames,
    )


def _origins(rows: pa.RecordBatch) -> list[Origin]:
    return [
        (version or "", *(f"{each['name']} {each['digest']}" for each in models if each["task"] in _SCORING_TASKS))
        for version, models in zip(rows.column("preprocess_version").to_pylist(), rows.column("models").to_pylist(), strict=True)
    ]


def _sensors(table: DeltaTable, good: pc.Expression) -> list[str]:
    """Sensors with frames, by their ids."""
    found = pc.unique(table.to_pyarrow_dataset().scanner(columns=["sensor_id"], filter=good).to_table()["sensor_id"])
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
