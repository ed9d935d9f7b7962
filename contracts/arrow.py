"""The results table as Arrow: its schema, and the way from outcomes to rows and back.

`RESULTS_SCHEMA` is a public contract: other programs read these columns (`docs/results-table.md`). Columns may be
added at the end of it; none may be renamed, retyped or removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date
from enum import StrEnum
from typing import Any

import pyarrow as pa

from contracts.errors import RejectReason
from contracts.frame import Band, Platform
from contracts.position import KafkaPosition
from contracts.quality import Quality
from contracts.result import BatchInfo, DeadLetter, Detection, FrameResult, Gap, ModelRef, Outcome, StageTimes
from contracts.text import well_formed

PARTITION_COLUMNS = ("run_id", "ingest_date")

_MOMENT = pa.timestamp("us", tz="UTC")
_TEXTS = pa.map_(pa.string(), pa.string())
_LABELLED_SCORES = pa.map_(pa.string(), pa.float32())
_DETECTION = pa.struct(
    [
        ("label", pa.string()),
        ("score", pa.float32()),
        ("x_min_px", pa.float32()),
        ("y_min_px", pa.float32()),
        ("x_max_px", pa.float32()),
        ("y_max_px", pa.float32()),
        ("centroid_x_px", pa.float32()),
        ("centroid_y_px", pa.float32()),
        ("area_px", pa.float32()),
        ("class_scores", _LABELLED_SCORES),
        ("mask_rle", pa.string()),
        ("found_by", pa.list_(pa.string())),
    ]
)
_MODEL = pa.struct([("task", pa.string()), ("name", pa.string()), ("digest", pa.string())])
_BATCH = pa.struct([("task", pa.string()), ("size", pa.int32()), ("closed_by", pa.string())])
_STAGE_MS = pa.struct([(name, pa.float32()) for name in ("read", "decode", "wait", "detect", "segment", "classify", "fuse")])


class Status(StrEnum):
    """Column `status`: what became of a position."""

    OK = "ok"
    REJECTED = "rejected"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the results table.

    Attributes:
        required: never null, whatever the status of the row.
        meaning: one line for `docs/results-table.md`.
    """

    name: str
    type: pa.DataType
    required: bool
    meaning: str


