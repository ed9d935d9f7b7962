"""Segmenters side by side, as one experiment of ours beside what was published.

`python -m training.comparison measure docs/segmenters.json RUNS...` reads the cards of trained runs (`irstream train`), times the
networks in turns on this machine and writes what was found; `python -m training.comparison page docs/segmenters.json` makes table
and picture of it.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import torch

from models.card import ModelCard, read_card
from models.cost import FRAME_PX, latencies_ms
from models.inference import InferenceModel, prepare
from models.zoo import load_model
from training.commands import tells_mistakes

BATCHES = (1, 2, 4, 8, 16)
_ROUNDS, _LARGE_ROUNDS = 10, 3


@dataclass(frozen=True, slots=True)
class Published:
    """A figure that others printed: IoU in percent, and where."""

    iou: float
    source: str


PUBLISHED: Mapping[tuple[str, str], tuple[Published, ...]] = MappingProxyType(
    {
        ("acm", "nudt-sirst"): (Published(64.86, "BasicIRSTD"), Published(60.75, "paper 2")),
        ("acm", "irstd-1k"): (Published(60.33, "BasicIRSTD"),),
        ("alcnet", "nudt-sirst"): (Published(61.13, "BasicIRSTD"), Published(81.60, "paper 2")),
        ("alcnet", "irstd-1k"): (Published(58.09, "BasicIRSTD"),),
        ("rdian", "nudt-sirst"): (Published(82.42, "BasicIRSTD"),),
        ("rdian", "irstd-1k"): (Published(59.94, "BasicIRSTD"),),
        ("mshnet", "nudt-sirst"): (Published(80.55, "its authors"),),
        ("mshnet", "irstd-1k"): (Published(67.16, "its paper"),),
        ("dnanet", "nudt-sirst"): (Published(94.19, "BasicIRSTD"), Published(86.57, "paper 2")),
        ("dnanet", "irstd-1k"): (Published(65.74, "BasicIRSTD"),),
        ("uiunet", "nudt-sirst"): (Published(90.52, "BasicIRSTD"), Published(85.83, "paper 2")),
        ("uiunet", "irstd-1k"): (Published(65.69, "BasicIRSTD"),),
        ("sgem_unet", "nudt-sirst"): (Published(87.64, "paper 2"),),
    }
)
"""By network and data set; official splits, 400 to 1,500 epochs on a GPU. Sources: reference of the papers, BasicIRSTD's table."""


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
        ms: milliseconds a frame by batch size (as text, for JSON), the best of some rounds.
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

    @property
    def best_batch(self) -> tuple[str, float]:
        """The batch size with the fewest milliseconds a frame, and those."""
        return min(self.ms.items(), key=lambda each: each[1])


def measure(runs: Sequence[Path], batches: Sequence[int] = BATCHES) -> list[Row]:
    """Cards and times of some runs.

    Args:
        runs: folders with `weights.safetensors` and its card.
        batches: sizes to time.

    Raises:
        SettingsError: a folder has none.
    """
    cards = [read_card(run / "weights.json") for run in runs]
    models = [prepare(load_model(card.name, run / "weights.safetensors")[0]) for card, run in zip(cards, runs, strict=True)]
    times = _times(models, batches)
    device = models[0].device
    told = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()}, {torch.get_num_threads()} threads"
    return [_row(card, run, ms, told) for card, run, ms in zip(cards, runs, times, strict=True)]


def _times(models: Sequence[InferenceModel], batches: Sequence[int]) -> list[dict[str, float]]:
    times: list[dict[str, float]] = [{} for _ in models]
    for batch in batches:
        rounds = _ROUNDS if batch == 1 else _LARGE_ROUNDS
        for mine, rising in zip(times, latencies_ms(models, FRAME_PX, batch, rounds), strict=True):
            mine[str(batch)] = round(rising[0] / batch, 2)
    return times


def _row(card: ModelCard, run: Path, ms: dict[str, float], device: str) -> Row:
    return Row(
        name=card.name,
        run=run.parent.name,
        recipe=str(card.recipe["details"]),
        steps=int(str(card.recipe["steps"])),
        parameters=card.parameters,
        gmacs=card.gmacs,
        ms=ms,
        scores={measured.data.split()[0]: measured.values for measured in card.measured},
        device=device,
    )


def table(rows: Sequence[Row], data: Sequence[str] = ("nudt-sirst", "irstd-1k")) -> str:
    """A Markdown table, cheapest network first."""
    heads = ["network", "parameters", "GMACs", "ms, batch 1", "ms, best batch"]
    heads += [f"{name}: IoU / nIoU / Pd / Fa" for name in data] + [f"published IoU, {name}" for name in data]
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for row in sorted(rows, key=lambda each: each.gmacs):
        batch, ms = row.best_batch
        cells = [f"`{row.name}`", f"{row.parameters:,}", f"{row.gmacs:.2f}", f"{row.ms['1']:.1f}", f"{ms:.1f} ({batch})"]
        cells += [_scores(row.scores.get(name)) for name in data]
        cells += [", ".join(f"{each.iou:.2f} ({each.source})" for each in PUBLISHED.get((row.name, name), ())) for name in data]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _scores(scores: Mapping[str, float] | None) -> str:
    if scores is None:
        return ""
    percent = " / ".join(f"{scores[name] * 100:.1f}" for name in ("iou", "niou", "pd"))
    return f"{percent} / {scores['fa_ppm']:.0f}"


def picture(rows: Sequence[Row], file: Path, data: Sequence[str] = ("nudt-sirst", "irstd-1k")) -> None:
    """Write accuracy against milliseconds, one panel a data set; networks of ours in another colour."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained", dpi=110)
    for axis, name in zip(figure.subplots(1, len(data)), data, strict=True):
        for row in rows:
            if name in row.scores:
                ours = row.name.startswith("kestrel")
                place = (row.best_batch[1], row.scores[name]["iou"] * 100)
                axis.plot(*place, "*" if ours else "o", color="tab:red" if ours else "tab:blue", markersize=12 if ours else 6)
                axis.annotate(row.name, place, xytext=(6, 3), textcoords="offset points", fontsize=8)
        axis.set(
            xscale="log", title=f"{name} (test)", xlabel=f"ms a frame of {FRAME_PX} px at the best batch, {rows[0].device}", ylabel="IoU %"
        )
        axis.margins(x=0.2)
        axis.grid(visible=True, which="both", alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)


def read_rows(file: Path) -> list[Row]:
    """What `measure` wrote."""
    return [Row(**each) for each in json.loads(file.read_text(encoding="utf-8"))]


@tells_mistakes
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.comparison", description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure", help="read cards, time the networks")
    measuring.add_argument("file", type=Path)
    measuring.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    drawing = commands.add_parser("page", help="print the table, draw the picture")
    drawing.add_argument("file", type=Path)
    drawing.add_argument("--picture", type=Path, default=Path("docs/img/segmenters.png"))
    arguments = parser.parse_args()
    if arguments.command == "measure":
        rows = measure(arguments.runs)
        arguments.file.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    else:
        rows = read_rows(arguments.file)
        picture(rows, arguments.picture)
    print(table(rows))


if __name__ == "__main__":
    main()
