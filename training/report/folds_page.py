"""A training in folds as a page, as JSON, and in comparison with other networks on the same folds."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contracts.errors import SettingsError
from evaluation.drawing import FOUND, TRUTH, Picture, draw_boxes, draw_outlines, draw_words, grey_picture, in_rows
from evaluation.plots import bare_figure, figure_uri, picture_uri
from evaluation.report import page_template
from evaluation.statistics import PairedTest, compare_paired, summarise
from models.zoo import create_model
from training.data.labelled_frame import boxes_of_row, decode_rle, sample_of_row
from training.data.parquet_set import iterate_rows, parts_of
from training.distributed.cross_validation import RUN_FILE
from training.distributed.storage import Storage
from training.recipes import default_task

_WORST, _COLUMNS, _TILE_PX = 8, 4, 240
_FEW_ROWS = 30
_NO_FIGURE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldsRun:
    """A training in folds that is done.

    Attributes:
        place: folder or URL.
        model: network.
        folds_hash: of its folds.
        headline: figure by which it is compared.
        results: by fold, see `cross_validate`.
        rows: predictions out of fold.
        folders: data sets.
    """

    place: str
    model: str
    folds_hash: str
    headline: str
    results: tuple[Mapping[str, Any], ...]
    rows: tuple[Mapping[str, Any], ...]
    folders: tuple[Path, ...]

    def values(self, figure: str) -> list[float]:
        """A figure by fold."""
        values = [result["figures"].get(figure) for result in self.results]
        return [math.nan if value is None else float(value) for value in values]

    @property
    def figures(self) -> list[str]:
        """Names of the figures, the headline first."""
        names = list(self.results[0]["figures"])
        return [self.headline, *(name for name in names if name != self.headline)]


def read_run(place: str) -> FoldsRun:
    """A training of a folder or URL.

    Raises:
        SettingsError: there is none, or a fold of it is not done.
    """
    import io

    import pyarrow.parquet as pq

    storage = Storage(place)
    content = storage.read(RUN_FILE)
    if content is None:
        raise SettingsError(
            expected=f"a training in folds (a folder with {RUN_FILE})",
            got="none",
            where=place,
            action="Train with `folds` first (docs/folds.md).",
        )
    begun = json.loads(content)
    num = int(json.loads(storage.read("folds.json") or b'{"settings": {"num": 0}}')["settings"]["num"])
    results, rows = [], list[Mapping[str, Any]]()
    for fold in range(num):
        result, table = storage.read(f"fold-{fold}.json"), storage.read(f"fold-{fold}.parquet")
        if result is None or table is None:
            raise SettingsError(
                expected=f"{num} folds that are done",
                got=f"fold {fold} is not",
                where=place,
                action="Give the command of the training again: it goes on.",
            )
        results.append(json.loads(result))
        rows += pq.read_table(io.BytesIO(table)).to_pylist()
    identity = begun["identity"]
    return FoldsRun(
        place=place,
        model=identity["model"],
        folds_hash=identity["folds"],
        headline=default_task(create_model(identity["model"])).headline,
        results=tuple(results),
        rows=tuple(rows),
        folders=tuple(Path(folder) for folder in begun["folders"]),
    )


def compare_runs(first: FoldsRun, second: FoldsRun) -> dict[str, PairedTest]:
    """Paired tests of the figures that both have: plain, and corrected for folds that share training images (Nadeau and Bengio).

    Raises:
        SettingsError: they were not trained on the same folds, or there is only one.
    """
    if first.folds_hash != second.folds_hash:
        raise SettingsError(
            expected="trainings on the same folds",
            got=f"{first.folds_hash[:12]} ({first.place}) and {second.folds_hash[:12]} ({second.place})",
            where="comparison",
            action="Train both on the same data with the same settings of folds (docs/folds.md).",
        )
    if len(first.results) < 2:
        raise SettingsError(
            expected="at least two folds",
            got="one",
            where="comparison",
            action="A single split says nothing of chance: train in five `folds`.",
        )
    sizes = [(result["test"], result["train"]) for result in first.results]
    share = float(np.mean([test / train for test, train in sizes]))
    shared = [name for name in first.figures if name in second.figures]
    return {name: compare_paired(first.values(name), second.values(name), share) for name in shared}


def summary_of(run: FoldsRun) -> dict[str, Any]:
    """Plain values: figures by fold, their mean, SD (ddof 1) and 95 % t interval, and figures by data set and camera."""
    over = {name: asdict(summarise(run.values(name))) for name in run.figures}
    by = {title: _parts(run, key) for title, key in _KEYS.items()}
    return {
        "model": run.model,
        "folds": [dict(result) for result in run.results],
        "folds_hash": run.folds_hash,
        "headline": run.headline,
        "figures": _plain(over),
        "parts": _plain(by),
        "images": len(run.rows),
    }


def _plain(value: Any) -> Any:
    """The same with null for what is no number: JSON has no other."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


