"""The one reader of `index.jsonl` and `tracks.jsonl`: one JSON object a line, checked when it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from contracts.errors import SettingsError
from contracts.frame import Band, Platform
from contracts.headers import BIT_DEPTHS
from contracts.nodata import nodata_values
from contracts.words import band_named, platform_named

INDEX_NAME = "index.jsonl"
TRACKS_NAME = "tracks.jsonl"
_HELP = "Correct this line; docs/datasets.md says what it holds."
_SHOWN_CHARACTERS = 80


def _box(value: Any) -> Any:
    numbers = isinstance(value, list) and len(value) == 4 and all(isinstance(each, int | float) and math.isfinite(each) for each in value)
    if not numbers or value[2] <= 0 or value[3] <= 0:
        raise ValueError("four finite numbers: left, top, width and height in pixels, width and height above 0")
    return value


def _below(file: str) -> str:
    # An index from elsewhere must not make anybody read, and then publish, any file of this machine.
    if Path(file).is_absolute() or ".." in Path(file).parts or "\0" in file:
        raise ValueError("a file below the folder of the index")
    return file


def _bits(bit_depth: int) -> int:
    if bit_depth not in BIT_DEPTHS:
        raise ValueError("8 to 16, or 32 for float32")
    return bit_depth


def _nodata(value: Any) -> tuple[float, ...]:
    listed = value if isinstance(value, list) else [] if value is None else [value]
    if any(isinstance(each, bool) or not isinstance(each, int | float | str) for each in listed):
        raise ValueError("a number or a text such as nan, or a list of them")
    return nodata_values(",".join(map(str, listed))) if listed else ()


def _nothing(value: Any) -> Any:
    return () if value is None else value


Box: TypeAlias = Annotated[tuple[float, float, float, float], BeforeValidator(_box)]
"""Left, top, width and height in pixels."""
_Boxes: TypeAlias = Annotated[tuple[Box, ...], BeforeValidator(_nothing)]
_Platform: TypeAlias = Annotated[Platform, BeforeValidator(platform_named)]
_Band: TypeAlias = Annotated[Band, BeforeValidator(band_named)]


class ImageLine(BaseModel):
    """One image of an index, whatever its labels. Other fields of a line are ignored.

    Attributes:
        file: image, below the folder of the index.
        id: name within the data set; that of the file where the line has none.
        split: part of the data set.
        platform: of the camera; words as `contracts.words` knows them, `unknown` for others.
        band: likewise.
        bit_depth: significant bits.
        nodata: values that are no measurement, as in the header `ir_nodata`: a number, a text such as `nan`, or a list of them.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    file: Annotated[str, Field(min_length=1), AfterValidator(_below)]
    id: str = Field(min_length=1)
    split: str | None = None
    platform: _Platform = Platform.UNKNOWN
    band: _Band = Band.UNKNOWN
    bit_depth: Annotated[int, AfterValidator(_bits)] | None = None
    nodata: Annotated[tuple[float, ...], BeforeValidator(_nodata)] = ()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, line: dict[str, Any]) -> dict[str, Any]:
        file = line.get("file")
        if isinstance(file, str) and line.get("id") in (None, ""):
            return {**line, "id": Path(file).stem}
        return line


class LabelledLine(ImageLine):
    """One image of an index and the boxes of its targets.

    Attributes:
        boxes: `[left, top, width, height]` in pixels, one a target; None where nobody drew any.
    """

    boxes: tuple[Box, ...] | None = None


