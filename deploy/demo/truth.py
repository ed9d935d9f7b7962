"""True targets of a frame, where a header or an index names them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from contracts.result import FrameResult

Boxes = tuple[tuple[float, float, float, float], ...]


class Truth:
    """Boxes by the name of a frame within its input (header `item`), or from the frame's own header `truth`.

    Attributes:
        skipped: rows that are not what they should be, one text for each: their frames are shown without truth.
    """

    def __init__(self, frames: Path | None) -> None:
        """Read what lies with the input; None or nothing there is fine.

        Args:
            frames: as given to the demo. A folder: `index.jsonl` and `tracks.jsonl` in it and in those directly below; an
                index: itself. The tracks of clips may also lie beside them or one folder above (`videos/`, `tracks.jsonl`).
        """
        self._boxes: dict[str, Boxes] = {}
        self.skipped: list[str] = []
        indexes, tracks = _places(frames) if frames is not None else ([], [])
        for path in indexes:
            for where, row in self._rows(path):
                self._take(where, row, _of_image)
        for path in tracks:
            for where, row in self._rows(path):
                self._take(where, row, _of_clip)

    def boxes(self, result: FrameResult) -> Boxes | None:
        """Boxes `(x_min, y_min, x_max, y_max)`, pixel edges; None where nobody knows."""
        header = result.headers.get("truth")
        if header is not None:
            return tuple(tuple(target["box_xyxy_px"]) for target in json.loads(header))
        return self._boxes.get(result.headers.get("item", ""))

    def _rows(self, path: Path) -> Iterator[tuple[str, str]]:
        """Lines with something in them, and where they stand."""
        try:
            lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        except OSError as error:
            self.skipped.append(f"{path}: {error}")
            return
        yield from ((f"{path} line {number}", line) for number, line in enumerate(lines, start=1) if line.strip())

    def _take(self, where: str, line: str, read: Callable[[dict[str, Any]], dict[str, Boxes]]) -> None:
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise TypeError(f"expected an object, got {line:.80}")
            self._boxes |= read(row)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.skipped.append(f"{where}: {type(error).__name__} {error}")


def _places(frames: Path) -> tuple[list[Path], list[Path]]:
    """Files that may hold the truth of an input: indexes, tracks."""
    if frames.is_file():
        # Not of its neighbours: another data set may have a frame of the same name.
        return ([frames], []) if frames.suffix == ".jsonl" else ([], [*frames.parent.glob("tracks.jsonl"), *_above(frames.parent)])
    tracks = [*frames.glob("tracks.jsonl"), *frames.glob("*/tracks.jsonl"), *_above(frames)]
    return [*frames.glob("index.jsonl"), *frames.glob("*/index.jsonl")], tracks


def _above(folder: Path) -> Iterator[Path]:
    return folder.resolve().parent.glob("tracks.jsonl")


def _of_image(row: dict[str, Any]) -> dict[str, Boxes]:
    """A row of an index; one without boxes says nothing."""
    return {str(row.get("id") or Path(row["file"]).stem): _edges(row["boxes"])} if "boxes" in row else {}


def _of_clip(row: dict[str, Any]) -> dict[str, Boxes]:
    name = Path(row["video"]).stem
    return {f"{name}/{number}": _edges([box] if box else []) for number, box in enumerate(row["boxes_xywh_px"])}


def _edges(boxes_xywh_px: list[list[float]]) -> Boxes:
    boxes = [tuple(float(value) for value in box) for box in boxes_xywh_px]
    if not all(len(box) == 4 and all(map(math.isfinite, box)) for box in boxes):
        raise ValueError(f"expected boxes of four numbers, got {boxes_xywh_px!r:.80}")
    return tuple((x, y, x + width, y + height) for x, y, width, height in boxes)
