"""`irstream evaluate`: how good segmenters are on labelled images, as a table, JSON, Parquet or a page to look at."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from deploy.cli.options import JsonOption, print_json, require_writable
from deploy.terminal.progress import Show, show_on

if TYPE_CHECKING:
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
    from contracts.choices import chosen
    from deploy.terminal.consoles import note_console, status
    from deploy.terminal.evaluation_view import evaluation_json, print_evaluation, remarks
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
    console = note_console()
    networks = _distinct([_load(name) for name in (model, *(others or ()))])
    with status("timing", console):
        costs = costs_of([network for network, _, _ in networks], plan)
    results = [
        _run(network, label, digest, samples, plan, cost, show_on(console, "images"))
        for (network, label, digest), cost in zip(networks, costs, strict=True)
    ]
    splits = splits_of(samples)
    lead = f"{len(samples)} {splits} images of {dataset}, {results[0].scores.num_targets} targets{remarks(plan)}"
    if as_json:
        print_json({"dataset": dataset, "images": len(samples), "splits": splits} | evaluation_json(results, plan))
    else:
        print_evaluation(lead, results)
    if html is not None:
        title = f"{', '.join(result.name for result in results)} on {Path(dataset).name}"
        command = shlex.join(["irstream", "evaluate", model, dataset, *_options(others or [], plan)])
        page = render_report(results, title=title, lead=lead, foot=command)
        _write(html, "--html", lambda: html.write_text(page, encoding="utf-8"))
        console.print(f"report {html}", soft_wrap=True, markup=False)
    if parquet is not None:
        _write(parquet, "--parquet", partial(_write_rows, results, parquet))
        console.print(f"rows {parquet}", soft_wrap=True, markup=False)


def _write(file: Path, option: str, write: Callable[[], object]) -> None:
    """Write, and report a full disk, say, as what it is: the figures have been printed."""
    from contracts.errors import SettingsError

    try:
        write()
    except OSError as error:
        raise SettingsError(expected="a file that can be written", got=str(error), where=option, action=f"Make room for {file}.") from error


def _write_rows(results: list[ModelResult], file: Path) -> None:
    import pyarrow.parquet as pq

    from evaluation.results import rows_table

    pq.write_table(rows_table(results), file)


def _options(others: list[str], plan: EvaluationPlan) -> list[str]:
    """Options of the command that evaluates so again."""
    options = [part for name in others for part in ("--with", name)]
    options += ["--protocol", plan.protocol] if plan.protocol != "default" else []
    options += ["--device", plan.device] if plan.device != "cpu" else []
    options += [] if plan.threshold is None else ["--threshold", f"{plan.threshold:g}"]
    return options + ["--flips"] * plan.flips


def _distinct(networks: list[Loaded]) -> list[Loaded]:
    """The same with names that differ: those of one name get the beginning of their digest.

    Raises:
        SettingsError: the same weights twice.
    """
    from contracts.errors import SettingsError

    if len({digest for _, _, digest in networks}) < len(networks):
        names = ", ".join(name for _, name, _ in networks)
        raise SettingsError(
            expected="different weights", got=f"the same twice among {names}", where="MODEL, --with", action="Name each once."
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
    known_as = card.name if path is None else path.parent.name if path.stem == "weights" else path.stem
    return network, known_as, card.digest


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


def _run(network: SegmentationModel, label: str, digest: str, samples: Any, plan: Any, cost: Cost, progress: Show) -> ModelResult:
    from training.report.evaluate import evaluate as evaluate_one

    with progress as show:
        return evaluate_one(network, label, digest, samples, plan, cost, partial(show, label))
