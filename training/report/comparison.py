"""Segmenters side by side, as one experiment of ours beside what was published.

`irstream models compare RUNS...` reads the cards of trained runs (`irstream train`), adds them to docs/segmenters.json, times all
networks that are there in turns on this machine, and draws them. Tables of it: `irstream models tables`.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from contracts.text import counted
from models.card import read_card
from models.cost import FRAME_PX, latencies_ms, sketch
from models.devices import fastest_dtype
from models.inference import prepare
from models.zoo import create_model, load_model
from training.report.published import PUBLISHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS_FILE = Path(__file__).resolve().parents[2] / "docs" / "segmenters.json"
PICTURE_FILE = ROWS_FILE.with_name("img") / "segmenters.png"
"""Of the short trainings; those of the long ones are drawn beside it, `segmenters-long.png`."""
DATA = ("nudt-sirst", "irstd-1k")
SHORT, LONG = "short", "long"
"""Folders of runs that were trained alike: all networks for a few steps, the best for more (benchmarks/2026-11-segmenters.md)."""
BATCHES = (1, 2, 4, 8)
_DRAWN = {"iou": "IoU", "niou": "nIoU"}
_ROUNDS, _LARGE_ROUNDS = 10, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One trained network.

    Attributes:
        name: registered name.
        run: what the training is called.
        recipe: how it was trained.
        steps: optimiser steps.
        parameters: all of them.
        gmacs: multiply-adds (1e9) of what runs, at 256 x 256.
        ms: milliseconds a frame in float32 by batch size (as text, for JSON), the best of some rounds.
        ms_bfloat16: the same in bfloat16; empty where the device is not clearly faster with it.
        scores: by data set: `iou niou pd fa_ppm`.
        device: what was timed.
    """

    name: str
    run: str
    recipe: str
    steps: int
    parameters: int
    gmacs: float
    ms: dict[str, float]
    scores: dict[str, dict[str, float]]
    device: str
    ms_bfloat16: dict[str, float] = field(default_factory=dict)

    @property
    def best_batch(self) -> tuple[str, float]:
        """The batch size with the fewest milliseconds a frame in float32, and those."""
        return _fewest(self.ms)


def _fewest(ms: Mapping[str, float]) -> tuple[str, float]:
    return min(ms.items(), key=lambda each: each[1])


def measure(runs: Sequence[Path], before: Sequence[Row] = (), batches: Sequence[int] = BATCHES) -> list[Row]:
    """Scores from the cards of some runs, and times of all networks in turns.

    Args:
        runs: folders with `weights.safetensors` and its card.
        before: rows of earlier runs; those of a network that has changed since are left out, and those that are here again.
        batches: sizes to time.

    Raises:
        SettingsError: a folder has none.
    """
    found = [_row(run) for run in runs]
    again = {(row.name, row.run) for row in found}
    rows = [row for row in before if (row.name, row.run) not in again and row.parameters == sketch(row.name).parameters] + found
    # Times do not depend on what was learnt: networks whose weights are long gone are timed, too.
    names = list(dict.fromkeys(row.name for row in rows))
    times = [dict(zip(names, _times(names, dtype, batches), strict=True)) for dtype in _formats()]
    threads = torch.get_num_threads()
    device = f"{platform.machine()}, {counted(threads, 'thread')}"
    empty: dict[str, dict[str, float]] = {}
    plain, half = (*times, empty)[:2]
    return [replace(row, ms=plain[row.name], ms_bfloat16=half.get(row.name, {}), device=device) for row in rows]


def _formats() -> list[torch.dtype]:
    return [torch.float32] + [torch.bfloat16] * (fastest_dtype("cpu") is torch.bfloat16)


def _times(names: Sequence[str], dtype: torch.dtype, batches: Sequence[int]) -> list[dict[str, float]]:
    models = [prepare(create_model(name), dtype=dtype) for name in names]
    times: list[dict[str, float]] = [{} for _ in models]
    for batch in batches:
        rounds = _ROUNDS if batch == 1 else _LARGE_ROUNDS
        for mine, rising in zip(times, latencies_ms(models, FRAME_PX, batch, rounds), strict=True):
            mine[str(batch)] = round(rising[0] / batch, 2)
    return times


def _row(run: Path) -> Row:
    """Not timed yet."""
    card = load_model(read_card(run / "weights.json").name, run / "weights.safetensors")[1]
    return Row(
        name=card.name,
        run=run.parent.name,
        recipe=str(card.recipe["details"]),
        steps=int(str(card.recipe["steps"])),
        parameters=card.parameters,
        gmacs=card.gmacs,
        ms={},
        scores={measured.dataset: measured.values for measured in card.measured},
        device="",
    )


