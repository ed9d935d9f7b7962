"""Boxes held against their images: corners written for widths, or boxes of another image, teach and measure nonsense."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from contracts.dataset_index import INDEX_NAME, IndexEntry
from contracts.errors import SettingsError
from contracts.image_files import size_of_file

_TOLERANCE_PX = 1.0
"""Coordinates that begin at 1 reach so far beyond the edge."""


def refuse_boxes_outside(folder: Path, entries: Iterable[tuple[int, IndexEntry]]) -> None:
    """Raise at the first box that reaches beyond its image by more than a pixel; an image that cannot be read is no business of ours.

    Args:
        folder: of the index.
        entries: its images, each with the number of its line.

    Raises:
        SettingsError: with file and line.
    """
    for number, entry in entries:
        size_px = size_of_file(folder / entry.file) if entry.boxes else None
        if size_px is None:
            continue
        width_px, height_px = size_px
        for left, top, width, height in entry.boxes:
            beyond = max(-left, -top, left + width - width_px, top + height - height_px)
            if beyond > _TOLERANCE_PX:
                corners = left < width <= width_px + 1 and top < height <= height_px + 1
                raise SettingsError(
                    expected=f"boxes inside {entry.file}, {width_px} x {height_px} px: left, top, width, height",
                    got=f"[{left:g}, {top:g}, {width:g}, {height:g}], {beyond:g} px beyond its edge",
                    where=f"{folder / INDEX_NAME}:{number}",
                    action="Are these two corners? Write width and height instead." if corners else "Correct the box, or name its image.",
                )
