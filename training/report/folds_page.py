"""A training in folds as a page and as JSON, beside others on the same folds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evaluation.calibration import Calibration, calibrate
from evaluation.drawing import FOUND, TRUTH, Picture, draw_boxes, draw_outlines, draw_words, grey_picture, in_rows
from evaluation.fold_plots import confusion, figures_by_fold, found_against_false, learning_curves, reliability
from evaluation.plots import figure_uri, picture_uri
from evaluation.report import page_template
from evaluation.statistics import Variance, summarise
from training.data.labelled_frame import boxes_of_row, decode_rle, sample_of_row
from training.data.parquet_set import iterate_rows, parts_of
from training.report.folds_run import FoldsRun, analyse_runs, compare_runs

_WORST, _COLUMNS, _TILE_PX = 8, 4, 240
_FEW_ROWS = 30
_NO_FIGURE = "-"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes:
        title: heading.
        uri: of a picture; empty: none.
        heads: of the columns of a table; none: no table.
        rows: of the table.
        note: a sentence below.
    """

    title: str
    uri: str = ""
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    note: str = ""


def summary_of(run: FoldsRun) -> dict[str, Any]:
    """Plain values: figures by fold, their mean, SD (ddof 1) and 95 % t interval, by data set and camera; calibration and confusion."""
    over = {name: asdict(summarise(run.values(name))) for name in run.figures}
    by = {title: _parts(run, key) for title, key in _KEYS.items()}
    outcomes, calibration = run.outcomes, _calibration(run)
    return {
        "model": run.model,
        "folds": [dict(result) for result in run.results],
        "folds_hash": run.folds_hash,
        "headline": run.headline,
        "figures": _plain(over),
        "parts": _plain(by),
        "images": len(run.rows),
        "calibration": _plain({"ece": calibration.ece, "ece_mass": calibration.ece_mass, "answers": len(outcomes.scores_N)}),
        "confusion": None
        if outcomes.confusion_KK is None
        else {"classes": list(outcomes.class_names), "counts": outcomes.confusion_KK.tolist()},
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
    return {name: {"images": float(len(groups[name])), **run.figures_of(groups[name])} for name in largest}


def render_folds_page(run: FoldsRun, others: Sequence[FoldsRun] = ()) -> str:
    """The page, one HTML file that needs no other.

    Args:
        run: the training.
        others: on the same folds, to compare with.

    Raises:
        SettingsError: see `compare_runs`.
    """
    runs = [run, *others]
    sections = [
        Section(
            f"{run.headline} by fold",
            figure_uri(figures_by_fold({each.name: each.values(run.headline) for each in runs}, run.headline)),
            note="Folds share training images: the interval is a little too narrow.",
        ),
        _over_folds(run),
        *(_comparison(run, other) for other in others),
        *([_variance(runs)] if others else []),
    ]
    if curves := run.curves:
        sections.append(Section("Learning curves", figure_uri(learning_curves(curves, run.headline))))
    sections += _outcome_sections(run)
    sheet = _worst(run)
    if sheet is not None:
        note = "Truth green, answer orange; each image was answered by the fold that never saw it."
        sections.append(Section("Worst images", picture_uri(sheet), note=note))
    sections += [_part_table(run, title, key) for title, key in _KEYS.items()]
    lead = (
        f"{len(run.results)} folds, {len(run.rows):,} images, each predicted once by a network that did not learn from its scene. "
        f"Folds {run.folds_hash[:12]}."
    )
    return page_template("folds.html").render(title=f"{run.model} in folds", lead=lead, sections=sections, foot=run.place)


def _outcome_sections(run: FoldsRun) -> list[Section]:
    """Confusion, targets against false alarms, calibration: as the task has them."""
    outcomes, sections = run.outcomes, list[Section]()
    if outcomes.confusion_KK is not None:
        sections.append(Section("Confusion", figure_uri(confusion(outcomes.class_names, outcomes.confusion_KK))))
    if outcomes.found is not None and outcomes.found.num_targets and outcomes.found.num_detections:
        picture = figure_uri(found_against_false(outcomes.found, run.thresholds if "score_threshold" in run.results[0]["settings"] else ()))
        note = "A target is found where an answer has its centre near; dots: the thresholds of the folds, of detectors."
        sections.append(Section("Targets found against false alarms", picture, note=note))
    if len(outcomes.scores_N):
        note = (
            "An answer is right where its class is." if outcomes.found is None else "An answer is right where its centre is near a target."
        )
        sections.append(Section("Calibration", figure_uri(reliability(_calibration(run))), note=note))
    return sections


def _calibration(run: FoldsRun) -> Calibration:
    return calibrate(np.clip(run.outcomes.scores_N, 0, 1), run.outcomes.hits_N)


def _variance(runs: Sequence[FoldsRun]) -> Section:
    found = analyse_runs(runs)
    heads = ("pair", "difference of means", "Tukey p")
    rows = [(f"{second} less {first}", f"{difference:+.4g}", _number(p, 3)) for (first, second), (difference, p) in found.tukey.items()]
    return Section(f"Analysis of variance of {runs[0].headline}", heads=heads, rows=rows, note=variance_text(found))


def variance_text(found: Variance) -> str:
    """The test of all groups in a line."""
    said = f"One-way ANOVA: F {_number(found.f)}, p {_number(found.p, 3)}."
    return f"{said} It takes folds for independent; on the same folds trust the paired tests."


def _number(value: float | None, digits: int = 4) -> str:
    return _NO_FIGURE if value is None or math.isnan(value) else f"{value:.{digits}g}"


def _over_folds(run: FoldsRun) -> Section:
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
    return Section("Figures on the images of each fold's test part", heads=heads, rows=rows, note=note)


def _comparison(run: FoldsRun, other: FoldsRun) -> Section:
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
    return Section(f"{other.name} less {run.name}", heads=heads, rows=rows, note=note)


def _part_table(run: FoldsRun, title: str, key: Callable[[Mapping[str, Any]], str]) -> Section:
    parts = _parts(run, key)
    rows = [(name, f"{figures['images']:.0f}", *(_number(figures.get(each)) for each in run.figures)) for name, figures in parts.items()]
    return Section(f"By {title}", heads=(title, "images", *run.figures), rows=rows)


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
