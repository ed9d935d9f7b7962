"""The comparison of two runs as rows, one for each frame."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from evaluation.run_diff import FrameDiff

SCHEMA = pa.schema(
    [
        ("sensor_id", pa.string()),
        ("frame_id", pa.string()),
        ("captured_at", pa.timestamp("us", "UTC")),
        ("position_a", pa.string()),
        ("position_b", pa.string()),
        ("status_a", pa.string()),
        ("status_b", pa.string()),
        ("num_a", pa.int32()),
        ("num_b", pa.int32()),
        ("matched", pa.int32()),
        ("relabelled", pa.int32()),
        ("only_a", pa.int32()),
        ("only_b", pa.int32()),
        ("differing", pa.int32()),
        ("compared", pa.int32()),
        ("score_change", pa.float64()),
        ("distance_px", pa.float64()),
        ("doubt", pa.float64()),
        ("lost", pa.list_(pa.string())),
        ("gained", pa.list_(pa.string())),
        ("lost_scores", pa.list_(pa.float64())),
        ("gained_scores", pa.list_(pa.float64())),
    ]
)


def frames_table(frames: Sequence[FrameDiff]) -> pa.Table:
    """One row a frame; columns are the fields of `FrameDiff`."""
    return pa.table({field.name: pa.array([getattr(frame, field.name) for frame in frames], field.type) for field in SCHEMA}, schema=SCHEMA)