_KEYS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "data set": lambda row: str(row["dataset"]),
    "camera": lambda row: f"{row['platform']} / {row['band']}",
    "largest target": lambda row: _size(row),
    "scene": lambda row: str(row["group_id"]),
}


def _size(row: Mapping[str, Any]) -> str:
    boxes_N4 = boxes_of_row(row)
    if not len(boxes_N4):
        return "none"
    area = float(((boxes_N4[:, 2] - boxes_N4[:, 0]) * (boxes_N4[:, 3] - boxes_N4[:, 1])).max())
    return "up to 9 px" if area <= 9 else "9 to 81 px" if area <= 81 else "81 to 1024 px" if area <= 1024 else "above 1024 px"


def _parts(run: FoldsRun, key: Callable[[Mapping[str, Any]], str]) -> dict[str, dict[str, float]]:
    """Figures of parts of the images, all folds together; the largest parts."""
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in run.rows:
        groups[key(row)].append(row)
    largest = sorted(groups, key=lambda name: -len(groups[name]))[:_FEW_ROWS]
    return {name: {"images": float(len(groups[name])), **_figures(run, groups[name])} for name in largest}


def _figures(run: FoldsRun, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    model = create_model(run.model)
    task = default_task(model)
    # Folds have thresholds of their own; detections of several folds together are counted at their mean.
    settings = [dict(result["settings"]) for result in run.results]
    mean = {name: float(np.mean([each[name] for each in settings])) for name in settings[0] if isinstance(settings[0][name], float)}
    model.configure(settings[0] | mean)
    return task.figures(model, rows)


def render_folds_page(run: FoldsRun, others: Sequence[FoldsRun] = ()) -> str:
    """The page, one HTML file that needs no other.

    Args:
        run: the training.
        others: on the same folds, to compare with.

    Raises:
        SettingsError: see `compare_runs`.
    """
    tables = [_over_folds(run)]
    tables += [_comparison(run, other) for other in others]
    tables += [_part_table(run, title, key) for title, key in _KEYS.items()]
    plots = [{"title": f"{run.headline} by fold", "uri": figure_uri(_bars([run, *others])), "note": ""}]
    sheet = _worst(run)
    if sheet is not None:
        note = "Truth green, answer orange; each image was answered by the fold that never saw it."
        plots.append({"title": "Worst images", "uri": picture_uri(sheet), "note": note})
    lead = (
        f"{len(run.results)} folds, {len(run.rows):,} images, each predicted once by a network that did not learn from its scene. "
        f"Folds {run.folds_hash[:12]}."
    )
    return page_template("dataset.html").render(title=f"{run.model} in folds", lead=lead, tables=tables, plots=plots, foot=run.place)


def _number(value: float | None, digits: int = 4) -> str:
    return _NO_FIGURE if value is None or math.isnan(value) else f"{value:.{digits}g}"


def _over_folds(run: FoldsRun) -> dict[str, Any]:
    rows = []
    for name in run.figures:
        over = summarise(run.values(name))
        interval = f"{_number(over.low)} to {_number(over.high)}"
        rows.append((name, *map(_number, run.values(name)), f"{_number(over.mean)} ± {_number(over.sd, 2)}", interval))
    sizes = [f"{result['train']} / {result['validation']} / {result['test']}" for result in run.results]
    rows.append(("images: train / validation / test", *sizes, "", ""))
    rows.append(("steps, best at", *(f"{result['steps']}, {result['best_step']}" for result in run.results), "", ""))
    heads = ("figure", *(f"fold {result['fold']}" for result in run.results), "mean ± SD", "95 % interval")
    note = "SD with n - 1; Student's interval of the mean. Folds share training images: the interval is a little too narrow."
    return {"title": "Figures on the images of each fold's test part", "heads": heads, "rows": rows, "note": note}


def _comparison(run: FoldsRun, other: FoldsRun) -> dict[str, Any]:
    rows = [
        (
            name,
            f"{test.difference:+.4g}",
            f"{_number(test.low)} to {_number(test.high)}",
            f"{_number(test.t_corrected)}, {_number(test.p_corrected, 3)}",
            f"{_number(test.t)}, {_number(test.p, 3)}",
            _number(test.cohen_d, 3),
        )
        for name, test in compare_runs(run, other).items()
    ]
    heads = ("figure", "mean difference", "95 % interval", "Nadeau-Bengio t, p", "paired t, p", "Cohen's d")
    note = "The plain paired test takes folds for independent, which they are not: trust the corrected one."
    return {"title": f"{other.model} ({other.place}) less {run.model}", "heads": heads, "rows": rows, "note": note}


def _part_table(run: FoldsRun, title: str, key: Callable[[Mapping[str, Any]], str]) -> dict[str, Any]:
    parts = _parts(run, key)
    rows = [(name, f"{figures['images']:.0f}", *(_number(figures.get(each)) for each in run.figures)) for name, figures in parts.items()]
    return {"title": f"By {title}", "heads": (title, "images", *run.figures), "rows": rows, "note": ""}


def _bars(runs: Sequence[FoldsRun]) -> Any:
    figure, (axes,) = bare_figure(8, 3)
    for number, run in enumerate(runs):
        values = run.values(run.headline)
        places = np.arange(len(values)) + number * 0.8 / len(runs)
        axes.bar(places, values, 0.7 / len(runs), label=f"{run.model}, mean {_number(summarise(values).mean)}")
    axes.set_xlabel("fold")
    axes.set_ylabel(runs[0].headline)
    axes.legend(fontsize=8)
    return figure


def _worst(run: FoldsRun) -> Picture | None:
    """The images with the lowest figure, drawn; None where the data sets are not here."""
    per_image = {"iou": "iou", "ap50": "ap50", "macro_f1": "accuracy"}[run.headline]
    scored = [(dict(row["figures"]).get(per_image, math.nan), row) for row in run.rows]
    known = sorted(((value, row) for value, row in scored if not math.isnan(value)), key=lambda pair: pair[0])[:_WORST]
    wanted = {row["sample_id"]: (value, row) for value, row in known}
    tiles: dict[str, Picture] = {}
    for folder in run.folders:
        if not parts_of(folder):
            continue
        for row in iterate_rows(folder):
            if row["sample_id"] in wanted and row["sample_id"] not in tiles:
                value, answer = wanted[row["sample_id"]]
                tiles[row["sample_id"]] = _tile(row, answer, f"{value:.2f} {row['sample_id'][-20:]}")
            if len(tiles) == len(wanted):
                break
    return in_rows([tiles[name] for name in wanted if name in tiles], _COLUMNS) if tiles else None


def _tile(row: Mapping[str, Any], answer: Mapping[str, Any], words: str) -> Picture:
    import cv2

    sample = sample_of_row(row)
    picture = grey_picture(sample.pixels_HW)
    draw_boxes(picture, sample.boxes_xyxy_px, TRUTH)
    if answer["found_mask_rle"] is not None:
        draw_outlines(picture, decode_rle(answer["found_mask_rle"], (row["height_px"], row["width_px"])), FOUND)
    else:
        draw_boxes(picture, boxes_of_row({"boxes": answer["found_boxes"]}), FOUND)
    high, wide = picture.shape[:2]
    scale = _TILE_PX / max(high, wide)
    small = cv2.resize(picture, (max(1, round(wide * scale)), max(1, round(high * scale))), interpolation=cv2.INTER_AREA)
    tile = np.zeros((_TILE_PX, _TILE_PX, 3), np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small
    return draw_words(tile, words)
