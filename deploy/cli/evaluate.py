"""`irstream evaluate`: how good segmenters are on labelled images, as a table, JSON, Parquet or a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from evaluation.results import Cost, ModelResult
    from models.segmentation.base import SegmentationModel

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Registered segmenter, or a safetensors file with its card beside it.")],
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
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Measure one segmenter or several on labelled images: IoU, nIoU, Pd, Fa, by size and contrast, with intervals and cost.

    Thresholds are those of the cards, chosen on images that are not measured here. Several are compared on the same images.
    """
    from rich.console import Console

    from contracts.choices import chosen
    from evaluation.report import render_report
    from evaluation.results import rows_table
    from evaluation.segmentation_protocols import PROTOCOLS
    from training.evaluate import EvaluationPlan, costs_of
    from training.evaluation_set import evaluation_samples

    chosen(PROTOCOLS, protocol, "--protocol")
    samples = evaluation_samples(dataset)
    plan = EvaluationPlan(protocol=protocol, threshold=threshold, flips=flips, device=device)
    console = Console(stderr=True)
    networks = [_load(name) for name in (model, *(others or ()))]
    with console.status("timing"):
        costs = costs_of([network for network, _, _ in networks], plan)
    results = [
        _run(network, label, digest, samples, plan, cost, console) for (network, label, digest), cost in zip(networks, costs, strict=True)
    ]
    lead = f"{len(samples)} images of {dataset}, {results[0].scores.num_targets} targets"
    if html is not None:
        command = " ".join(["irstream evaluate", model, dataset, *(f"--with {name}" for name in others or ())])
        page = render_report(
            results, title=f"{', '.join(result.name for result in results)} on {Path(dataset).name}", lead=lead, foot=command
        )
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page, encoding="utf-8")
        console.print(f"report {html}", soft_wrap=True)
    if parquet is not None:
        import pyarrow.parquet as pq

        parquet.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows_table(results), parquet)
        console.print(f"rows {parquet}", soft_wrap=True)
    if as_json:
        print_json({"dataset": dataset, "images": len(samples), "protocol": protocol, "models": [result.as_json() for result in results]})
    else:
        Console(soft_wrap=True).print(lead, _table(results), sep="\n")


def _load(name: str) -> tuple[SegmentationModel, str, str]:
    """Network, what it is called, digest of its weights."""
    from contracts.errors import SettingsError
    from models.card import read_card
    from models.segmentation.base import SegmentationModel
    from models.zoo import load_model

    path = Path(name) if name.endswith(".safetensors") else None
    network, card = load_model(name) if path is None else load_model(read_card(path.with_suffix(".json")).name, path)
    if not isinstance(network, SegmentationModel):
        raise SettingsError(
            expected="a segmenter", got=f"{card.task} network {name}", where="MODEL", action="irstream models list names them."
        )
    # `irstream train` writes weights.safetensors into the folder of the run: that is the name people know it by.
    told = card.name if path is None else path.parent.name if path.stem == "weights" else path.stem
    return network, told, card.digest


def _run(network: SegmentationModel, label: str, digest: str, samples: Any, plan: Any, cost: Cost, console: Console) -> ModelResult:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from training.evaluate import evaluate as evaluate_one

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("images"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=len(samples))
        return evaluate_one(network, label, digest, samples, plan, cost, lambda done, of: progress.update(task, completed=done, total=of))


def _table(results: list[ModelResult]) -> Any:
    """One column a network: a row of figures with intervals would not fit a terminal."""
    from rich.table import Table

    table = Table("", *(result.name for result in results), box=None, pad_edge=False)
    columns = [_column(result) for result in results]
    for name in columns[0]:
        table.add_row(name, *(column[name].replace("[", r"\[") for column in columns))
    return table


def _column(result: ModelResult) -> dict[str, str]:
    scores, found, cost = result.scores, result.intervals(), result.cost
    column = {
        f"{title} %": f"{getattr(scores, name) * 100:.2f} [{found[name].low * 100:.1f}, {found[name].high * 100:.1f}]"
        for title, name in (("IoU", "iou"), ("nIoU", "niou"), ("Pd", "pd"))
    }
    return column | {
        "Fa 1e-6": f"{scores.fa_ppm:.1f} [{found['fa'].low * 1e6:.0f}, {found['fa'].high * 1e6:.0f}]",
        "F1 %": f"{scores.f1 * 100:.2f}",
        "precision %": f"{scores.precision * 100:.2f}",
        "recall %": f"{scores.recall * 100:.2f}",
        "ROC area %": f"{result.curves.auc * 100:.3f}",
        "average precision %": f"{result.curves.average_precision * 100:.2f}",
        "threshold": f"{result.threshold:g}",
        "parameters": f"{cost.parameters:,}",
        f"GMACs at {cost.input_px} px": f"{cost.gmacs:.3f}",
        "ms, median": f"{cost.latency_ms:.1f}",
    }
