"""Data sets with an `index.jsonl`: the known ones in our layout, and folders of one's own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from contracts.dataset_index import INDEX_NAME, IndexEntry, read_lines
from contracts.errors import SettingsError
from training.data.catalogue import KNOWN
from training.data.places import place_of
from training.data.sources.annotation import Annotation, Listed, RefusedAnnotation, below

_OWN = frozenset(IndexEntry.model_fields) - {"id"}
_NUMBERED = re.compile(r"^(?P<scene>(?!misc).+?)[-_]\d+$", re.IGNORECASE)
_CLIPS = "drone-ir"
_HIT_UAV = re.compile(r"^(?P<scene>\d_\d+_\d+_\d)_\d+$")


def list_index(root: Path, known: str | None) -> Iterator[Listed]:
    """The images of an index, in its order.

    Args:
        root: folder of the index.
        known: known data set whose classes and scenes it has; None for a folder of one's own.

    Raises:
        SettingsError: the index cannot be read.
    """
    index = root / INDEX_NAME
    extras = index.read_text(encoding="utf-8-sig").split("\n") if index.is_file() else []
    filled = [line for line in extras if line.strip()]
    for number, (line, text) in enumerate(zip(read_lines(index, IndexEntry), filled, strict=True), start=1):
        if isinstance(line, SettingsError):
            yield Listed(sample_id=f"{INDEX_NAME}:{number}", annotate=_refusal(line))
        else:
            yield Listed(sample_id=line.id, annotate=_reader(root, known, line, text))


def _refusal(error: SettingsError) -> Any:
    def annotate() -> Annotation:
        raise RefusedAnnotation("annotation_invalid", str(error))

    return annotate


def _reader(root: Path, known: str | None, entry: IndexEntry, text: str) -> Any:
    def annotate() -> Annotation:
        extra = {name: value for name, value in json.loads(text).items() if name not in _OWN}
        try:
            labels = _labels(known, entry)
        except ValidationError as error:
            raise RefusedAnnotation("annotation_invalid", str(error)) from error
        return Annotation(
            sample_id=entry.id,
            image=below(root, entry.file),
            mask=root / entry.mask if entry.mask else None,
            boxes_xywh_px=entry.boxes if entry.boxes_drawn else None,
            labels=labels,
            split=entry.split,
            platform=entry.platform,
            band=entry.band,
            bit_depth=entry.bit_depth,
            nodata=entry.nodata,
            group=scene_of(entry, known, extra),
            extra=extra,
        )

    return annotate


def _labels(known: str | None, entry: IndexEntry) -> tuple[str, ...]:
    names = KNOWN[known].classes if known else ()
    if entry.labels is not None:
        return entry.labels
    if not names or entry.classes is None:
        return ("target",) * len(entry.boxes)
    if wrong := [number for number in entry.classes if not 0 <= number < len(names)]:
        raise RefusedAnnotation("class_unknown", f"expected classes 0 to {len(names) - 1}, got {wrong[0]}")
    return tuple(names[number] for number in entry.classes)


def scene_of(entry: IndexEntry, known: str | None, extra: dict[str, Any]) -> str | None:
    """Sequence or scene of an image: as the index says (`clip`, `sequence`, `scene`, `group`), else by the names of a known set.

    Clips of `drone-ir` that show the same place are one scene (`training.data.places`).
    """
    if known == _CLIPS and entry.clip:
        return place_of(entry.clip)
    said = entry.clip or next((str(extra[name]) for name in ("sequence", "scene", "group", "group_id") if extra.get(name)), None)
    if said is not None:
        return said
    pattern = {"hit-uav": _HIT_UAV, "sirst-v2": _NUMBERED}.get(known or "")
    found = pattern.match(entry.id) if pattern else None
    return found["scene"] if found else None
