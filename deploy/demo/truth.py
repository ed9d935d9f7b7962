"""True targets of a frame, where a header or an index names them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from contracts.dataset_index import INDEX_NAME, TRACKS_NAME, ClipTrack, LabelledLine, read_lines
from contracts.errors import SettingsError
from contracts.result import FrameResult

Edges = tuple[float, float, float, float]
Boxes = tuple[Edges, ...]
_Line = TypeVar("_Line", LabelledLine, ClipTrack)


class Truth:
    """Boxes by the name of a frame within its input (header `item`), or from the frame's own header `truth`.

    Attributes:
        skipped: lines that are not what they should be, one text for each: their frames are shown without truth.
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
            for image in self._lines(path, LabelledLine):
                if image.boxes is not None:
                    self._boxes[image.id] = tuple(map(_edges, image.boxes))
        for path in tracks:
            for clip in self._lines(path, ClipTrack):
                name = Path(clip.video).stem
                for number, box in enumerate(clip.boxes_xywh_px):
                    self._boxes[f"{name}/{number}"] = () if box is None else (_edges(box),)

    def boxes(self, result: FrameResult) -> Boxes | None:
        """Boxes `(x_min, y_min, x_max, y_max)`, pixel edges; None where nobody knows."""
        header = result.headers.get("truth")
        if header is not None:
            return tuple(tuple(target["box_xyxy_px"]) for target in json.loads(header))
        return self.of_item(result.headers.get("item", ""))

    def of_item(self, item: str) -> Boxes | None:
        """Boxes of a frame by its name within its input; None where nobody knows."""
        return self._boxes.get(item)

    def _lines(self, path: Path, kind: type[_Line]) -> Iterator[_Line]:
        """The lines that are what they should be."""
        try:
            for line in read_lines(path, kind):
                if isinstance(line, SettingsError):
                    self.skipped.append(str(line))
                else:
                    yield line
        except SettingsError as error:
            self.skipped.append(str(error))


def _places(frames: Path) -> tuple[list[Path], list[Path]]:
    """Files that may hold the truth of an input: indexes, tracks."""
    if frames.is_file():
        # Not of its neighbours: another data set may have a frame of the same name.
        return ([frames], []) if frames.suffix == ".jsonl" else ([], [*frames.parent.glob(TRACKS_NAME), *_above(frames.parent)])
    tracks = [*frames.glob(TRACKS_NAME), *frames.glob(f"*/{TRACKS_NAME}"), *_above(frames)]
    return [*frames.glob(INDEX_NAME), *frames.glob(f"*/{INDEX_NAME}")], tracks


def _above(folder: Path) -> Iterator[Path]:
    return folder.resolve().parent.glob(TRACKS_NAME)


def _edges(box_xywh_px: Edges) -> Edges:
    x, y, width, height = box_xywh_px
    return x, y, x + width, y + height