def equal_rows(rows: Sequence[Row], run: str = SHORT, data: Sequence[str] = DATA) -> Iterator[Sequence[str]]:
    """Cells of the table of the networks that were trained alike, in a folder of this name; cheapest first."""
    yield (
        *("network", "parameters", "GMACs", "ms, batch 1", "ms, best batch", "ms in bfloat16", "learnt in"),
        *(f"{name}: IoU / nIoU / Pd / Fa" for name in data),
    )
    for row in sorted((each for each in rows if each.run == run), key=lambda each: each.gmacs):
        yield (
            *(
                f"`{row.name}`",
                f"{row.parameters:,}",
                f"{row.gmacs:.3f}",
                f"{row.ms['1']:.1f}",
                _best(row.ms),
                _best(row.ms_bfloat16),
                row.recipe.rsplit(", ", 1)[-1],
            ),
            *(scores_text(row.scores.get(name)) for name in data),
        )


def printed_rows(rows: Sequence[Row], run: str = SHORT, data: Sequence[str] = DATA) -> Iterator[Sequence[str]]:
    """Cells of the table of IoU in percent that others printed, for the networks of `equal_rows`; cheapest first."""
    yield "network", *data
    for row in sorted((each for each in rows if each.run == run), key=lambda each: each.gmacs):
        cells = [", ".join(f"{each.iou:.2f} ({each.source})" for each in PUBLISHED.get((row.name, name), ())) for name in data]
        if any(cells):
            yield f"`{row.name}`", *cells


def other_rows(rows: Sequence[Row]) -> Iterator[Sequence[str]]:
    """Cells of the table of networks that were trained otherwise: one for each set of test images."""
    yield "network", "recipe", "steps", "test images", "IoU / nIoU / Pd / Fa"
    for row in sorted((each for each in rows if each.run not in (SHORT, LONG)), key=lambda each: (each.name, each.run)):
        for name, scores in row.scores.items():
            yield f"`{row.name}`", row.recipe, f"{row.steps:,}", name, scores_text(scores)


def _best(ms: Mapping[str, float]) -> str:
    if not ms:
        return ""
    batch, fewest = _fewest(ms)
    return f"{fewest:.1f} ({batch})"


def scores_text(scores: Mapping[str, float] | None) -> str:
    """`IoU / nIoU / Pd / Fa`: the first three in percent, the last in false-alarm pixels per million; blank for None."""
    if scores is None:
        return ""
    percent = " / ".join(f"{scores[name] * 100:.1f}" for name in ("iou", "niou", "pd"))
    return f"{percent} / {scores['fa_ppm']:.0f}"


def picture(rows: Sequence[Row], file: Path, run: str = SHORT, data: Sequence[str] = DATA) -> None:
    """Write accuracy against milliseconds of the networks trained alike, a column for each data set; ours in another colour."""
    from matplotlib.figure import Figure

    alike = [row for row in rows if row.run == run]
    figure = Figure(figsize=(11, 8), layout="constrained", dpi=110)
    for (score, label), line in zip(_DRAWN.items(), figure.subplots(len(_DRAWN), len(data), sharex=True, squeeze=False), strict=True):
        for name, axis in zip(data, line, strict=True):
            for row in alike:
                if name in row.scores:
                    _point(axis, row, row.scores[name][score] * 100)
            axis.set(xscale="log", title=f"{name}, test images", ylabel=f"{label} %")
            axis.xaxis.set_major_formatter("{x:g}")
            axis.margins(x=0.2)
            axis.grid(visible=True, which="both", alpha=0.25)
            axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(
        f"milliseconds for each frame of {FRAME_PX} x {FRAME_PX} px at the best batch size, float32, {alike[0].device}", fontsize=10
    )
    figure.savefig(file)


def _point(axis: Axes, row: Row, percent: float) -> None:
    place = (row.best_batch[1], percent)
    marker, colour, size = ("*", "tab:red", 12) if row.name.startswith("kestrel") else ("o", "tab:blue", 6)
    axis.plot(*place, marker, color=colour, markersize=size)
    axis.annotate(row.name, place, xytext=(6, 3), textcoords="offset points", fontsize=8)


def read_rows(file: Path = ROWS_FILE) -> list[Row]:
    """Rows that `irstream models compare` wrote."""
    return [Row(**each) for each in json.loads(file.read_text(encoding="utf-8"))]


def compare(runs: Sequence[Path], threads: int, rows_file: Path | None = None, picture_file: Path | None = None) -> list[Sequence[str]]:
    """Add runs to the rows, time all networks, write rows and pictures.

    Args:
        runs: folders of runs; those trained alike are in a folder named `short` or `long`.
        threads: of the networks that are timed.
        rows_file: None: `ROWS_FILE`.
        picture_file: None: `PICTURE_FILE`.

    Returns:
        Cells of the tables, row by row.

    Raises:
        SettingsError: a folder has no weights.
    """
    file, drawn = rows_file or ROWS_FILE, picture_file or PICTURE_FILE
    torch.set_num_threads(threads)
    rows = measure(runs, read_rows(file) if file.is_file() else ())
    file.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    pictures = {SHORT: drawn, LONG: drawn.with_stem(f"{drawn.stem}-long")}
    for run in {row.run for row in rows} & set(pictures):
        picture(rows, pictures[run], run)
    return [*equal_rows(rows), *printed_rows(rows), *equal_rows(rows, LONG), *other_rows(rows)]
