"""Parquet files with one frame a row: a data set that was imported, a table of images, an export of others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.errors import RejectRecord, SettingsError
from contracts.frame import Band, Platform
from contracts.image_files import decode_image
from contracts.nodata import nodata_values
from contracts.words import band_named, platform_named
from pipeline.inputs.images import picture_of
from pipeline.inputs.pictures import Picture, Unusable

_IMAGE = ("image", "value", "bytes")
_SENSOR = ("sensor_id", "sensor")
_NAME = ("frame_id", "sample_id", "id")
_OTHERS = ("captured_at", "platform", "band", "bit_depth", "nodata", "split")
_BATCH_ROWS = 16


def is_parquet(path: Path) -> bool:
    """True where the name is that of a Parquet file."""
    return path.suffix.lower() == ".parquet" and not path.name.startswith(".")


def holds_frames(path: Path) -> bool:
    """True for a Parquet file with a column of images; not for one that cannot be read."""
    try:
        return _image_column(pq.read_schema(path)) is not None
    except (OSError, pa.ArrowInvalid):
        return False


def require_frames(path: Path) -> None:
    """Check that a Parquet file has a column of images.

    Raises:
        SettingsError: it has none, or cannot be read.
    """
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise SettingsError(expected="a Parquet file", got=str(error), where=str(path), action="Check the file.") from error
    if _image_column(schema) is None:
        raise SettingsError(
            expected=f"a column of encoded images: {', '.join(_IMAGE)} (binary, or a struct with `bytes`)",
            got=f"columns {', '.join(schema.names)}",
            where=str(path),
            action="docs/archives.md says what a Parquet of frames has.",
        )


def _image_column(schema: pa.Schema) -> str | None:
    for name in _IMAGE:
        kind = schema.field(name).type if name in schema.names else None
        if kind is not None and pa.types.is_struct(kind):
            kind = next((each.type for each in kind if each.name == "bytes"), None)
        if kind is not None and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            return name
    return None


@dataclass(frozen=True, slots=True)
class ParquetInput:
    """One Parquet file, as an `InputFile`.

    Attributes:
        path: of the file.
        platform, band, bit_depth, nodata: instead of those of its rows; None, or empty, to keep them.
        split: only rows of this split; None for all.
    """

    path: Path
    platform: Platform | None = None
    band: Band | None = None
    bit_depth: int | None = None
    nodata: tuple[float, ...] = ()
    split: str | None = None
    fps: float | None = None
    from_beginning: bool = False

    @property
    def labels(self) -> str:
        """See `InputFile`."""
        return repr((self.platform and str(self.platform), self.band and str(self.band), self.bit_depth, self.nodata, self.split))

    def count(self) -> int:
        """See `InputFile`."""
        with pq.ParquetFile(self.path) as file:
            if self.split is None:
                return int(file.metadata.num_rows)
            if "split" not in file.schema_arrow.names:
                return 0
            return int(pc.sum(pc.equal(file.read(["split"])["split"], self.split)).as_py() or 0)

    def pictures(self, first: int = 0) -> Iterator[Picture | Unusable]:
        """See `InputFile`."""
        try:
            yield from self._pictures(first)
        except (OSError, pa.ArrowException) as error:
            yield Unusable(str(self.path), f"expected a Parquet file, got {error}")

    def _pictures(self, first: int) -> Iterator[Picture | Unusable]:
        at = 0
        with pq.ParquetFile(self.path) as file:
            schema = file.schema_arrow
            names = {kind: next((name for name in known if name in schema.names), None) for kind, known in _ALIASES.items()}
            names["image"] = _image_column(schema)
            columns = [name for name in (*names.values(), *_OTHERS) if name is not None and name in schema.names]
            for group in range(file.num_row_groups):
                end = at + self._num_of(file, group)
                try:
                    for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns) if end > first else ():
                        for row in batch.to_pylist():
                            if self.split is not None and row.get("split") != self.split:
                                continue
                            if at >= first:
                                yield self._picture(row, names, at)
                            at += 1
                except (OSError, pa.ArrowException, ValueError) as error:  # a damaged page: the other groups can be read
                    if end > max(at, first):
                        what = f"{self.path}, rows {max(at, first)} to {end - 1}"
                        yield Unusable(what, f"expected a row group that can be read, got {error}", end - max(at, first))
                at = end

    def _num_of(self, file: pq.ParquetFile, group: int) -> int:
        """Rows of a group, of the split that is wanted."""
        if self.split is None:
            return int(file.metadata.row_group(group).num_rows)
        if "split" not in file.schema_arrow.names:
            return 0
        return int(pc.sum(pc.equal(file.read_row_group(group, ["split"])["split"], self.split)).as_py() or 0)

    def _picture(self, row: dict[str, Any], names: dict[str, str | None], at: int) -> Picture | Unusable:
        try:
            return self._read(row, names, at)
        except RejectRecord as error:
            return Unusable(f"{self.path}, row {at}", error.detail)
        except (ValueError, TypeError) as error:  # text where a number belongs
            return Unusable(f"{self.path}, row {at}", f"expected an image and its values, got {error}")

    def _read(self, row: dict[str, Any], names: dict[str, str | None], at: int) -> Picture | Unusable:
        value = row.get(names["image"] or "")
        value = value.get("bytes") if isinstance(value, dict) else value
        if not value:
            return Unusable(f"{self.path}, row {at}", "expected an encoded image, got none")
        name = row.get(names["name"] or "")
        sensor = row.get(names["sensor"] or "")
        nodata = self.nodata or _nodata(row.get("nodata"))
        image = decode_image(value, self.bit_depth or row.get("bit_depth"), nodata=nodata)
        return picture_of(
            image,
            self.platform or platform_named(row.get("platform")),
            self.band or band_named(row.get("band")),
            self.bit_depth or row.get("bit_depth"),
            str(name) if name is not None else f"{self.path.stem}/{at}",
            sensor_id=None if sensor is None else str(sensor),
            frame_id=None if name is None else str(name),
            captured_at=_moment(row.get("captured_at")),
        )


_ALIASES = {"sensor": _SENSOR, "name": _NAME}


def _nodata(value: Any) -> tuple[float, ...]:
    listed = value if isinstance(value, list) else [] if value is None else [value]
    return nodata_values(",".join(map(str, listed))) if listed else ()


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


class ParquetFrames:
    """Parquet files of a folder, or one, as one sequence."""

    fps: float | None = None

    def __init__(self, name: str, inputs: list[ParquetInput]) -> None:
        """Remember the files; rows are read when their turn comes."""
        self.name = name
        self._inputs = inputs

    @property
    def num_pictures(self) -> int:
        """Rows of all files."""
        return self._num

    def pictures(self) -> Iterator[Picture | Unusable]:
        """Each row once."""
        for each in self._inputs:
            yield from each.pictures()

    def files(self) -> Iterator[ParquetInput]:
        """See `FileSequence`."""
        return iter(self._inputs)

    @cached_property
    def _num(self) -> int:
        return sum(each.count() for each in self._inputs)
