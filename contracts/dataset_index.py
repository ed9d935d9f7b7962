"""The index of a data set, `index.jsonl`: one JSON object a line, checked when it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from contracts.errors import SettingsError
from contracts.frame import Band, Platform
from contracts.words import band_named, platform_named

INDEX_NAME = "index.jsonl"
_HELP = "Correct this line; docs/datasets.md says what it holds."
_TOLD_CHARACTERS = 80


def _box(value: Any) -> Any:
    numbers = isinstance(value, list) and len(value) == 4 and all(isinstance(each, int | float) and math.isfinite(each) for each in value)
    if not numbers or value[2] <= 0 or value[3] <= 0:
        raise ValueError("four finite numbers: left, top, width and height in pixels, width and height above 0")
    return value


Box: TypeAlias = Annotated[tuple[float, float, float, float], BeforeValidator(_box)]
_Platform: TypeAlias = Annotated[Platform, BeforeValidator(platform_named)]
_Band: TypeAlias = Annotated[Band, BeforeValidator(band_named)]


class IndexEntry(BaseModel):
    """One labelled image. Other fields than these are somebody else's.

    Attributes:
        id: name within the data set.
        file: image, below the folder of the index.
        mask: its mask; None where nobody drew one.
        boxes: `[left, top, width, height]` in pixels, one a target; without any, those of the regions of the mask count.
        classes: one number a box, into the class names of a known data set.
        labels: one class name a box; `ignore` for a region nobody labelled.
        split: the file's own; None means training.
        platform: of the camera; words as `contracts.words` knows them, `unknown` for others.
        band: likewise.
        bit_depth: significant bits.
        clip: video the image is a frame of.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    id: str = Field(min_length=1)
    file: str = Field(min_length=1)
    mask: str | None = None
    boxes: tuple[Box, ...] = ()
    classes: tuple[int, ...] | None = None
    labels: tuple[str, ...] | None = None
    split: Literal["train", "trainval", "val", "test"] | None = None
    platform: _Platform = Platform.UNKNOWN
    band: _Band = Band.UNKNOWN
    bit_depth: int | None = Field(default=None, ge=1, le=32)
    clip: str | None = None

    @model_validator(mode="after")
    def _one_class_a_box(self) -> IndexEntry:
        for name, values in (("classes", self.classes), ("labels", self.labels)):
            if values is not None and len(values) != len(self.boxes):
                raise ValueError(f"as many {name} as boxes, {len(self.boxes)}")
        return self


def json_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lines of a file that hold something, and where each stands (`FILE:LINE`).

    Raises:
        SettingsError: a line is not a JSON object, or the file is not text.
    """
    try:
        # Not splitlines: a string may hold characters that it takes for ends of lines.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise SettingsError(expected="text in UTF-8", got=str(error), where=str(path), action="Save it as UTF-8.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise SettingsError(expected="one JSON object", got=f"{_told(line)} ({error})", where=where, action=_HELP) from error
        if not isinstance(value, dict):
            raise SettingsError(expected="one JSON object", got=_told(line), where=where, action=_HELP)
        yield where, value


def read_entries(index: Path) -> list[IndexEntry]:
    """The images of an index, in its order.

    Raises:
        SettingsError: a line is not what it should be; the text names file and line.
    """
    return [_entry(where, value) for where, value in json_objects(index)]


def _entry(where: str, value: dict[str, Any]) -> IndexEntry:
    try:
        return IndexEntry.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            expected, got = f"a field {field!r}", "none"
        else:
            wanted = first.get("ctx", {}).get("error") or first["msg"].removeprefix("Input should be ")
            expected, got = f"{field}: {wanted}" if field else str(wanted), _told(json.dumps(first["input"]))
        raise SettingsError(expected=expected, got=got, where=where, action=_HELP) from error


def _told(text: str) -> str:
    return text if len(text) <= _TOLD_CHARACTERS else f"{text[:_TOLD_CHARACTERS]}..."
