"""`irstream evaluate`: how good segmenters are on labelled images, as a table, JSON, Parquet or a page to look at."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from deploy.cli.options import JsonOption, print_json, require_writable
from deploy.terminal.progress import show_on

if TYPE_CHECKING:
    from rich.console import Console

    from evaluation.bootstrap import Interval
    from evaluation.results import Cost, ModelResult
    from models.segmentation.base import SegmentationModel
    from training.report.evaluate import EvaluationPlan

Loaded: TypeAlias = "tuple[SegmentationModel, str, str]"
"""A network, what it is called, and the digest of its weights."""
app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Registered segmenter, a safetensors file with its card beside it, or a run's folder.")],
    dataset: Annotated[str, typer.Argument(help="nudt-sirst, irstd-1k, sirst-v2, synthetic, or a folder with an index.jsonl.")],
    others: Annotated[
        list[str] | None,
        typer.Option("--with", help="Another segmenter on the same images (several times for several).", show_default=False),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a report to look at: one file, no network needed.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write one row for each image and network.")] = None,
    protocol: Annotated[
        str, typer.Option("--protocol", help="How targets are matched; `default` is right, others are as published.")
    ] = "default",
    threshold: Annotated[float | None, typer.Option("--threshold", min=0, max=1, help="Instead of the card's.", show_default=False)] = None,
    flips: Annotated[bool, typer.Option("--flips", help="Average over the four flips of each frame (four times the cost).")] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Measure one segmenter or several on labelled images: IoU, nIoU, Pd, Fa, by size and contrast, with intervals and cost.

    Thresholds are those of the cards, chosen on validation images; what is measured are test images, or all of a folder that names no
    test images. Several networks are compared on the same images.
    """
    from rich.console import Console

    from contracts.choices import chosen
    from evaluation.report import render_report
    from evaluation.segmentation_protocols import PROTOCOLS
    from models.devices import choose_device
    from training.data.evaluation_set import evaluation_samples, splits_of
    from training.report.evaluate import EvaluationPlan, costs_of

    chosen(PROTOCOLS, protocol, "--protocol")
    for file, option in ((html, "--html"), (parquet, "--parquet")):
        require_writable(file, option)
    device = str(choose_device(device))
    samples = evaluation_samples(dataset)
    plan = EvaluationPlan(protocol=protocol, threshold=threshold, flips=flips, device=device)
    console = Console(stderr=True)
    networks = _told_apart([_load(name) for name in (model, *(others or ()))])
    with console.status("timing"):
        costs = costs_of([network for network, _, _ in networks], plan)
    results = [
        _run(network, label, digest, samples, plan, cost, console) for (network, label, digest), cost in zip(networks, costs, strict=True)
    ]
    splits = splits_of(samples)
    lead = f"{len(samples)} {splits} images of {dataset}, {results[0].scores.num_targets} targets{_how(plan)}"
    if as_json:
        print_json({"dataset": dataset, "images": len(samples), "splits": splits} | _as_json(results, plan))
    else:
        Console(soft_wrap=True, markup=False).print(lead, _table(results), sep="\n")
    if html is not None:
        title = f"{', '.join(result.name for result in results)} on {Path(dataset).name}"
        command = shlex.join(["irstream", "evaluate", model, dataset, *_options(others or [], plan)])
        page = render_report(results, title=title, lead=lead, foot=command)
        _write(html, "--html", lambda: html.write_text(page, encoding="utf-8"))
        console.print(f"report {html}", soft_wrap=True, markup=False)
    if parquet is not None:
        _write(parquet, "--parquet", partial(_write_rows, results, parquet))
        console.print(f"rows {parquet}", soft_wrap=True, markup=False)


def _as_json(results: list[ModelResult], plan: EvaluationPlan) -> dict[str, Any]:
    """Conditions of the measurement, and all figures of each network with their differences to the first."""
    how = {"protocol": plan.protocol, "flips": plan.flips, "threshold_from": "card" if plan.threshold is None else "--threshold"}
    return how | {"models": [result.as_json() | {"difference": _difference(results[0], result)} for result in results]}


def _write(file: Path, option: str, write: Callable[[], object]) -> None:
    """Write, and tell a full disk, say, as what it is: the figures have been printed."""
    from contracts.errors import SettingsError

    try:
        write()
    except OSError as error:
        raise SettingsError(expected="a file that can be written", got=str(error), where=option, action=f"Make room for {file}.") from error


def _difference(first: ModelResult, result: ModelResult) -> dict[str, Any] | None:
    """Figures less those of the first network, with paired intervals; None of the first itself."""
    from evaluation.bootstrap import paired_differences
    from evaluation.results import plain

    if result is first:
        return None
    return {name: plain(each) for name, each in paired_differences(first.counts, result.counts).items()}


def _write_rows(results: list[ModelResult], file: Path) -> None:
    import pyarrow.parquet as pq

    from evaluation.results import rows_table

    pq.write_table(rows_table(results), file)


