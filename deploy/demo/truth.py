"""What is really in a frame, where somebody has written it down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from contracts.result import FrameResult

Boxes = tuple[tuple[float, float, float, float], ...]


class Truth:
    """Boxes by the name of a frame within its input (header `item`), or from the frame's own header `truth`."""

    def __init__(self, frames: Path | None) -> None:
        """Read `index.jsonl` and `tracks.jsonl` of a folder and of those directly below; None or no such file is fine."""
        self._boxes: dict[str, Boxes] = {}
        if frames is None:
            return
        folder = frames if frames.is_dir() else frames.parent
        for path in (*folder.glob("index.jsonl"), *folder.glob("*/index.jsonl")):
            self._boxes |= {str(row["id"]): _edges(row["boxes"]) for row in _rows(path) if "id" in row and "boxes" in row}
        for path in (*folder.glob("tracks.jsonl"), *folder.glob("*/tracks.jsonl"), *folder.glob("../tracks.jsonl")):
            for row in _rows(path):
                name = Path(row["video"]).stem
                self._boxes |= {f"{name}/{number}": _edges([box] if box else []) for number, box in enumerate(row["boxes_xywh_px"])}

    def boxes(self, result: FrameResult) -> Boxes | None:
        """Boxes `(x_min, y_min, x_max, y_max)`, pixel edges; None where nobody knows."""
        header = result.headers.get("truth")
        if header is not None:
            return tuple(tuple(target["box_xyxy_px"]) for target in json.loads(header))
        return self._boxes.get(result.headers.get("item", ""))


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _edges(boxes_xywh_px: list[list[float]]) -> Boxes:
    return tuple((x, y, x + width, y + height) for x, y, width, height in boxes_xywh_px)
