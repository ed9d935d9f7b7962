"""A data set as one page: sizes and contrasts of its targets, cameras, classes, splits, and some of its frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from evaluation.drawing import TRUTH, Picture, draw_boxes, draw_outlines, draw_words, grey_picture, in_rows
from evaluation.plots import bare_figure, figure_uri, picture_uri
from evaluation.report import page_template
from models.photometry import measure_light
from training.data.label_files import boxes_of_regions
from training.data.labelled_frame import boxes_of_row, sample_of_row
from training.data.parquet_set import iterate_rows, read_table
from training.data.samples import Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MEASURED_FRAMES = 400
_TILES, _COLUMNS, _TILE_PX = 12, 4, 240
_SMALL_PX, _MEDIUM_PX = 81, 1024  # SPIE's small target (9 x 9), and COCO's small object


def set_statistics(folder: Path, report: Callable[[int, int], None] = lambda done, of: None) -> tuple[dict[str, Any], Picture | None]:
    """Figures of a data set, and a sheet of some of its frames.

    Contrasts are measured on the first frames that have targets, 400 at most; rows lie mixed, so that these are any.

    Args:
        folder: data set in Parquet.
        report: gets frames read, and all that will be.

    Returns:
        Counts and distributions by name (plain values), and the sheet, None without frames.
    """
    rows = read_table(folder).to_pylist()
    boxes = [boxes_of_row(row) for row in rows]
    sides = [float(np.sqrt(area)) for each in boxes for area in ((each[:, 2] - each[:, 0]) * (each[:, 3] - each[:, 1])).tolist()]
    areas = [side**2 for side in sides]
    contrasts, tiles = _from_pixels(folder, len(rows), report)
    statistics: dict[str, Any] = {
        "frames": len(rows),
        "frames_without_targets": sum(not len(each) for each in boxes),
        "frames_with_masks": sum(row["mask_rle"] is not None for row in rows),
        "targets": len(sides),
        "groups": len({row["group_id"] for row in rows}),
        "classes": dict(Counter(label for row in rows for label in row["labels"]).most_common()),
        "cameras": dict(Counter(f"{row['platform']} / {row['band']}" for row in rows).most_common()),
        "splits": dict(Counter(row["split"] or "none" for row in rows).most_common()),
        "bit_depths": dict(Counter(str(row["bit_depth"]) for row in rows).most_common()),
        "frame_sizes": dict(Counter(f"{row['width_px']} x {row['height_px']}" for row in rows).most_common(12)),
        "licences": dict(Counter(row["licence"] for row in rows).most_common()),
        "target_areas": {
            f"up to {_SMALL_PX} px": sum(area <= _SMALL_PX for area in areas),
            f"{_SMALL_PX} to {_MEDIUM_PX} px": sum(_SMALL_PX < area <= _MEDIUM_PX for area in areas),
            f"above {_MEDIUM_PX} px": sum(area > _MEDIUM_PX for area in areas),
        },
        "target_sides_px": sides,
        "signal_to_clutter": contrasts,
    }
    return statistics, in_rows(tiles, _COLUMNS) if tiles else None


def _from_pixels(folder: Path, rows: int, report: Callable[[int, int], None]) -> tuple[list[float], list[Picture]]:
    contrasts, tiles, wanted = list[float](), list[Picture](), min(rows, _MEASURED_FRAMES)
    for number, row in enumerate(iterate_rows(folder), start=1):
        sample = sample_of_row(row)
        if sample.has_mask and sample.mask_HW.any():
            _, labels_HW = cv2.connectedComponents(sample.mask_HW, connectivity=8)
            for index in range(1, len(boxes_of_regions(sample.mask_HW)) + 1):
                scr = measure_light(sample.pixels_HW, labels_HW == index, labels_HW > 0, sample.void_HW).scr
                if np.isfinite(scr):
                    contrasts.append(float(scr))
        if len(tiles) < _TILES:
            tiles.append(_tile(sample))
        report(number, wanted)
        if number >= wanted:
            break
    return contrasts, tiles


def _tile(sample: Sample) -> Picture:
    picture = grey_picture(sample.pixels_HW)
    draw_boxes(picture, sample.boxes_xyxy_px, TRUTH)
    if sample.has_mask:
        draw_outlines(picture, sample.mask_HW, TRUTH)
    high, wide = picture.shape[:2]
    scale = _TILE_PX / max(high, wide)
    small = cv2.resize(picture, (max(1, round(wide * scale)), max(1, round(high * scale))), interpolation=cv2.INTER_AREA)
    tile = np.zeros((_TILE_PX, _TILE_PX, 3), np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    return draw_words(tile, sample.image_id[-28:])


def render_dataset_page(name: str, manifest: dict[str, Any], statistics: dict[str, Any], sheet: Picture | None) -> str:
    """The page, one HTML file that needs no other."""
    lead = (
        f"{statistics['frames']:,} frames, {statistics['targets']:,} targets, {statistics['groups']:,} groups (sequences or scenes), "
        f"{statistics['frames_with_masks']:,} frames with masks, {statistics['frames_without_targets']:,} without targets."
    )
    tables = [
        _table("Cameras", ("platform / band", "frames"), statistics["cameras"]),
        _table("Classes", ("class", "targets"), statistics["classes"]),
        _table("Official splits", ("split", "frames"), statistics["splits"]),
        _table("Targets by area of the box", ("area", "targets"), statistics["target_areas"]),
        _table("Frame sizes", ("size, px", "frames"), statistics["frame_sizes"]),
        _table("Significant bits", ("bits", "frames"), statistics["bit_depths"]),
        _table("Licences", ("licence", "frames"), statistics["licences"]),
        _table("Refused at import", ("reason", "images"), manifest.get("refused") or {"none": 0}),
    ]
    plots = []
    if sheet is not None:
        plots.append({"title": "Frames", "uri": picture_uri(sheet), "note": "Truth green; grey levels stretched for the eye."})
    if statistics["targets"]:
        plots.append({"title": "Sizes and contrasts of targets", "uri": figure_uri(_histograms(statistics)), "note": ""})
    return page_template("dataset.html").render(
        title=f"Data set {name}", lead=lead, tables=tables, plots=plots, foot=f"content {str(manifest.get('content_hash', ''))[:16]}"
    )


def _table(title: str, heads: Sequence[str], counts: dict[str, int]) -> dict[str, Any]:
    return {"title": title, "heads": heads, "rows": [(name, f"{number:,}") for name, number in counts.items()], "note": ""}


def _histograms(statistics: dict[str, Any]) -> Figure:
    figure, (left, right) = bare_figure(11, 3.6, 2)
    sides, contrasts = np.array(statistics["target_sides_px"]), np.array(statistics["signal_to_clutter"])
    left.hist(np.clip(sides, 1, 200), bins=np.geomspace(1, 200, 28).tolist(), color="#4477aa")
    left.set_xscale("log")
    left.set_xlabel("side of the target (root of the box's area), px")
    left.set_ylabel("targets")
    if len(contrasts):
        right.hist(np.clip(contrasts, 0, 40), bins=40, color="#cc6677")
    right.set_xlabel(f"signal-to-clutter ratio ({len(contrasts)} targets with masks)")
    return figure
