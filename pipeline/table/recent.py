"""The last frames of each partition, from which a restart takes the state of tracks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_

import pyarrow.compute as pc
from deltalake import DeltaTable

from contracts.arrow import BESIDE_DETECTIONS, Status, row_detections
from contracts.result import Detection
from pipeline.table.delta import reading

_COLUMNS = (
    "source_partition",
    "source_offset",
    "sensor_id",
    "captured_at",
    "detections",
    *(f"detection_{name}" for name in BESIDE_DETECTIONS),
)


@dataclass(frozen=True, slots=True, eq=False)
class RecentFrame:
    """A frame of the table; of its detections only those that are the last sights of their tracks: what was before is in them."""

    offset: int
    sensor_id: str
    captured_at: datetime
    sights: tuple[Detection, ...]


def recent_frames(table: DeltaTable, run_id: str, topic: str, offsets: Mapping[int, range]) -> dict[int, list[RecentFrame]]:
    """Frames of some offsets of each partition, in the order of the log; the networks have seen them.

    Args:
        table: the results table.
        run_id: whose rows.
        topic: of the partitions.
        offsets: by partition. They have an end, too: a driver that was frozen may still add rows behind it.

    Raises:
        RetryLater: the object store does not answer.
    """
    frames: dict[int, list[RecentFrame]] = {partition: [] for partition in offsets}
    dataset = table.to_pyarrow_dataset()
    if not offsets or "detection_track_state" not in dataset.schema.names:
        return frames
    partition, offset = pc.field("source_partition"), pc.field("source_offset")
    wanted = reduce(or_, [(partition == each) & (offset >= span.start) & (offset < span.stop) for each, span in offsets.items()])
    mine = (pc.field("run_id") == run_id) & (pc.field("source_topic") == topic) & (pc.field("status") == Status.OK.value)
    with reading(table):
        rows = dataset.scanner(columns=list(_COLUMNS), filter=mine & wanted).to_table().sort_by("source_offset")
    last_rows: dict[str, int] = {}
    for index, track_ids in enumerate(rows["detection_track_id"].to_pylist()):
        last_rows.update(dict.fromkeys((each for each in track_ids or () if each is not None), index))
    with_sights = sorted(set(last_rows.values()))
    whole = dict(zip(with_sights, rows.take(with_sights).to_pylist(maps_as_pydicts="strict"), strict=True))
    light = rows.select(["source_partition", "source_offset", "sensor_id", "captured_at"]).to_pylist()
    for index, row in enumerate(light):
        found = row_detections(whole[index]) if index in whole else ()
        sights = tuple(each for each in found if each.track_id is not None and last_rows[each.track_id] == index)
        frames[row["source_partition"]].append(RecentFrame(row["source_offset"], row["sensor_id"], row["captured_at"], sights))
    return frames
