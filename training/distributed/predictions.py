"""Predictions out of fold as rows of a Parquet file: truth, answer and figures of each image, by a network that never saw it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from training.data.labelled_frame import BOX, SCHEMA, sample_of_row
from training.data.samples import Role
from training.tasks.answers import Answer, Answerer

_KEPT = (
    "sample_id", "dataset", "group_id", "platform", "band", "split", "width_px", "height_px", "bit_depth", "boxes", "labels", "mask_rle",
)  # fmt: skip
PREDICTIONS = pa.schema(
    [
        pa.field("fold", pa.int32(), nullable=False),
        *(SCHEMA.field(name) for name in _KEPT),
        pa.field("found_boxes", pa.list_(BOX), nullable=False),
        pa.field("found_labels", pa.list_(pa.string()), nullable=False),
        pa.field("found_scores", pa.list_(pa.float32()), nullable=False),
        pa.field("found_mask_rle", pa.string()),
        pa.field("found_class_scores", pa.list_(pa.list_(pa.float32()))),
        pa.field("figures", pa.map_(pa.string(), pa.float64()), nullable=False),
    ]
)
"""One row a frame. `boxes`, `labels`, `mask_rle`: truth; `found_...`: the answer; `figures`: counts and figures of this frame."""


def predicted_rows(fold: int, rows: Iterable[Mapping[str, Any]], answer: Answerer) -> Iterator[dict[str, Any]]:
    """Rows of `PREDICTIONS`, in the order of the frames; one frame at a time is in memory.

    Args:
        fold: that tests on these frames.
        rows: of a data set, with images.
        answer: the network.
    """
    for row in rows:
        sample = sample_of_row(row, Role.TEST)
        yield {"fold": fold} | {name: row[name] for name in _KEPT} | _found(answer(sample))


def _found(answer: Answer) -> dict[str, Any]:
    names = [each.name for each in BOX]
    return {
        "found_boxes": [dict(zip(names, box, strict=True)) for box in answer.boxes_xyxy_px.tolist()],
        "found_labels": list(answer.labels),
        "found_scores": answer.scores.tolist(),
        "found_mask_rle": answer.mask_rle,
        "found_class_scores": None if answer.class_scores_NK is None else answer.class_scores_NK.tolist(),
        "figures": list(answer.figures.items()),
    }