RESULTS_COLUMNS = (
    Column("run_id", pa.string(), True, "`live`, or the id of a reprocessing run (partition column)"),
    Column("ingest_date", pa.date32(), True, "day (UTC) of `ingested_at`; of `finished_at` on gap rows (partition column)"),
    Column("source_topic", pa.string(), True, "Kafka topic; `archive:<name>` where the source is no topic"),
    Column("source_partition", pa.int32(), True, "Kafka partition"),
    Column("source_offset", pa.int64(), True, "Kafka offset; on gap rows the first offset that no longer exists"),
    Column("sensor_id", pa.string(), False, "key of the message; null where it could not be read"),
    Column("frame_id", pa.string(), False, "header `ce_id`, else `topic/partition/offset`"),
    Column("frame_number", pa.int64(), False, "header `ir_frame`: the sensor's own counter"),
    Column("captured_at", _MOMENT, False, "header `ce_time`, else Kafka's timestamp"),
    Column("ingested_at", _MOMENT, True, "Kafka's timestamp of the message"),
    Column("finished_at", _MOMENT, True, "when the outcome was known"),
    Column("width_px", pa.int32(), False, "columns of the decoded frame; null when it could not be decoded"),
    Column("height_px", pa.int32(), False, "rows of the decoded frame; null when it could not be decoded"),
    Column("bit_depth", pa.int32(), False, "significant bits per pixel; null when it could not be decoded"),
    Column("platform", pa.string(), True, "`land`, `air`, `space` or `unknown`"),
    Column("band", pa.string(), True, "`nir`, `swir`, `mwir`, `lwir` or `unknown`"),
    Column("headers", pa.map_(pa.string(), pa.string()), True, "headers beyond the frame message contract"),
    Column("status", pa.string(), True, "`ok`, `rejected` or `gap`"),
    Column("source_offset_end", pa.int64(), False, "only on gap rows: first offset after the gap"),
    Column("reason", pa.string(), False, "only on rejected rows: name of the rejection (list below)"),
    Column("detail", pa.string(), False, "rejected and gap rows: what was expected, what came"),
    Column(
        "detections",
        pa.list_(_DETECTION),
        True,
        "the targets, and behind them what was nearly one (`weak`, `double` in `detection_suppressed_by`); "
        "empty where there is none or the row is not `ok`",
    ),
    Column("models", pa.list_(_MODEL), True, "the weights that made this row; `digest` is the sha256 of their file"),
    Column("preprocess_version", pa.string(), False, "version of the preprocessing; null unless `ok`"),
    Column("batch", pa.list_(_BATCH), True, "per task: the batch this frame was computed in"),
    Column("stage_ms", _STAGE_MS, False, "milliseconds per stage; null unless `ok`"),
    Column("detection_scr", pa.list_(pa.float32()), False, "signal-to-clutter ratio of each entry of `detections`, in order"),
    Column("sensor_latitude", pa.float64(), False, "degrees, of the frame's [MISB ST 0601 packet](klv.md); null where it says nothing"),
    Column("sensor_longitude", pa.float64(), False, "likewise"),
    Column("sensor_altitude_m", pa.float64(), False, "likewise, metres above mean sea level"),
    Column("klv", _TEXTS, False, "what the packet says, by name; `checksum` is `ok`, `wrong` or `missing`; null without header `ir_klv`"),
    Column(
        "detection_latitude", pa.list_(pa.float64()), False, "degrees, of each entry of `detections` on the ground; null where not known"
    ),
    Column("detection_longitude", pa.list_(pa.float64()), False, "likewise"),
    Column("quality", pa.list_(pa.string()), False, "faults of the frame, empty where none was found; null unless `ok`"),
    Column(
        "detection_suppressed_by",
        pa.list_(pa.string()),
        False,
        "name of the [filter](filters.md) that keeps each entry of `detections` out of alerts; null: shown",
    ),
    Column(
        "detection_label_score", pa.list_(pa.float32()), False, "class score of the label of each entry of `detections`; null for `target`"
    ),
    Column(
        "detection_track_id", pa.list_(pa.string()), False, "the [track](tracks.md) of each entry of `detections`; null where it is in none"
    ),
    Column("detection_track_age_s", pa.list_(pa.float32()), False, "seconds of capture time since the first sight of that track"),
    Column("detection_speed_px_s", pa.list_(pa.float32()), False, "speed of the target in the picture, pixels a second; null at first"),
    Column("detection_speed_m_s", pa.list_(pa.float32()), False, "on the ground, metres a second; null where its place is not known"),
    Column("detection_track_state", pa.list_(pa.string()), False, "what the stream goes on with after a restart; its form may change"),
    Column(
        "weak_left_out",
        pa.int32(),
        False,
        "weak and double detections beyond `stream.max_weak`, left out; null unless `ok`",
    ),
)
RESULTS_SCHEMA = pa.schema([pa.field(column.name, column.type, nullable=not column.required) for column in RESULTS_COLUMNS])
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in (Detection, ModelRef, BatchInfo, StageTimes)}
# Columns of their own, `detection_<name>`: fields inside `detections` cannot be added to a table that exists.
BESIDE_DETECTIONS = (
    "scr",
    "latitude",
    "longitude",
    "suppressed_by",
    "label_score",
    "track_id",
    "track_age_s",
    "speed_px_s",
    "speed_m_s",
    "track_state",
)
_FIELDS[Detection] = tuple(name for name in _FIELDS[Detection] if name not in BESIDE_DETECTIONS)
_PLACE = ("sensor_latitude", "sensor_longitude", "sensor_altitude_m", "klv")


def outcomes_to_table(outcomes: Iterable[Outcome], run_id: str) -> pa.Table:
    """Rows of the results table, in the order of the outcomes.

    Text that is not valid Unicode (lone surrogates from a hostile message) is escaped, never an error: one message
    must not be able to stop the stream.

    Args:
        outcomes: results, rejections and gaps; every time is timezone aware.
        run_id: value of column `run_id`.

    Returns:
        A table with exactly `RESULTS_SCHEMA`.
    """
    rows = [_row(outcome, run_id) for outcome in outcomes]
    return pa.table([_array([row.get(field.name) for row in rows], field.type) for field in RESULTS_SCHEMA], schema=RESULTS_SCHEMA)


def table_to_outcomes(table: pa.Table) -> list[Outcome]:
    """The outcomes of rows with `RESULTS_SCHEMA`, in row order (floats as float32 kept them).

    Raises:
        KeyError: a column is missing.
        ValueError: a value no outcome can have (unknown status, reason, platform or band).
    """
    return [_outcome(row) for row in table.to_pylist(maps_as_pydicts="strict")]


