"""Dataset indexes: `index.jsonl` with one JSON object per image, its metadata kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import SettingsError
from contracts.frame import Band, Platform
from contracts.words import band_named, platform_named
from pipeline.inputs.images import read_image
from pipeline.inputs.pictures import Picture, Unusable

INDEX_NAME = "index.jsonl"


@dataclass(frozen=True, slots=True)
class _Row:
    path: Path
    item: str
    platform: Platform
    band: Band
    bit_depth: int | None


class DatasetIndex:
    """The images of one `index.jsonl`, in its order.

    Args:
        path: of the index.
        platform, band, bit_depth: override what the index says; None to keep it.
        split: only images of this split.

    Raises:
        SettingsError: not an index, or no image of the split.
    """

    fps: float | None = None

    def __init__(self, path: Path, platform: Platform | None, band: Band | None, bit_depth: int | None, split: str | None) -> None:
        """Read the index; images are read when their turn comes."""
        self.name = path.parent.name
        self._rows: list[_Row] = []
        self._bad: list[Unusable] = []
        splits: set[str] = set()
        for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                file = entry["file"]
            except (ValueError, KeyError, TypeError):
                self._bad.append(Unusable(f"{path} line {number}", "expected a JSON object with `file`, got something else"))
                continue
            # An index from elsewhere must not make us publish any file of this machine.
            if not isinstance(file, str) or Path(file).is_absolute() or ".." in Path(file).parts:
                self._bad.append(Unusable(f"{path} line {number}", f"expected a file below {path.parent.name}/, got {file!r}"))
                continue
            splits.add(str(entry.get("split")))
            if split is None or entry.get("split") == split:
                self._rows.append(_row(path.parent / file, entry, platform, band, bit_depth))
        if not self._rows and split is not None:
            raise SettingsError(
                expected=f"images of split {split!r}",
                got=f"splits {', '.join(sorted(splits)) or 'none'}",
                where=str(path),
                action="Choose one of them: `split`.",
            )

    @property
    def num_pictures(self) -> int:
        """Rows, bad ones included."""
        return len(self._rows) + len(self._bad)

    def pictures(self) -> Iterator[Picture | Unusable]:
        """Each image once."""
        yield from self._bad
        for row in self._rows:
            yield read_image(row.path, row.platform, row.band, row.bit_depth, row.item)


def _row(path: Path, entry: dict[str, Any], platform: Platform | None, band: Band | None, bit_depth: int | None) -> _Row:
    said_platform = platform_named(entry.get("platform"))
    said_band = band_named(entry.get("band"))
    said_depth = entry.get("bit_depth")
    return _Row(
        path,
        str(entry.get("id") or path.stem),
        platform or said_platform,
        band or said_band,
        bit_depth if bit_depth is not None else said_depth if isinstance(said_depth, int) else None,
    )