def _how(plan: EvaluationPlan) -> str:
    """Remarks about what is unusual in an evaluation."""
    told = [f"protocol {plan.protocol}"] * (plan.protocol != "default") + ["mean over four flips"] * plan.flips
    told += [] if plan.threshold is None else [f"threshold {plan.threshold:g} instead of the card's"]
    return "".join(f"; {each}" for each in told)


def _options(others: list[str], plan: EvaluationPlan) -> list[str]:
    """Options of the command that evaluates so again."""
    told = [part for name in others for part in ("--with", name)]
    told += ["--protocol", plan.protocol] if plan.protocol != "default" else []
    told += ["--device", plan.device] if plan.device != "cpu" else []
    told += [] if plan.threshold is None else ["--threshold", f"{plan.threshold:g}"]
    return told + ["--flips"] * plan.flips


def _told_apart(networks: list[Loaded]) -> list[Loaded]:
    """The same with names that differ: those of one name get the beginning of their digest.

    Raises:
        SettingsError: the same weights twice.
    """
    from contracts.errors import SettingsError

    if len({digest for _, _, digest in networks}) < len(networks):
        told = ", ".join(name for _, name, _ in networks)
        raise SettingsError(
            expected="different weights", got=f"the same twice among {told}", where="MODEL, --with", action="Name each once."
        )
    shared = {name for name, times in Counter(name for _, name, _ in networks).items() if times > 1}
    return [(network, f"{name} {digest[:6]}" if name in shared else name, digest) for network, name, digest in networks]


def _load(name: str) -> Loaded:
    from contracts.errors import SettingsError
    from models.card import read_card
    from models.segmentation.base import SegmentationModel
    from models.zoo import load_model

    path = _file_of(name)
    network, card = load_model(name) if path is None else load_model(read_card(path.with_suffix(".json")).name, path)
    if not isinstance(network, SegmentationModel):
        raise SettingsError(
            expected="a segmenter", got=f"{card.task} network {name}", where="MODEL", action="irstream models list names them."
        )
    # `irstream train` writes weights.safetensors into the folder of the run: that is the name people know it by.
    told = card.name if path is None else path.parent.name if path.stem == "weights" else path.stem
    return network, told, card.digest


def _file_of(name: str) -> Path | None:
    """The weights that a file or a run's folder means; None: those that ship under a registered name, which never means a folder here.

    Raises:
        SettingsError: a path that leads nowhere.
    """
    from contracts.errors import SettingsError
    from models.zoo import list_models

    if name in list_models():
        return None
    path = Path(name).resolve()
    if path.suffix == ".safetensors":
        return path
    if path.is_dir():
        return path / "weights.safetensors"
    if Path(name).name != name:
        raise SettingsError(
            expected="a registered segmenter, a safetensors file with its card beside it, or a run's folder",
            got=f"{name}, which is no folder",
            where="MODEL, --with",
            action="Check the path; irstream train says at its end where the weights are.",
        )
    return None


def _run(network: SegmentationModel, label: str, digest: str, samples: Any, plan: Any, cost: Cost, console: Console) -> ModelResult:
    from training.report.evaluate import evaluate as evaluate_one

    with show_on(console, "images") as show:
        return evaluate_one(network, label, digest, samples, plan, cost, partial(show, label))


def _table(results: list[ModelResult]) -> Any:
    """One column a network: a row of figures with intervals would not fit a terminal."""
    from rich.table import Table

    table = Table("", *(result.name for result in results), box=None, pad_edge=False)
    columns = [_column(result) for result in results]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    return table


def _column(result: ModelResult) -> dict[str, str]:
    scores, found, cost = result.scores, result.intervals(), result.cost
    column = {f"{title} %": _figure(found[name], 100, 2) for title, name in (("IoU", "iou"), ("nIoU", "niou"), ("Pd", "pd"))}
    return column | {
        "Fa 1e-6": _figure(found["fa"], 1e6, 1),
        "F1 %": _number(scores.f1, 100, 2),
        "precision %": _number(scores.precision, 100, 2),
        "recall %": _number(scores.recall, 100, 2),
        "ROC area %": _number(result.curves.auc, 100, 3),
        "average precision %": _number(result.curves.average_precision, 100, 2),
        "threshold": f"{result.threshold:g}",
        "parameters": f"{cost.parameters:,}",
        f"GMACs at {cost.input_px} px": f"{cost.gmacs:.3f}",
        "ms, median": f"{cost.latency_ms:.1f}",
    }


def _figure(interval: Interval, factor: float, digits: int) -> str:
    low, high = (_number(each, factor, digits - 1) for each in (interval.low, interval.high))
    return _number(interval.value, factor, digits) + ("" if math.isnan(interval.low) else f" [{low}, {high}]")


def _number(value: float, factor: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value * factor:.{digits}f}"
