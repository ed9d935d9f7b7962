"""Results of the evaluation of one segmenter on one data set, as text, JSON and Parquet."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from evaluation.bootstrap import Interval, intervals
from evaluation.curves import PixelCurves
from evaluation.drawing import Picture
from evaluation.segmentation import Counts, SegmentationScores
from evaluation.segmentation_protocols import Protocol
from evaluation.targets import Stratum, TargetRecord, by_contrast, by_size

_ARROW = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}


def _columns(kind: type) -> list[pa.Field]:
    return [pa.field(each.name, _ARROW[str(each.type)]) for each in dataclasses.fields(kind)]


def count_columns() -> list[pa.Field]:
    """Columns of the counts of one image."""
    return _columns(Counts)


_ROWS = pa.schema(
    [
        *((name, pa.string()) for name in ("model", "digest", "image_id")),
        ("iou", pa.float64()),
        *count_columns(),
        ("target_list", pa.list_(pa.struct(_columns(TargetRecord)))),
    ]
)


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image: its name, what it adds to the figures, and its targets."""

    image_id: str
    counts: Counts
    targets: tuple[TargetRecord, ...]

    @property
    def iou(self) -> float:
        """IoU of this image; NaN without answer and truth."""
        return self.counts.intersection_px / self.counts.union_px if self.counts.union_px else math.nan


@dataclass(frozen=True, slots=True, eq=False)
class WorstFrame:
    """A frame the network does badly on.

    Attributes:
        image_id: which.
        caption: what is wrong with it.
        picture: `(H, W, 3)` RGB with truth and answer.
    """

    image_id: str
    caption: str
    picture: Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Cost of a network on one device.

    Attributes:
        parameters: all of them.
        gmacs: multiply-adds (1e9) for one input of `input_px` squared.
        input_px: side.
        latency_ms: median for one such frame, after warm-up.
        best_ms: the fastest.
        device: what it was measured on.
    """

    parameters: int
    gmacs: float
    input_px: int
    latency_ms: float
    best_ms: float
    device: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelResult:
    """One segmenter on one data set.

    Attributes:
        name: how it is called in tables.
        digest: of its weights.
        threshold: of its card; chosen on other images.
        protocol: how targets were matched.
        cost: what it costs.
        rows: one for each image, in the order of the data set.
        curves: over all thresholds, by pixel.
        sweep: figures at some thresholds, by target.
        worst: frames with the lowest IoU.
    """

    name: str
    digest: str
    threshold: float
    protocol: Protocol
    cost: Cost
    rows: tuple[ImageRow, ...]
    curves: PixelCurves
    sweep: tuple[tuple[float, SegmentationScores], ...]
    worst: tuple[WorstFrame, ...] = field(default=())

    @property
    def counts(self) -> list[Counts]:
        """Counts of each image."""
        return [row.counts for row in self.rows]

    @property
    def scores(self) -> SegmentationScores:
        """The figures."""
        return sum(self.counts, Counts()).scores()

    def intervals(self) -> dict[str, Interval]:
        """95 % intervals of IoU, nIoU, Pd and Fa."""
        return intervals(self.counts)

    def sizes(self) -> list[Stratum]:
        """Figures by area of the target."""
        return by_size(target for row in self.rows for target in row.targets)

    def contrasts(self) -> list[Stratum]:
        """By signal-to-clutter ratio of the target."""
        return by_contrast(target for row in self.rows for target in row.targets)

    def as_json(self) -> dict[str, Any]:
        """Everything but the single images; NaN as None."""
        return {
            "name": self.name,
            "digest": self.digest,
            "threshold": self.threshold,
            "scores": plain(self.scores) | {"fa_ppm": _finite(self.scores.fa_ppm)},
            "intervals": {name: plain(each) for name, each in self.intervals().items()},
            "auc": _finite(self.curves.auc),
            "average_precision": _finite(self.curves.average_precision),
            "cost": plain(self.cost),
            "by_size_px": [plain(each) for each in self.sizes()],
            "by_contrast": [plain(each) for each in self.contrasts()],
            "thresholds": [{"threshold": threshold} | plain(scores) for threshold, scores in self.sweep],
        }


def plain(value: Any) -> dict[str, Any]:
    """A dataclass as a dictionary that JSON can hold."""
    return {name: _finite(each) for name, each in dataclasses.asdict(value).items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def rows_table(results: Sequence[ModelResult]) -> pa.Table:
    """One row for each image and network, with its targets as a list."""
    rows = [
        {"model": result.name, "digest": result.digest, "image_id": row.image_id, "iou": _finite(row.iou)}
        | dataclasses.asdict(row.counts)
        | {"target_list": [plain(target) for target in row.targets]}
        for result in results
        for row in result.rows
    ]
    return pa.Table.from_pylist(rows, schema=_ROWS)
