"""`irstream evaluate --suite robust`: whether segmenters generalise, as tables, JSON, Parquet or a page to look at."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

from deploy.cli.options import print_json, write_page, write_rows
from deploy.cli.segmenters import load_segmenters
from deploy.terminal.progress import show_on


def evaluate_suite(
    names: list[str],
    every: int,
    threshold: float | None,
    flips: bool,
    device: str,
    html: Path | None,
    parquet: Path | None,
    as_json: bool,
) -> None:
    """Run the suite of some segmenters on the same images, and show it.

    Args:
        names: of the segmenters, as `irstream evaluate` takes them.
        every: one of so many images of each set.
        threshold: of masks, instead of the cards'.
        flips: average over the four flips of each frame.
        device: where to compute.
        html: page to write.
        parquet: rows to write.
        as_json: print JSON in place of tables.

    Raises:
        SettingsError: a network, or all data sets, cannot be had; a file cannot be written.
    """
    from deploy.terminal.consoles import note_console
    from deploy.terminal.robust_view import print_suite, suite_json, suite_lead
    from evaluation.robust_report import render_robust
    from evaluation.robustness import robust_table
    from training.data.robust_sets import robust_sets
    from training.report.robust import RobustPlan, run_suite

    console = note_console()
    networks = load_segmenters(names)
    sets, missing = robust_sets(every)
    plan = RobustPlan(threshold=threshold, flips=flips, device=device)
    lead = suite_lead({each.name: len(each.samples) for each in sets}, missing, every, threshold, flips)
    console.print(lead, soft_wrap=True, markup=False, highlight=False)
    results = []
    for each in networks:
        with show_on(console, "frames") as show:
            results.append(run_suite(each.network, each.name, each.card, sets, plan, partial(show, each.name)))
    if as_json:
        print_json(suite_json(results, sets={each.name: len(each.samples) for each in sets}, missing=missing, every=every))
    else:
        print_suite(results)
    if html is not None:
        options = ["--every", str(every)] * (every != 1) + ["--flips"] * flips + ["--device", device] * (device != "cpu")
        options += [] if threshold is None else ["--threshold", f"{threshold:g}"]
        others = [part for name in names[1:] for part in ("--with", name)]
        foot = shlex.join(["irstream", "evaluate", names[0], "--suite", "robust", *others, *options])
        page = render_robust(results, title=f"Does it generalise: {', '.join(result.name for result in results)}", lead=lead, foot=foot)
        write_page(html, page)
    if parquet is not None:
        write_rows(parquet, robust_table(results))
