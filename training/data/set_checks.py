"""Checks of data sets in Parquet: leaks between splits and folds, empty masks, boxes outside, classes nobody knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contracts.text import counted
from training.data.catalogue import KNOWN
from training.data.labelled_frame import PIXEL_FREE, boxes_of_row, decode_rle
from training.data.near_duplicates import NEAR, near_pairs
from training.data.parquet_set import read_table

_UNLABELLED = "ignore"
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: `leak`, `duplicate`, `mask_empty`, `box_outside`, `class_unknown` or `id_twice`.
        sample_id: image.
        detail: expected and got.
        serious: whether figures would be wrong because of it.
    """

    kind: str
    sample_id: str
    detail: str
    serious: bool


def check_rows(rows: Sequence[Mapping[str, Any]], classes: Sequence[str] = ()) -> Iterator[Finding]:
    """Checks of each row by itself.

    Args:
        rows: without pixels.
        classes: names that are known; none: any, but in known sets those of the set.
    """
    twice = {name for name, number in Counter(row["sample_id"] for row in rows).items() if number > 1}
    for name in sorted(twice):
        yield Finding("id_twice", name, "expected one image of a name, got several: give the data sets different names", True)
    for row in rows:
        yield from _labels(row, classes)
        yield from _boxes(row)


def _labels(row: Mapping[str, Any], classes: Sequence[str]) -> Iterator[Finding]:
    known = KNOWN.get(row["dataset"])
    names = classes or (known.classes if known else ())
    wanted = {*names, "target", _UNLABELLED}
    for label in sorted(set(row["labels"]) - wanted) if names else ():
        yield Finding("class_unknown", row["sample_id"], f"expected one of {', '.join(names)}, got {label!r}", True)
    targets = [label for label in row["labels"] if label != _UNLABELLED]
    if row["mask_rle"] is not None and targets and not decode_rle(row["mask_rle"], (row["height_px"], row["width_px"])).any():
        yield Finding("mask_empty", row["sample_id"], f"expected target pixels for {len(targets)} boxes, got an empty mask", True)


def _boxes(row: Mapping[str, Any]) -> Iterator[Finding]:
    width_px, height_px = row["width_px"], row["height_px"]
    for x_min, y_min, x_max, y_max in boxes_of_row(row).tolist():
        if x_min < -1 or y_min < -1 or x_max > width_px + 1 or y_max > height_px + 1 or x_max <= x_min or y_max <= y_min:
            detail = f"expected a box inside {width_px} x {height_px} px, got {x_min:g}, {y_min:g}, {x_max:g}, {y_max:g}"
            outside = x_max <= 0 or y_max <= 0 or x_min >= width_px or y_min >= height_px or x_max <= x_min or y_max <= y_min
            yield Finding("box_outside", row["sample_id"], detail, outside)


def check_leaks(
    names: Sequence[str],
    parts: Sequence[str | None],
    thumbnails: list[bytes],
    near: float = NEAR,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> Iterator[Finding]:
    """Nearly the same frames in different parts, such as splits or folds: one finding for each frame that has such among those after it.

    Args:
        names: of the images.
        parts: part each image is in; None: in none, it leaks nowhere.
        thumbnails: of the images.
        near: least correlation of two thumbnails.
        report: gets images compared, and all.
    """
    number = {part: at for at, part in enumerate(sorted({part for part in parts if part is not None}))}
    part_N = np.array([-1 if part is None else number[part] for part in parts], np.int64)
    count_N, example = np.zeros(len(names), np.int64), dict[int, tuple[int, float]]()
    for pairs in near_pairs(thumbnails, near, report):
        one_M, other_M = part_N[pairs.first_M], part_N[pairs.second_M]
        apart = pairs.only((one_M != other_M) & (one_M >= 0) & (other_M >= 0))
        np.add.at(count_N, apart.first_M, 1)
        for at in np.unique(apart.first_M, return_index=True)[1].tolist():
            example.setdefault(int(apart.first_M[at]), (int(apart.second_M[at]), float(apart.alike_M[at])))
    for first, (second, alike) in sorted(example.items()):
        more = f" and {counted(int(count_N[first]) - 1, 'other')}" if count_N[first] > 1 else ""
        detail = f"expected no frame of {parts[first]} in {parts[second]}, got {names[second]} ({alike:.3f} alike){more}"
        yield Finding("leak", names[first], detail, True)


def check_sets(
    folders: Sequence[Path],
    *,
    classes: Sequence[str] = (),
    near: float = NEAR,
    parts: Mapping[str, str] | None = None,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> list[Finding]:
    """All checks.

    Args:
        folders: data sets in Parquet.
        classes: names that are known.
        near: least correlation of two thumbnails.
        parts: part of each image, such as its fold; None: the official splits count, `trainval` as `train`.
        report: gets images compared, and all.
    """
    rows = [row for folder in folders for row in read_table(folder, [*PIXEL_FREE, "thumbnail"]).to_pylist()]
    of_each = [_official(row["split"]) if parts is None else parts.get(row["sample_id"]) for row in rows]
    names = [row["sample_id"] for row in rows]
    leaks = check_leaks(names, of_each, [row["thumbnail"] for row in rows], near, report)
    return [*check_rows(rows, classes), *leaks]


def _official(split: str | None) -> str | None:
    return "train" if split == "trainval" else split


def summary(findings: Sequence[Finding]) -> dict[str, tuple[int, list[str]]]:
    """By kind: how many, and the first few of them."""
    kinds = Counter(finding.kind for finding in findings)
    return {
        kind: (number, [f"{each.sample_id}: {each.detail}" for each in findings if each.kind == kind][:_EXAMPLES])
        for kind, number in kinds.items()
    }
