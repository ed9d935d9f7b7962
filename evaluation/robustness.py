"""Results of the suite `robust` for one network: changed frames against the untouched ones, and targets found by their centres."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from evaluation.bootstrap import Interval, intervals, paired_differences
from evaluation.calibration import Calibration
from evaluation.found import RATES, FoundCurve
from evaluation.results import count_columns, plain
from evaluation.segmentation import Counts

UNTOUCHED = "untouched"
_ROWS = pa.schema([*((name, pa.string()) for name in ("model", "digest", "dataset", "change", "image_id")), *count_columns()])


@dataclass(frozen=True, kw_only=True, eq=False)
class ChangedSet:
    """One data set with masks, untouched and after each change.

    Attributes:
        dataset: its name.
        learnt: whether the network learnt from its training images.
        image_ids: of its test images.
        counts: by change, `UNTOUCHED` first: one for each image.
    """

    dataset: str
    learnt: bool
    image_ids: tuple[str, ...]
    counts: Mapping[str, tuple[Counts, ...]]

    @property
    def changes(self) -> tuple[str, ...]:
        """Names of the changes that were measured."""
        return tuple(name for name in self.counts if name != UNTOUCHED)

    @cached_property
    def figures(self) -> dict[str, dict[str, Interval]]:
        """IoU, nIoU, Pd and Fa with their 95 % intervals, by change; untouched too."""
        return {change: intervals(counts) for change, counts in self.counts.items()}

    @cached_property
    def differences(self) -> dict[str, dict[str, Interval]]:
        """Figures after each change less those before, on the same images (paired)."""
        untouched = self.counts[UNTOUCHED]
        return {change: paired_differences(untouched, self.counts[change], same_frames=False) for change in self.changes}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundOn:
    """Targets of one data set, found by their centres.

    Attributes:
        dataset: its name.
        learnt: whether the network learnt from its training images.
        curve: Pd against false alarms a frame, of all regions above a low threshold.
        calibration: of the scores of these.
        pd_in_use: with the regions at the network's own threshold; NaN without targets.
        false_in_use: false alarms a frame of these.
        calibration_in_use: of the scores of these.
    """

    dataset: str
    learnt: bool
    curve: FoundCurve
    calibration: Calibration
    pd_in_use: float
    false_in_use: float
    calibration_in_use: Calibration


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RobustResult:
    """The suite of one network.

    Attributes:
        name: how it is called in tables.
        digest: of its weights.
        threshold: of its masks.
        changed: each data set that has masks.
        found: each data set, those with masks first.
    """

    name: str
    digest: str
    threshold: float
    changed: tuple[ChangedSet, ...]
    found: tuple[FoundOn, ...]

    def as_json(self) -> dict[str, Any]:
        """Everything but the single images; NaN and infinity as None."""
        return {
            "name": self.name,
            "digest": self.digest,
            "threshold": self.threshold,
            "changed": [_changed_json(each) for each in self.changed],
            "found": [_found_json(each) for each in self.found],
        }


def _changed_json(each: ChangedSet) -> dict[str, Any]:
    def named(found: Mapping[str, Interval]) -> dict[str, Any]:
        return {name: plain(interval) for name, interval in found.items()}

    return {
        "dataset": each.dataset,
        "learnt": each.learnt,
        "images": len(each.image_ids),
        UNTOUCHED: named(each.figures[UNTOUCHED]),
        "changes": [
            {"change": change, "figures": named(each.figures[change]), "difference": named(each.differences[change])}
            for change in each.changes
        ],
    }


def _found_json(each: FoundOn) -> dict[str, Any]:
    curve = each.curve
    return {
        "dataset": each.dataset,
        "learnt": each.learnt,
        "frames": curve.num_frames,
        "targets": curve.num_targets,
        "detections": curve.num_detections,
        "lowest_rate": _finite(curve.lowest_rate),
        "at": [plain(curve.at(rate)) for rate in RATES],
        "in_use": {"pd": _finite(each.pd_in_use), "false_per_frame": _finite(each.false_in_use)}
        | _calibration_json(each.calibration_in_use),
    } | _calibration_json(each.calibration)


def _calibration_json(calibration: Calibration) -> dict[str, Any]:
    return {
        "ece": _finite(calibration.ece),
        "ece_equal_numbers": _finite(calibration.ece_mass),
        "reliability": [plain(each) for each in calibration.widths],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def robust_table(results: Sequence[RobustResult]) -> pa.Table:
    """One row for each image, change, data set and network."""
    rows = [
        {"model": result.name, "digest": result.digest, "dataset": part.dataset, "change": change, "image_id": image_id}
        | dataclasses.asdict(counts)
        for result in results
        for part in result.changed
        for change, every in part.counts.items()
        for image_id, counts in zip(part.image_ids, every, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=_ROWS)