class IndexEntry(ImageLine):
    """One image to learn from or to measure on.

    Attributes:
        mask: its mask; None where nobody drew one.
        boxes: `[left, top, width, height]` in pixels, one a target; without any, those of the regions of the mask count.
        classes: one number a box, into the class names of a known data set.
        labels: one class name a box; `ignore` for a region nobody labelled.
        split: the file's own; None means training, `unseen` that no training may see the image.
        boxes_drawn: whether the line has boxes, be it none; false where they are null or left out.
        clip: video the image is a frame of.
    """

    mask: str | None = None
    boxes: _Boxes = ()
    classes: tuple[int, ...] | None = None
    labels: tuple[str, ...] | None = None
    split: Literal["train", "trainval", "val", "test", "unseen"] | None = None
    clip: str | None = None
    boxes_drawn: bool = False

    @model_validator(mode="before")
    @classmethod
    def _drawn(cls, line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "boxes_drawn": line.get("boxes") is not None}

    @model_validator(mode="after")
    def _one_class_a_box(self) -> IndexEntry:
        for name, values in (("classes", self.classes), ("labels", self.labels)):
            if values is not None and len(values) != len(self.boxes):
                raise ValueError(f"as many {name} as boxes, {len(self.boxes)}")
        return self


class ClipTrack(BaseModel):
    """The one target of a video, frame by frame: a line of `tracks.jsonl`.

    Attributes:
        video: file, below the folder of the tracks.
        boxes_xywh_px: `[left, top, width, height]` a frame, or None where the target is not in it.
        label: its class (field `class`).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    video: Annotated[str, Field(min_length=1), AfterValidator(_below)]
    boxes_xywh_px: tuple[Annotated[Box | None, BeforeValidator(lambda box: box or None)], ...]
    label: str = Field(default="target", alias="class", min_length=1)


_Line = TypeVar("_Line", bound=BaseModel)


def read_lines(path: Path, kind: type[_Line]) -> Iterator[_Line | SettingsError]:
    """The lines of an index or of tracks that hold something, in their order; for a wrong one what is wrong with it.

    Args:
        path: of the file.
        kind: `ImageLine`, `LabelledLine`, `IndexEntry` or `ClipTrack`.

    Raises:
        SettingsError: the file cannot be read, or is not text.
    """
    return (line for _, line in _numbered(path, kind))


def read_entries(index: Path) -> list[IndexEntry]:
    """The images of an index, in its order.

    Raises:
        SettingsError: a line is not what it should be; the text names file and line.
    """
    return [entry for _, entry in read_numbered(index)]


def read_numbered(index: Path) -> list[tuple[int, IndexEntry]]:
    """As `read_entries`, each with the number of its line from 1."""
    return _all_right(index, IndexEntry)


def read_tracks(path: Path) -> list[ClipTrack]:
    """The clips of a `tracks.jsonl`, in its order.

    Raises:
        SettingsError: as `read_entries`.
    """
    return [track for _, track in _all_right(path, ClipTrack)]


def _all_right(path: Path, kind: type[_Line]) -> list[tuple[int, _Line]]:
    lines = []
    for number, line in _numbered(path, kind):
        if isinstance(line, SettingsError):
            raise line
        lines.append((number, line))
    return lines


def _numbered(path: Path, kind: type[_Line]) -> Iterator[tuple[int, _Line | SettingsError]]:
    for number, line in enumerate(_text(path).split("\n"), start=1):  # not splitlines: a string may hold what it takes for ends of lines
        if line.strip():
            yield number, _parsed(f"{path}:{number}", line, kind)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(expected="text in UTF-8", got=str(error), where=str(path), action="Save it as UTF-8.") from error
    except OSError as error:
        got = error.strerror or str(error)
        raise SettingsError(expected="a readable file", got=got, where=str(path), action="Check the path and its rights.") from error


def _parsed(where: str, line: str, kind: type[_Line]) -> _Line | SettingsError:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return SettingsError(expected="one JSON object", got=f"{_shortened(line)} ({error})", where=where, action=_HELP)
    if not isinstance(value, dict):
        return SettingsError(expected="one JSON object", got=_shortened(line), where=where, action=_HELP)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        return _mistake(where, error)


def _mistake(where: str, error: ValidationError) -> SettingsError:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        expected, got = f"a field {field!r}", "none"
    else:
        wanted = first.get("ctx", {}).get("error") or first["msg"].removeprefix("Input should be ")
        expected, got = f"{field}: {wanted}" if field else str(wanted), _shortened(json.dumps(first["input"]))
    return SettingsError(expected=expected, got=got, where=where, action=_HELP)


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
