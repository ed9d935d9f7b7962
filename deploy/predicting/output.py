"""The folder of `irstream predict`: rows, a picture of each frame, and a sheet of some."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow.parquet as pq

from contracts.arrow import outcomes_to_table
from contracts.frame import Pixels
from contracts.result import FrameResult, Outcome
from contracts.text import counted
from deploy.demo.contact_sheet import Tile, write_contact_sheet
from deploy.demo.results import choose
from deploy.predicting.picture import annotated
from evaluation.drawing import encode_png
from pipeline.inputs.pictures import Unusable
from pipeline.predict import Answered, PredictCounts

RUN_ID = "predict"
RESULTS, PICTURES, SHEET = "results.parquet", "pictures", "contact-sheet.png"
_TILES = 12
_KEPT = 4 * _TILES
_ROWS = 500
"""Rows that are written together; each group of them costs a few kB of the file's end."""


@dataclass(slots=True, eq=False)
class Spread:
    """A few frames of many, evenly spread, whose number nobody knows before the end."""

    kept: list[tuple[FrameResult, Tile]] = field(default_factory=list)
    every: int = 1
    seen: int = 0

    def add(self, result: FrameResult, tile: Tile) -> None:
        """Keep it if it is its turn; where there are too many, every second one goes."""
        if self.seen % self.every == 0:
            self.kept.append((result, tile))
        self.seen += 1
        if len(self.kept) > _KEPT:
            self.kept, self.every = self.kept[::2], self.every * 2


@dataclass(slots=True, eq=False)
class Output:
    """The files that are written; a context manager.

    Attributes:
        folder: for everything; files of an earlier time are written over.
        max_pictures: so many pictures of single frames are drawn at most.
        counts: of everything that was added.
        pictures: how many were written.
    """

    folder: Path
    max_pictures: int
    counts: PredictCounts = field(default_factory=PredictCounts)
    pictures: int = 0
    _by_sensor: Counter[str] = field(default_factory=Counter)
    _spread: Spread = field(default_factory=Spread)
    _writer: pq.ParquetWriter | None = None
    _rows: list[Outcome] = field(default_factory=list)
    _stems: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """Make the folders; results of an earlier time go."""
        (self.folder / PICTURES).mkdir(parents=True, exist_ok=True)
        for old in (self.results, self.folder / SHEET, *(self.folder / PICTURES).glob("*.png")):
            old.unlink(missing_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the Parquet: what was answered so far can be read, whatever came then."""
        self._write_rows()
        if self._writer is not None:
            self._writer.close()

    @property
    def results(self) -> Path:
        """One row a frame, columns of the results table."""
        return self.folder / RESULTS

    def add(self, entry: Answered | Unusable) -> None:
        """Write an answer, or note what is no frame."""
        self.counts.add(entry)
        if isinstance(entry, Unusable):
            return
        self._rows.append(entry.outcome)
        if len(self._rows) >= _ROWS:
            self._write_rows()
        if isinstance(entry.outcome, FrameResult):
            assert entry.pixels_HW is not None
            self._draw(entry.outcome, entry.pixels_HW)

    def write_sheet(self) -> Path | None:
        """The sheet of up to a dozen frames of all sensors, those with targets first; None without frames."""
        chosen = {result.position for result in choose([result for result, _ in self._spread.kept], _TILES)}
        tiles = [tile for result, tile in self._spread.kept if result.position in chosen]
        if not tiles:
            return None
        path = self.folder / SHEET
        sensors = counted(len(self._by_sensor), "sensor")
        heading = f"irstream: {counted(self.counts.frames, 'frame')} of {sensors}, {counted(self.counts.detections, 'detection')}"
        write_contact_sheet(tiles, path, heading)
        return path

    def _write_rows(self) -> None:
        if self._rows:
            table = outcomes_to_table(self._rows, RUN_ID)
            if self._writer is None:
                self._writer = pq.ParquetWriter(self.results, table.schema)
            self._writer.write_table(table)
            self._rows = []

    def _stem(self, sensor_id: str) -> str:
        """A name for the pictures of this sensor alone."""
        if sensor_id not in self._stems:
            stem = plain = re.sub(r"[^A-Za-z0-9._-]", "_", sensor_id)
            while stem in self._stems.values():
                stem = f"{plain}_{len(self._stems) + 1}"
            self._stems[sensor_id] = stem
        return self._stems[sensor_id]

    def files(self, sheet: Path | None) -> dict[str, str]:
        """Files that were written, by name."""
        places = {"sheet": sheet, "pictures": self.folder / PICTURES if self.pictures else None}
        places["rows"] = self.results if self._writer is not None or self._rows else None
        return {name: str(place) for name, place in places.items() if place is not None}

    def _draw(self, result: FrameResult, pixels_HW: Pixels) -> None:
        number = self._by_sensor[result.sensor_id]
        self._by_sensor[result.sensor_id] += 1
        title = f"{result.sensor_id}  {result.width_px}x{result.height_px}  {result.bit_depth} bit"
        self._spread.add(result, Tile(pixels_HW, title, result.shown))
        if self.pictures < self.max_pictures:
            name = f"{self._stem(result.sensor_id)}-{number:06d}.png"
            (self.folder / PICTURES / name).write_bytes(encode_png(annotated(pixels_HW, result.detections)))
            self.pictures += 1
