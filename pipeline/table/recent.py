"""The last frames of each partition, from which a restart takes the state of tracks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import reduce
from operator import or_

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.dataset import Dataset

from contracts.arrow import BESIDE_DETECTIONS, Status
from contracts.result import Detection

_BATCH_ROWS = 1024
_FRAME = ("source_partition", "source_offset", "sensor_id", "captured_at")
_FIELDS = tuple(field.name for field in fields(Detection) if field.name not in (*BESIDE_DETECTIONS, "mask_rle", "class_scores"))


@dataclass(frozen=True, slots=True, eq=False)
class RecentFrame:
    """A frame of the table; of its detections only the last sights of their tracks, without masks and class scores."""

    offset: int
    sensor_id: str
    captured_at: datetime
    sights: tuple[Detection, ...]


def recent_frames(rows: Dataset, run_id: str, topic: str, offsets: Mapping[int, range]) -> dict[int, list[RecentFrame]]:
    """Frames of some offsets of each partition, in the order of the log; the networks have seen them.

    Small columns are read of all of them, detections only where a track was last seen, and taken apart a few rows at a time.

    Args:
        rows: the results table.
        run_id: whose rows.
        topic: of the partitions.
        offsets: by partition. They have an end, too: a driver that was frozen may still add rows behind it.

    Raises:
        DeltaError, OSError: the object store does not answer.
    """
    found: dict[int, list[RecentFrame]] = {partition: [] for partition in offsets}
    if not offsets or "detection_track_state" not in rows.schema.names:
        return found
    mine = (pc.field("run_id") == run_id) & (pc.field("source_topic") == topic) & (pc.field("status") == Status.OK.value)
    partition, offset = pc.field("source_partition"), pc.field("source_offset")
    wanted = [(partition == each) & (offset >= span.start) & (offset < span.stop) for each, span in offsets.items()]
    frames = rows.scanner(columns=[*_FRAME, "detection_track_id"], filter=mine & reduce(or_, wanted)).to_table().sort_by("source_offset")
    last = _last_sights(frames)
    by_partition: dict[int, set[int]] = {}
    for number, at in last.values():
        by_partition.setdefault(number, set()).add(at)
    sights: dict[tuple[int, int], list[Detection]] = {}
    if by_partition:
        wanted = [(partition == each) & offset.isin(sorted(of_it)) for each, of_it in by_partition.items()]
        columns = [*_FRAME[:2], "detections", *(f"detection_{name}" for name in BESIDE_DETECTIONS)]
        for batch in rows.scanner(columns=columns, filter=mine & reduce(or_, wanted), batch_size=_BATCH_ROWS).to_batches():
            for place, sight in _sights(batch, last):
                sights.setdefault(place, []).append(sight)
    for row in frames.drop_columns(["detection_track_id"]).to_pylist():
        number, at = row["source_partition"], row["source_offset"]
        found[number].append(RecentFrame(at, row["sensor_id"], row["captured_at"], tuple(sights.get((number, at), ()))))
    return found


def _last_sights(frames: pa.Table) -> dict[str, tuple[int, int]]:
    """Partition and offset of the last sight of each track."""
    last: dict[str, tuple[int, int]] = {}
    for batch in frames.to_batches(_BATCH_ROWS):
        places = zip(*(batch[name].to_pylist() for name in _FRAME[:2]), strict=True)
        for place, track_ids in zip(places, batch["detection_track_id"].to_pylist(), strict=True):
            last.update(dict.fromkeys((each for each in track_ids or () if each is not None), place))
    return last


def _sights(batch: pa.RecordBatch, last: Mapping[str, tuple[int, int]]) -> Iterator[tuple[tuple[int, int], Detection]]:
    """Of the detections of some rows those that are the last sights of their tracks, in order; without masks and class scores."""
    flat = pc.list_flatten(batch["detections"])
    columns = {name: pc.struct_field(flat, name) for name in _FIELDS}
    for name in BESIDE_DETECTIONS:
        beside = pc.list_flatten(batch[f"detection_{name}"])
        columns[name] = beside if len(beside) == len(flat) else pa.nulls(len(flat), beside.type)  # null in rows of earlier versions
    places = list(zip(*(batch[name].to_pylist() for name in _FRAME[:2]), strict=True))
    at = [places[row] for row in pc.list_parent_indices(batch["detections"]).to_pylist()]
    indices = [index for index, track_id in enumerate(columns["track_id"].to_pylist()) if track_id and last.get(track_id) == at[index]]
    items = pa.table(columns).take(pa.array(indices, pa.int64())).to_pylist()
    for index, item in zip(indices, items, strict=True):
        yield at[index], Detection(**item | {"found_by": tuple(item["found_by"]), "class_scores": {}, "mask_rle": None})
