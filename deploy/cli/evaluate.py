"""`irstream evaluate`: how good segmenters and classifiers are on labelled images, as a table, JSON, Parquet or a page to look at."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.options import ConfigOption, JsonOption, print_json, require_writable, write_page, write_rows
from deploy.terminal.progress import Show, show_on

if TYPE_CHECKING:
    from deploy.cli.segmenters import Loaded
    from evaluation.results import Cost, ModelResult
    from models.segmentation.base import SegmentationModel
    from training.report.evaluate import EvaluationPlan

SUITES = ("robust",)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def evaluate(
    model: Annotated[
        str, typer.Argument(help="Registered segmenter or classifier, a safetensors file with its card beside it, or a run's folder.")
    ],
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="nudt-sirst, irstd-1k, sirst-v2, synthetic, of a classifier hit-uav, drone-ir; or a folder with an index.jsonl, of a "
            "classifier also one in Parquet; none with --suite.",
            show_default=False,
        ),
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option("--with", help="Another network of that task on the same images (several times for several).", show_default=False),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a report to look at: one file, no network needed.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write one row for each image and network.")] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite", help="Instead of one data set: `robust` changes test images and takes foreign cameras.", show_default=False
        ),
    ] = None,
    tracks: Annotated[
        Path | None,
        typer.Option(
            "--tracks",
            help="True tracks (tracks.jsonl), to compare with those in MODEL: a Parquet of irstream predict, a folder of some, a table.",
            show_default=False,
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="With --tracks: make the tracks anew, with the settings of now.")] = False,
    config: ConfigOption = None,
    every: Annotated[int, typer.Option("--every", min=1, help="With --suite: one of so many images of each data set.")] = 1,
    protocol: Annotated[
        str, typer.Option("--protocol", help="How targets are matched; `default` is right, others are as published.")
    ] = "default",
    threshold: Annotated[float | None, typer.Option("--threshold", min=0, max=1, help="Instead of the card's.", show_default=False)] = None,
    flips: Annotated[bool, typer.Option("--flips", help="Average over the four flips of each frame (four times the cost).")] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Measure segmenters or classifiers on labelled images; of segmenters IoU, nIoU, Pd, Fa, by size and contrast, with intervals and cost.

    Thresholds are those of the cards, chosen on validation images; what is measured are test images, or all of a folder that names no
    test images. Several networks are compared on the same images.

    A classifier is shown the boxes: accuracy, balanced and by class, calibration, accuracy against coverage, by size (docs/classifiers.md).

    With --suite robust: how masks hold when test images are changed as other cameras and links change them, and how many targets are
    found against false alarms a frame, also on cameras that no network learnt from (docs/robustness.md).

    With --tracks: how well the tracks in rows follow true targets; no network runs (docs/tracks.md).
    """
    if tracks is not None:
        from deploy.cli.evaluate_tracks import evaluate_tracks

        evaluate_tracks(Path(model), tracks, again, config, as_json)
        return
    from contracts.choices import chosen
    from deploy.cli.segmenters import load_segmenters, names_classifier
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
    names = [model, *(others or ())]
    if suite is not None:
        from deploy.cli.evaluate_suite import evaluate_suite

        chosen(dict.fromkeys(SUITES), suite, "--suite")
        _refuse_with_suite(dataset, protocol)
        evaluate_suite(names, every, threshold, flips, device, html, parquet, as_json)
        return
    dataset = _required(dataset, every)
    if names_classifier(model):
        from deploy.cli.evaluate_classes import evaluate_classes

        _refuse_of_classifiers(protocol, threshold, flips)
        evaluate_classes(names, dataset, device, html, parquet, as_json)
        return
    networks = load_segmenters(names)
    samples = evaluation_samples(dataset)
    plan = EvaluationPlan(protocol=protocol, threshold=threshold, flips=flips, device=device)
    console = note_console()
    with status("timing", console):
        costs = costs_of([each.network for each in networks], plan)
    results = [_run(each, samples, plan, cost, show_on(console, "images")) for each, cost in zip(networks, costs, strict=True)]
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
        write_page(html, page)
    if parquet is not None:
        from evaluation.results import rows_table

        write_rows(parquet, rows_table(results))


def _options(others: list[str], plan: EvaluationPlan) -> list[str]:
    """Options of the command that evaluates so again."""
    options = [part for name in others for part in ("--with", name)]
    options += ["--protocol", plan.protocol] if plan.protocol != "default" else []
    options += ["--device", plan.device] if plan.device != "cpu" else []
    options += [] if plan.threshold is None else ["--threshold", f"{plan.threshold:g}"]
    return options + ["--flips"] * plan.flips


def _run(one: Loaded[SegmentationModel], samples: Any, plan: Any, cost: Cost, progress: Show) -> ModelResult:
    from training.report.evaluate import evaluate as evaluate_one

    with progress as show:
        return evaluate_one(one.network, one.name, one.card.digest, samples, plan, cost, partial(show, one.name))


def _required(dataset: str | None, every: int) -> str:
    from contracts.errors import SettingsError

    if dataset is None:
        raise SettingsError(
            expected="a data set, or --suite", got="neither", where="DATASET", action="Name a data set, or add --suite robust."
        )
    if every != 1:
        raise SettingsError(
            expected="--every together with --suite",
            got=f"data set {dataset}",
            where="--every",
            action="Leave it out, or add --suite robust.",
        )
    return dataset


def _refuse_of_classifiers(protocol: str, threshold: float | None, flips: bool) -> None:
    from contracts.errors import SettingsError

    asked = [
        name for name, used in (("--protocol", protocol != "default"), ("--threshold", threshold is not None), ("--flips", flips)) if used
    ]
    if asked:
        raise SettingsError(
            expected="none of the options of segmenters for a classifier",
            got=", ".join(asked),
            where="MODEL",
            action="Leave them out: a classifier has no threshold, and is shown the boxes.",
        )


def _refuse_with_suite(dataset: str | None, protocol: str) -> None:
    from contracts.errors import SettingsError

    if dataset is not None:
        raise SettingsError(
            expected="a data set or --suite, not both",
            got=f"{dataset} and --suite",
            where="DATASET",
            action="Leave one of them out: the suite brings data sets of its own.",
        )
    if protocol != "default":
        raise SettingsError(
            expected="the default protocol with --suite", got=protocol, where="--protocol", action="Leave out --protocol or --suite."
        )
