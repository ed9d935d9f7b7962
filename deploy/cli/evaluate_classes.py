"""`irstream evaluate CLASSIFIER DATASET`."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

from deploy.cli.options import print_json, write_page, write_rows
from deploy.terminal.progress import show_on


def evaluate_classes(names: list[str], dataset: str, device: str, html: Path | None, parquet: Path | None, as_json: bool) -> None:
    """Measure classifiers on the boxes of a data set, print the figures, write what was asked for.

    Args:
        names: classifiers, as on the command line.
        dataset: its name or folder.
        device: where to compute.
        html: the page; None: none.
        parquet: one row a crop; None: none.
        as_json: for programs.

    Raises:
        SettingsError: a name leads to no classifier, or the data set has no targets of its classes.
    """
    from deploy.cli.segmenters import load_classifiers
    from deploy.terminal.class_view import print_classes
    from deploy.terminal.consoles import note_console, status
    from evaluation.class_report import render_class_report
    from training.data.evaluation_set import class_samples, splits_of
    from training.report.evaluate_classes import class_costs, evaluate_classifier

    networks = load_classifiers(names)
    samples = class_samples(dataset)
    console = note_console()
    with status("timing", console):
        costs = class_costs([each.network for each in networks], device)
    results = []
    for each, cost in zip(networks, costs, strict=True):
        with show_on(console, "crops") as show:
            results.append(evaluate_classifier(each.network, each.name, each.card.digest, samples, cost, device, partial(show, each.name)))
    splits = splits_of(samples)
    lead = f"{len(samples)} {splits} images of {dataset}, {len(results[0].true_N)} crops around their boxes"
    if as_json:
        print_json({"dataset": dataset, "images": len(samples), "splits": splits, "models": [each.as_json() for each in results]})
    else:
        print_classes(lead, results)
    if html is not None:
        title = f"{', '.join(result.name for result in results)} on {Path(dataset).name}"
        command = ["irstream", "evaluate", names[0], dataset, *(part for name in names[1:] for part in ("--with", name))]
        page = render_class_report(results, title=title, lead=lead, foot=shlex.join(command + ["--device", device] * (device != "cpu")))
        write_page(html, page)
    if parquet is not None:
        from evaluation.class_results import class_rows

        write_rows(parquet, class_rows(results))
