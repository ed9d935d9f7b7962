"""`irstream runs`: trainings in folds, shown and compared."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.options import JsonOption, print_json, require_writable, write_result

if TYPE_CHECKING:
    from training.report.folds_run import FoldsRun

app = typer.Typer(
    help="Trainings in folds: list, show, compare.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
RunArgument = Annotated[str, typer.Argument(help="Folder or URL of a training in folds.", show_default=False)]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write a page.", show_default=False)]


@app.callback()
def runs() -> None:
    """Trainings in folds."""


@app.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(help="Folder that holds trainings.")] = Path("runs/train"), as_json: JsonOption = False
) -> None:
    """List the trainings in folds below a folder."""
    from deploy.terminal.tracking import how_to_see
    from training.report.trainings import list_trainings

    found = list_trainings(folder)
    if as_json:
        print_json({"runs": found})
        return
    for each in found:
        parts = [each["model"]]
        if each["folds"]:
            parts.append(f"folds {each['folds'][:12]}, {each['folds_done']} done")
        else:
            parts.append("done" if each["done"] else f"{each['steps']} steps so far")
        parts += [f"{name} {value:g}" for name, value in each["figures"].items()]
        typer.echo(f"{each['run']}: {', '.join(parts)}")
        if each["mlflow"]:
            typer.echo(f"  {how_to_see(**each['mlflow'])}")
    if not found:
        typer.echo(f"no training below {folder}")


@app.command()
def show(run: RunArgument, html: HtmlOption = None, as_json: JsonOption = False) -> None:
    """Show the figures of a training: by fold, their mean, standard deviation and 95 % interval."""
    from training.report.folds_page import render_folds_page, summary_of
    from training.report.folds_run import read_run

    require_writable(html, "--html")
    read = read_run(run)
    if html is not None:
        page = render_folds_page(read)
        write_result(html, "--html", lambda: html.write_text(page, encoding="utf-8"))
    if as_json:
        print_json(summary_of(read))
    else:
        print_figures(read)


@app.command()
def compare(
    run: RunArgument,
    others: Annotated[list[str], typer.Argument(help="Trainings on the same folds.", show_default=False)],
    html: HtmlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare networks on the same folds: paired t-test, and its correction by Nadeau and Bengio, the one to trust."""
    from training.report.folds_page import render_folds_page
    from training.report.folds_run import compare_runs, read_run

    require_writable(html, "--html")
    first, rest = read_run(run), [read_run(other) for other in others]
    tests = [compare_runs(first, other) for other in rest]
    if html is not None:
        page = render_folds_page(first, rest)
        write_result(html, "--html", lambda: html.write_text(page, encoding="utf-8"))
    if as_json:
        found = [
            {"run": other.place, "model": other.model, "figures": {name: _finite(asdict(test)) for name, test in each.items()}}
            for other, each in zip(rest, tests, strict=True)
        ]
        print_json({"run": first.place, "model": first.model, "compared": found})
        return
    for other, each in zip(rest, tests, strict=True):
        typer.echo(f"{other.model} ({other.place}) less {first.model} ({first.place}), {len(first.results)} folds")
        for name, test in each.items():
            interval = f"95 % interval {test.low:+.4g} to {test.high:+.4g}"
            corrected = f"corrected p {test.p_corrected:.3g} (plain paired p {test.p:.3g}), Cohen's d {test.cohen_d:.2f}"
            typer.echo(f"  {name}: {test.difference:+.4g}, {interval}, {corrected}")


@app.command()
def anova(
    runs: Annotated[list[str], typer.Argument(help="Folders or URLs of trainings in folds, on whatever data.", show_default=False)],
    figure: Annotated[str | None, typer.Option("--figure", help="Default: the one by which the networks are compared.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Analyse the variance of a figure over trainings, such as on even, skewed and mixed classes: one-way ANOVA, Tukey's test of pairs."""
    from training.report.folds_page import variance_text
    from training.report.folds_run import analyse_runs, read_run

    read = [read_run(run) for run in runs]
    found = analyse_runs(read, figure)
    if as_json:
        pairs = [
            {"first": first, "second": second, "difference": difference, "p": p} for (first, second), (difference, p) in found.tukey.items()
        ]
        print_json(
            {"figure": figure or read[0].headline, **_finite({"f": found.f, "p": found.p}), "tukey": [_finite(pair) for pair in pairs]}
        )
        return
    typer.echo(f"{figure or read[0].headline}. {variance_text(found)}")
    for (first, second), (difference, p) in found.tukey.items():
        typer.echo(f"  {second} less {first}: {difference:+.4g}, Tukey p {p:.3g}")


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    import math

    return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()}


def print_figures(run: FoldsRun) -> None:
    """Figures over folds as text."""
    from evaluation.statistics import summarise

    typer.echo(f"{run.model}, {len(run.results)} folds, {len(run.rows)} images predicted out of fold")
    for name in run.figures:
        over = summarise(run.values(name))
        values = ", ".join(f"{value:.4g}" for value in run.values(name))
        typer.echo(f"  {name}: {over.mean:.4g} ± {over.sd:.2g} (95 % interval {over.low:.4g} to {over.high:.4g}); folds {values}")
