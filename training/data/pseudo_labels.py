"""Labels from detections: what a network was sure of teaches, what it was not sure of is nobody's, and what a person said counts first."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import SettingsError
from contracts.position import KafkaPosition
from contracts.result import DOUBLE, KEPT_BESIDE
from training.data.labelled_frame import decode_rle, encode_rle

IGNORED = "ignore"
_WORDS = ("accept", "reject", "relabel")
_COLUMNS = ("position", "detection", "verdict", "label")


@dataclass(frozen=True, slots=True)
class LabelRule:
    """Scores that decide.

    Attributes:
        accept: a detection that scores so much is a target.
        doubt: one that scores so much, and less than `accept`, is a region that nobody labelled; less is background.
    """

    accept: float
    doubt: float

    def __post_init__(self) -> None:
        """Refuse scores that are none.

        Raises:
            SettingsError: not 0 <= doubt <= accept <= 1.
        """
        if not 0 <= self.doubt <= self.accept <= 1:
            raise SettingsError(
                expected="scores 0 <= `doubt` <= `accept` <= 1",
                got=f"{self.doubt:g} and {self.accept:g}",
                where="pseudo labels",
                action="Correct them.",
            )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Word of a person about detections.

    Attributes:
        word: `accept`, `reject` or `relabel`.
        label: of `relabel`.
    """

    word: str
    label: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PseudoLabels:
    """Labels of a frame.

    Attributes:
        boxes_xyxy_px: `(n, 4)` float32, pixel edges.
        labels: n names.
        mask_rle: COCO compressed RLE; None where some target has no mask.
        origins: for each box, its number in the row's `detections`, and whether a person (`person`) or the score (`score`) decided.
    """

    boxes_xyxy_px: NDArray[np.float32]
    labels: tuple[str, ...]
    mask_rle: str | None
    origins: tuple[Mapping[str, Any], ...] = field(default=())


Verdicts = Mapping[int | None, Verdict]
"""By number of a detection in the row; None: all that have none of their own."""
_NONE: Verdicts = MappingProxyType({})


def pseudo_labels(
    detections: Sequence[Mapping[str, Any]], shape_HW: tuple[int, int], rule: LabelRule, verdicts: Verdicts = _NONE
) -> PseudoLabels | None:
    """Labels of a frame from its row of the results table; None: a person rejected the frame as a whole.

    Args:
        detections: of the row: `label`, `score`, `x_min_px` and so on, `mask_rle`, and `suppressed_by`, its filter: such a one is no
            target that a score alone decides about.
        shape_HW: of the frame.
        rule: scores that decide.
        verdicts: of people.
    """
    whole = verdicts.get(None)
    if whole is not None and whole.word == "reject":
        return None
    boxes, labels, origins = list[list[float]](), list[str](), list[Mapping[str, Any]]()
    mask_HW, masked = np.zeros(shape_HW, np.uint8), True
    for number, each in enumerate(detections):
        # What a row keeps beside its targets is none because somebody accepts the frame.
        verdict = verdicts.get(number, None if each.get("suppressed_by") in KEPT_BESIDE else whole)
        label = _label(each, rule, verdict)
        if label is None:
            continue
        boxes.append([float(each[name]) for name in ("x_min_px", "y_min_px", "x_max_px", "y_max_px")])
        labels.append(label)
        origins.append({"detection": number, "by": "score" if verdict is None else "person"})
        if label != IGNORED and each["mask_rle"] is None:
            masked = False
        elif label != IGNORED:
            mask_HW |= decode_rle(each["mask_rle"], shape_HW)
    return PseudoLabels(np.array(boxes, np.float32).reshape(-1, 4), tuple(labels), encode_rle(mask_HW) if masked else None, tuple(origins))


def _label(detection: Mapping[str, Any], rule: LabelRule, verdict: Verdict | None) -> str | None:
    """The label of a detection; None: it is background."""
    named = str(detection["label"])
    if verdict is not None:
        return {"accept": named, "reject": None, "relabel": verdict.label}[verdict.word]
    score = float(detection["score"])
    if detection.get("suppressed_by") == DOUBLE:
        return None
    sure = score >= rule.accept and detection.get("suppressed_by") is None
    return named if sure else IGNORED if score >= rule.doubt else None


def read_verdicts(path: Path) -> dict[KafkaPosition, dict[int | None, Verdict]]:
    """Verdicts of a CSV file, by position.

    Columns: `position` (TOPIC/PARTITION/OFFSET), `detection` (number in the row; empty: the whole frame), `verdict` (accept, reject,
    relabel) and `label`.

    Raises:
        SettingsError: it cannot be read, or a line is wrong.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in _COLUMNS[:3] if name not in (reader.fieldnames or ())]:
                raise _wrong(path, 1, f"columns {', '.join(_COLUMNS)}", f"none called {', '.join(missing)}")
            lines = list(enumerate(reader, start=2))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(expected="a CSV file of corrections", got=str(error), where=str(path), action="Check the file.") from error
    found: dict[KafkaPosition, dict[int | None, Verdict]] = {}
    for number, line in lines:
        try:
            position = KafkaPosition.parse((line["position"] or "").strip())
            detection = int(line["detection"]) if (line["detection"] or "").strip() else None
        except ValueError as error:
            raise _wrong(path, number, "TOPIC/PARTITION/OFFSET and the number of a detection, or nothing", str(error)) from error
        verdict = Verdict((line["verdict"] or "").strip().lower(), (line.get("label") or "").strip())
        if verdict.word not in _WORDS or (verdict.word == "relabel") != bool(verdict.label):
            raise _wrong(path, number, f"one of {', '.join(_WORDS)}, and a label for relabel only", f"{verdict.word!r}, {verdict.label!r}")
        found.setdefault(position, {})[detection] = verdict
    return found


def _wrong(path: Path, line: int, expected: str, got: str) -> SettingsError:
    return SettingsError(expected=expected, got=got, where=f"{path}:{line}", action="Correct this line.")
