"""Dataset indexes: `index.jsonl` with one JSON object per image, its metadata kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from contracts.dataset_index import ImageLine, read_lines
from contracts.errors import SettingsError
from contracts.frame import Band, Platform
from pipeline.inputs.images import read_image
from pipeline.inputs.pictures import Picture, Unusable


@dataclass(frozen=True, slots=True)
class IndexInput:
    """One image of an index, as an `InputFile`; fields as the arguments of `read_image`."""

    path: Path
    platform: Platform
    band: Band
    bit_depth: int | None
    item: str
    nodata: tuple[float, ...]
    fps: float | None = None
    from_beginning: bool = False

    @property
    def labels(self) -> str:
        """See `InputFile`."""
        return repr((str(self.platform), str(self.band), self.bit_depth, self.nodata, self.item))

    def count(self) -> int:
        """See `InputFile`."""
        return 1

    def pictures(self, first: int = 0) -> Iterator[Picture | Unusable]:
        """See `InputFile`."""
        if first == 0:
            yield read_image(self.path, self.platform, self.band, self.bit_depth, self.item, self.nodata)


@dataclass(frozen=True, slots=True)
class BadLines:
    """The lines of an index that say nothing, as an `InputFile`."""

    path: Path
    lines: tuple[Unusable, ...]
    fps: float | None = None
    from_beginning: bool = False

    @property
    def labels(self) -> str:
        """See `InputFile`."""
        return repr([(line.why, line.num) for line in self.lines])

    def count(self) -> int:
        """See `InputFile`."""
        return sum(line.num for line in self.lines)

    def pictures(self, first: int = 0) -> Iterator[Picture | Unusable]:
        """See `InputFile`."""
        return islice(self.lines, first, None)


class DatasetIndex:
    """The images of one `index.jsonl`, in its order.

    Args:
        path: of the index.
        platform, band, bit_depth: override what the index says; None to keep it.
        split: only images of this split.
        nodata: likewise; none to keep it.

    Raises:
        SettingsError: not an index, or no image of the split.
    """

    fps: float | None = None

    def __init__(
        self,
        path: Path,
        platform: Platform | None,
        band: Band | None,
        bit_depth: int | None,
        split: str | None,
        nodata: tuple[float, ...] = (),
    ) -> None:
        """Read the index; images are read when their turn comes."""
        self.name = path.parent.name
        self._path = path
        self._folder, self._platform, self._band, self._bit_depth = path.parent, platform, band, bit_depth
        self._nodata = nodata
        self._lines: list[ImageLine] = []
        self._bad: list[Unusable] = []
        splits: set[str] = set()
        for line in read_lines(path, ImageLine):
            if isinstance(line, SettingsError):
                self._bad.append(Unusable(line.where, f"expected {line.expected}, got {line.got}"))
                continue
            splits.add(str(line.split))
            if split in (None, line.split):
                self._lines.append(line)
        if not self._lines and split is not None:
            raise SettingsError(
                expected=f"images of split {split!r}",
                got=f"splits {', '.join(sorted(splits)) or 'none'}",
                where=str(path),
                action="Choose one of them: `split`.",
            )

    @property
    def num_pictures(self) -> int:
        """Lines, bad ones included."""
        return len(self._lines) + len(self._bad)

    def pictures(self) -> Iterator[Picture | Unusable]:
        """Each image once."""
        for file in self.files():
            yield from file.pictures()

    def files(self) -> Iterator[IndexInput | BadLines]:
        """See `FileSequence`."""
        if self._bad:
            yield BadLines(self._path, tuple(self._bad))
        for line in self._lines:
            bit_depth = line.bit_depth if self._bit_depth is None else self._bit_depth
            platform, band, nodata = self._platform or line.platform, self._band or line.band, self._nodata or line.nodata
            yield IndexInput(self._folder / line.file, platform, band, bit_depth, line.id, nodata)