def ingest_date(outcome: Outcome) -> date:
    """The day (UTC) whose partition holds this outcome: bounded partitions whatever a sensor's clock says."""
    moment = outcome.finished_at if isinstance(outcome, Gap) else outcome.ingested_at
    return moment.astimezone(UTC).date()


def _row(outcome: Outcome, run_id: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run_id": run_id,
        "ingest_date": ingest_date(outcome),
        "source_topic": outcome.position.topic,
        "source_partition": outcome.position.partition,
        "source_offset": outcome.position.offset,
        "ingested_at": outcome.ingested_at,
        "finished_at": outcome.finished_at,
        "platform": Platform.UNKNOWN.value,
        "band": Band.UNKNOWN.value,
        "headers": {},
        "detections": [],
        "models": [],
        "batch": [],
    }
    if isinstance(outcome, Gap):
        return row | {"status": Status.GAP.value, "source_offset_end": outcome.stop, "detail": outcome.detail}
    row |= {
        "sensor_id": outcome.sensor_id,
        "frame_id": outcome.frame_id,
        "frame_number": outcome.frame_number,
        "captured_at": outcome.captured_at,
        "width_px": outcome.width_px,
        "height_px": outcome.height_px,
        "bit_depth": outcome.bit_depth,
        "platform": outcome.platform.value,
        "band": outcome.band.value,
        "headers": outcome.headers,
    }
    if isinstance(outcome, DeadLetter):
        return row | {"status": Status.REJECTED.value, "reason": outcome.reason.value, "detail": outcome.detail}
    return row | {
        "status": Status.OK.value,
        "detections": [_plain(detection) for detection in outcome.detections],
        "models": [_plain(model) for model in outcome.models],
        "preprocess_version": outcome.preprocess_version,
        "batch": [_plain(batch) for batch in outcome.batch],
        "stage_ms": _plain(outcome.stage_ms),
        **{f"detection_{name}": [getattr(each, name) for each in outcome.detections] for name in BESIDE_DETECTIONS},
        **{name: getattr(outcome, name) for name in _PLACE},
        "quality": [fault.value for fault in outcome.quality],
        "weak_left_out": outcome.weak_left_out,
    }


def _plain(part: Detection | ModelRef | BatchInfo | StageTimes) -> dict[str, Any]:
    # `dataclasses.asdict` copies deeply and took half the time of a row.
    return {name: getattr(part, name) for name in _FIELDS[type(part)]}


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([_escaped(value) for value in values], kind)


def _escaped(value: Any) -> Any:
    """The same value with lone surrogates written as backslash escapes."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_escaped(item) for item in value]
    return value


def _outcome(row: dict[str, Any]) -> Outcome:
    status = Status(row["status"])
    position = KafkaPosition(row["source_topic"], row["source_partition"], row["source_offset"])
    times: dict[str, Any] = {"ingested_at": row["ingested_at"], "finished_at": row["finished_at"]}
    if status is Status.GAP:
        return Gap(position=position, stop=row["source_offset_end"], detail=row["detail"], **times)
    same_names = ("sensor_id", "frame_id", "frame_number", "captured_at", "width_px", "height_px", "bit_depth", "headers")
    common = times | {name: row[name] for name in same_names}
    common |= {"position": position, "platform": Platform(row["platform"]), "band": Band(row["band"])}
    if status is Status.REJECTED:
        return DeadLetter(reason=RejectReason(row["reason"]), detail=row["detail"], **common)
    return FrameResult(
        detections=row_detections(row),
        models=tuple(ModelRef(**item) for item in row["models"]),
        preprocess_version=row["preprocess_version"],
        batch=tuple(BatchInfo(**item) for item in row["batch"]),
        stage_ms=StageTimes(**row["stage_ms"]),
        quality=tuple(Quality(fault) for fault in row.get("quality") or ()),
        weak_left_out=row.get("weak_left_out") or 0,
        **common | {name: row.get(name) for name in _PLACE},
    )


def row_detections(row: Mapping[str, Any]) -> tuple[Detection, ...]:
    """The detections of one row, as `pyarrow.Table.to_pylist(maps_as_pydicts="strict")` gives it; columns may be missing."""
    items = row["detections"]
    # Null, or no column, in tables of earlier versions.
    beside = [row.get(f"detection_{name}") or [None] * len(items) for name in BESIDE_DETECTIONS]
    return tuple(
        Detection(**item | {"found_by": tuple(item["found_by"])} | dict(zip(BESIDE_DETECTIONS, values, strict=True)))
        for item, *values in zip(items, *beside, strict=True)
    )
