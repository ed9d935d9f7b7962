"""An image and its labels as some format names them, before anything is decoded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from contracts.errors import IrstreamError, SettingsError
from contracts.frame import Band, Platform
from contracts.image_files import IMAGE_SUFFIXES

BoxXYWH: TypeAlias = tuple[float, float, float, float]
WHOLE_IMAGE = "whole image"


class RefusedAnnotation(IrstreamError):  # noqa: N818 - as RejectRecord: the action is in the name
    """One image of a data set that cannot be imported, by a short reason; the others go on."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep both: the report counts reasons."""
        self.reason, self.detail = reason, detail
        super().__init__(reason, detail)

    def __str__(self) -> str:
        """`reason: detail`."""
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One image as its data set names it.

    Attributes:
        sample_id: name within the data set.
        image: file.
        mask: file of its mask; None where there is none.
        segments: in place of a mask file, polygons or run lengths as COCO writes them; None: nobody drew any.
        boxes_xywh_px: left, top, width, height in pixels, one a target; None where nobody drew any.
        labels: one class name a box; without boxes, one name for the whole image counts.
        split: official one.
        platform: of the camera.
        band: of the camera.
        bit_depth: significant bits, as stated.
        nodata: values that are no measurement.
        group: sequence, scene or camera; None where the source names none.
        relative_boxes: boxes are shares of the image's sides, their first two numbers the middle (YOLO).
        extra: what else the source says.
    """

    sample_id: str
    image: Path
    mask: Path | None = None
    segments: tuple[Any, ...] | None = None
    boxes_xywh_px: tuple[BoxXYWH, ...] | None = None
    labels: tuple[str, ...] = ()
    split: str | None = None
    platform: Platform = Platform.UNKNOWN
    band: Band = Band.UNKNOWN
    bit_depth: int | None = None
    nodata: tuple[float, ...] = ()
    group: str | None = None
    relative_boxes: bool = False
    extra: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An image that a data set lists.

    Attributes:
        sample_id: its name.
        annotate: reads its labels. It raises `RefusedAnnotation` where they are wrong.
    """

    sample_id: str
    annotate: Callable[[], Annotation]


_SPLIT = re.compile(r"(?<![a-z])(trainval|train|valid|val|test)(?:ation|ing)?(?:[-_ ]?set)?(?![a-z])")


def split_of_name(name: str) -> str | None:
    """The split that a file or folder is named after: a word of the name is `train`, `val` or `test`, or a usual form of one.

    `instances_val2017` is `val`, `latest` is none.
    """
    found = _SPLIT.search(name.lower())
    return None if found is None else found[1].removesuffix("id")


def images_below(folder: Path) -> Iterator[Path]:
    """Image files below a folder, in order of their paths."""
    yield from sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def folder_named(root: Path, names: Iterable[str], what: str) -> Path:
    """The first of some folders that is there; case does not matter.

    Raises:
        SettingsError: none is.
    """
    wanted = [name.lower() for name in names]
    there = {path.name.lower(): path for path in root.iterdir() if path.is_dir()} if root.is_dir() else {}
    for name in wanted:
        if name in there:
            return there[name]
    raise SettingsError(
        expected=f"a folder {' or '.join(wanted)} with {what}",
        got=f"folders {', '.join(sorted(there)) or 'none'}" if root.is_dir() else "no folder",
        where=str(root),
        action="Name the folder that holds it (docs/datasets.md).",
    )


def below(root: Path, name: str) -> Path:
    """A file that a data set names, below its folder.

    Raises:
        RefusedAnnotation: it lies elsewhere, or is not there.
    """
    path = root / name
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        raise RefusedAnnotation("file_outside", f"expected a file below {root}, got {name!r}")
    if not path.is_file():
        raise RefusedAnnotation("image_missing", f"expected a file {path}, got none")
    return path
