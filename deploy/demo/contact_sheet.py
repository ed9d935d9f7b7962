"""One picture of many frames with what was found in them, for a person's eyes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Pixels
from contracts.result import Detection
from evaluation.drawing import decode_mask, stretched
from evaluation.label_places import Area, free_place

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4
_HEAD_INCHES, _FOOT_INCHES, _TITLE_INCHES = 0.5, 0.4, 0.34
_GAP = 0.03  # of a tile's width
TILE_INCHES = 3.6
DPI = 130
_DARK, _TEXT, _DIM = "#14171c", "#e8eaed", "#9aa0a6"
_TRUTH = "#5ad1ff"
_FOUND = {("detector", "segmenter"): "#ffd23f", ("detector",): "#ff8c42", ("segmenter",): "#7ddf64"}
_LEGEND = (("box and mask", ("detector", "segmenter")), ("box only", ("detector",)), ("mask only", ("segmenter",)))
_LOUPE_SHARE = 0.36  # of the tile's side
_LABELS_AT_MOST = 6
_LABEL_POINTS, _LETTER, _LINE = 7.5, 0.6, 1.7
"""Size of a label; mean width of a letter and height of a line, as parts of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One frame of the sheet.

    Attributes:
        pixels_HW: counts as the sensor sent them.
        title: sensor, band, size, bit depth.
        detections: found targets.
        truth_xyxy_px: boxes of the real targets where they are known, else None.
    """

    pixels_HW: Pixels
    title: str
    detections: tuple[Detection, ...]
    truth_xyxy_px: tuple[tuple[float, float, float, float], ...] | None = None


def write_contact_sheet(tiles: Sequence[Tile], path: Path, heading: str, tile_inches: float = TILE_INCHES) -> None:
    """Draw the tiles in rows of four and write a PNG.

    Raises:
        ValueError: no tile.
    """
    if not tiles:
        raise ValueError("expected at least one tile, got none")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(tiles))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    # A row is as high as its highest tile.
    heights = [tile_inches * min(2.0, max(tile.pixels_HW.shape[0] / tile.pixels_HW.shape[1] for tile in row)) for row in rows]
    height_inches = sum(heights) + _TITLE_INCHES * len(rows) + _HEAD_INCHES + _FOOT_INCHES
    width_inches = columns * tile_inches
    figure = Figure(figsize=(width_inches, height_inches), facecolor=_DARK)
    FigureCanvasAgg(figure)
    figure.text(0.012, 1 - 0.5 * _HEAD_INCHES / height_inches, heading, color=_TEXT, fontsize=13, weight="bold", va="center")
    top_inches = height_inches - _HEAD_INCHES
    for row, row_inches in zip(rows, heights, strict=True):
        top_inches -= _TITLE_INCHES + row_inches
        for column, tile in enumerate(row):
            left = (column + 0.5 * _GAP) / columns
            axes = figure.add_axes((left, top_inches / height_inches, (1 - _GAP) / columns, row_inches / height_inches))
            axes.set_axis_off()
            axes.set_anchor("N")
            _draw_tile(axes, tile, tile_inches)
    _draw_legend(figure, height_inches, truth=any(tile.truth_xyxy_px is not None for tile in tiles))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, facecolor=_DARK)


def _draw_tile(axes: Axes, tile: Tile, tile_inches: float) -> None:
    height_px, width_px = tile.pixels_HW.shape
    picture_HW = stretched(tile.pixels_HW)
    pad_px = max(1.0, 0.006 * max(height_px, width_px))
    _draw_layers(axes, tile, picture_HW, line=1.3, pad_px=pad_px)
    axes.set_xlim(0, width_px)
    axes.set_ylim(height_px, 0)
    best = sorted(tile.detections, key=lambda found: -found.score)
    corner = _loupe_corner(tile, best[0]) if best else None
    covered = [] if corner is None else [_loupe_area(corner, (width_px, height_px))]
    _draw_labels(axes, best, (width_px, height_px), width_px / tile_inches, pad_px, covered)
    if corner is not None:
        _draw_loupe(axes, tile, picture_HW, best[0], corner)
    known = "" if tile.truth_xyxy_px is None else f", {len(tile.truth_xyxy_px)} true"
    axes.set_title(tile.title, color=_TEXT, fontsize=8.5, loc="left", pad=4)
    axes.set_title(f"{len(tile.detections)} found{known}", color=_DIM, fontsize=8.5, loc="right", pad=4)


def _draw_layers(axes: Axes, tile: Tile, picture_HW: NDArray[np.uint8], line: float, pad_px: float) -> None:
    """Picture, mask outlines, boxes and truth, in the pixel-edge coordinates of the frame; boxes stand `pad_px` off."""
    from matplotlib.patches import Rectangle

    height_px, width_px = tile.pixels_HW.shape
    axes.imshow(picture_HW, cmap="gray", vmin=0, vmax=255, extent=(0, width_px, height_px, 0), interpolation="nearest")
    for x_min, y_min, x_max, y_max in tile.truth_xyxy_px or ():
        box = (x_min - 2 * pad_px, y_min - 2 * pad_px), x_max - x_min + 4 * pad_px, y_max - y_min + 4 * pad_px
        axes.add_patch(Rectangle(*box, fill=False, edgecolor=_TRUTH, linestyle=(0, (3, 2)), linewidth=line))
    for found in tile.detections:
        colour = _colour(found)
        if found.mask_rle is not None:
            _outline(axes, decode_mask(found.mask_rle, height_px, width_px), colour, line * 0.8)
        size = found.x_max_px - found.x_min_px + 2 * pad_px, found.y_max_px - found.y_min_px + 2 * pad_px
        corner = found.x_min_px - pad_px, found.y_min_px - pad_px
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=line))


def _outline(axes: Axes, mask_HW: NDArray[np.bool_], colour: str, line: float) -> None:
    """The edge of a mask along the edges of its pixels."""
    from matplotlib.collections import LineCollection

    if not mask_HW.any():
        return
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    padded = np.pad(mask_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1).astype(np.int8)
    segments = [((x, y + 1), (x + 1, y + 1)) for y, x in np.argwhere(np.diff(padded, axis=0))]
    segments += [((x + 1, y), (x + 1, y + 1)) for y, x in np.argwhere(np.diff(padded, axis=1))]
    origin = np.array([columns[0] - 1, rows[0] - 1])
    axes.add_collection(LineCollection(np.array(segments) + origin, colors=[colour], linewidths=line, capstyle="round"))


def _draw_labels(
    axes: Axes, found: Sequence[Detection], frame: tuple[int, int], px_per_inch: float, pad_px: float, covered: Sequence[Area]
) -> None:
    """Labels and scores beside their boxes and beside what is `covered`, the first ones first; one without room is left out."""
    px_per_point = px_per_inch / 72
    boxes: list[Area] = [(each.x_min_px - pad_px, each.y_min_px - pad_px, each.x_max_px + pad_px, each.y_max_px + pad_px) for each in found]
    taken = [*boxes, *covered]
    for each, box in zip(found[:_LABELS_AT_MOST], boxes, strict=False):
        words = each.words
        size = (len(words) * _LETTER * _LABEL_POINTS + 4) * px_per_point, _LINE * _LABEL_POINTS * px_per_point
        place = free_place(size, box, taken, frame, 2 * px_per_point)
        if place is None:
            continue
        taken.append(place)
        axes.text(
            (place[0] + place[2]) / 2,
            (place[1] + place[3]) / 2,
            words,
            ha="center",
            va="center_baseline",
            fontsize=_LABEL_POINTS,
            color="black",
            bbox={"boxstyle": "round,pad=0.15", "facecolor": _colour(each), "edgecolor": "none", "alpha": 0.9},
            clip_on=True,
        )


def _loupe_corner(tile: Tile, found: Detection) -> tuple[float, float] | None:
    """Place of the best target enlarged: left and lower edge in parts of the tile, in the corner farthest from every target.

    None where the target is large enough to be seen without.
    """
    height_px, width_px = tile.pixels_HW.shape
    if 2 * _loupe_half_px(found) > 0.25 * min(height_px, width_px):
        return None
    corners = [(left, low) for left in (0.015, 0.985 - _LOUPE_SHARE) for low in (0.015, 0.985 - _LOUPE_SHARE)]
    middles = [
        ((each.x_min_px + each.x_max_px) / 2 / width_px, 1 - (each.y_min_px + each.y_max_px) / 2 / height_px) for each in tile.detections
    ]
    half = _LOUPE_SHARE / 2
    return max(corners, key=lambda corner: min(max(abs(corner[0] + half - x), abs(corner[1] + half - y)) for x, y in middles))


def _loupe_half_px(found: Detection) -> float:
    return max(10.0, 1.25 * max(found.x_max_px - found.x_min_px, found.y_max_px - found.y_min_px))


def _loupe_area(corner: tuple[float, float], frame: tuple[int, int]) -> Area:
    (left, low), (width_px, height_px) = corner, frame
    return left * width_px, (1 - low - _LOUPE_SHARE) * height_px, (left + _LOUPE_SHARE) * width_px, (1 - low) * height_px


def _draw_loupe(axes: Axes, tile: Tile, picture_HW: NDArray[np.uint8], found: Detection, corner: tuple[float, float]) -> None:
    half_px = _loupe_half_px(found)
    x_px, y_px = (found.x_min_px + found.x_max_px) / 2, (found.y_min_px + found.y_max_px) / 2
    loupe = axes.inset_axes((*corner, _LOUPE_SHARE, _LOUPE_SHARE), facecolor=_DARK)
    _draw_layers(loupe, tile, picture_HW, line=1.6, pad_px=0.04 * half_px)
    loupe.set_xlim(x_px - half_px, x_px + half_px)
    loupe.set_ylim(y_px + half_px, y_px - half_px)
    loupe.set_xticks([])
    loupe.set_yticks([])
    for spine in loupe.spines.values():
        spine.set_edgecolor(_colour(found))
        spine.set_linewidth(1.2)


def _draw_legend(figure: Any, height_inches: float, *, truth: bool) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=_FOUND[by], linewidth=2, label=name) for name, by in _LEGEND]
    if truth:
        lines.append(Line2D([], [], color=_TRUTH, linewidth=2, linestyle=(0, (3, 2)), label="truth"))
    figure.legend(
        handles=lines,
        loc="lower left",
        bbox_to_anchor=(0.005, 0.06 / height_inches),
        ncols=len(lines),
        frameon=False,
        labelcolor=_TEXT,
        fontsize=9,
    )


def _colour(found: Detection) -> str:
    return _FOUND.get(tuple(sorted(found.found_by)), _FOUND[("detector", "segmenter")])
