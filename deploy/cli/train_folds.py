"""`irstream train MODEL --folds N`: folds of data sets in Parquet, trained through Ray Train, with a report."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from contracts.errors import SettingsError
from deploy.cli.options import print_json, stdout_for_json

if TYPE_CHECKING:
    from training.data.folds import Folds, FoldSettings
    from training.distributed.cross_validation import CrossValidation
    from training.distributed.team_training import Room
    from training.recipes import TrainingPlan
    from training.report.folds_run import FoldsRun

_FOLDS_FILE = "folds.json"
_HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldOptions:
    """Options of a training in folds, see `deploy.cli.train_options`."""

    folds: int
    data: Sequence[str]
    out: str
    workers: int
    gpus_per_worker: float
    stratify: str
    validation_share: float
    fold_seed: int
    allow_leaks: bool
    side_by_side: int | None
    start: Path | None
    mlflow: str | None = None


def names_of_sets(data: Sequence[str] | None) -> list[str]:
    """Names of the data sets in some folders.

    Raises:
        SettingsError: none was named, or one is not there.
    """
    from training.data.parquet_set import read_table, require_parquet_set

    if not data:
        raise SettingsError(
            expected="data sets in Parquet",
            got="none",
            where="`data sets`",
            action="Make one: irstream dataset import FORMAT PATH --out FOLDER (docs/datasets.md).",
        )
    for folder in data:
        require_parquet_set(Path(folder))
    return sorted({name for folder in data for name in read_table(Path(folder), ["dataset"])["dataset"].to_pylist()})


def train_in_folds(model: str, plan: TrainingPlan, options: FoldOptions, as_json: bool) -> None:
    """Make or read the folds, train them, write the report, print it.

    Raises:
        SettingsError: data, folds or settings are wrong; nothing was trained then.
        StopPipeline: a fold failed.
    """
    from deploy.cli.runs import print_figures
    from deploy.cluster.interrupts import interruptible
    from deploy.cluster.session import ray_session
    from deploy.terminal.consoles import note_console
    from deploy.terminal.folds_view import shown_folds
    from deploy.terminal.tracking import curves_of, keep_folds, tracked_training
    from training.distributed.cross_validation import CrossValidation, begin, cross_validate
    from training.distributed.team_training import TeamTraining
    from training.report.folds_page import summary_of

    plan = _with_validation(plan)
    console, folders = note_console(), tuple(Path(folder) for folder in options.data)
    training = TeamTraining(model=model, plan=plan, start=options.start, workers=options.workers, gpus_per_worker=options.gpus_per_worker)
    run = CrossValidation(training=training, folders=folders, folds=_folds(options, folders), out=options.out)
    begin(run)
    with interruptible(), _json_lines(as_json) as emit, stdout_for_json(as_json), ray_session():
        side_by_side, threads = _at_a_time(options)
        run = replace(run, training=replace(training, threads=threads), side_by_side=side_by_side)
        console.print(f"{model}, {run.folds.num} folds, {side_by_side} at a time; {options.out}", soft_wrap=True, markup=False)
        with tracked_training(console, options.mlflow, options.out, model, plan, run.identity()) as tracker:
            with shown_folds(console, emit) as show:
                results = cross_validate(run, curves_of(tracker, show))
            read, candidates = _write_report(run, results)
            keep_folds(tracker, options.out, summary_of(read))
    if as_json:
        figures = summary_of(read)["figures"]
        print_json({"event": "result", "out": read.place, "folds": results, "figures": figures, "candidates": candidates})
    else:
        print_figures(read)
        typer.echo(f"{read.place}/report.html")


def _write_report(run: CrossValidation, results: list[dict[str, Any]]) -> tuple[FoldsRun, list[str]]:
    """Join what the folds predicted, write page, figures and candidates into the folder; the training, and folders of the candidates."""
    from deploy.terminal.tracking import command_line
    from training.distributed.cross_validation import join_predictions
    from training.distributed.storage import Storage
    from training.registry.fold_cards import write_candidates
    from training.report.folds_page import render_folds_page, summary_of
    from training.report.folds_run import read_run

    join_predictions(run.out, run.folds.num)
    storage, read = Storage(run.out), read_run(run.out)
    storage.write("report.json", json.dumps(summary_of(read), indent=1).encode())
    storage.write("report.html", render_folds_page(read).encode())
    return read, write_candidates(run, results, command_line())


@contextmanager
def _json_lines(wanted: bool) -> Iterator[Callable[[Mapping[str, Any]], None] | None]:
    """Writer of one JSON object a line on stdout, past what libraries print there meanwhile (`stdout_for_json`); None: not wanted."""
    if not wanted:
        yield None
        return
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines:

        def emit(value: Mapping[str, Any]) -> None:
            lines.write(json.dumps(value, default=str) + "\n")
            lines.flush()

        yield emit


def _with_validation(plan: TrainingPlan) -> TrainingPlan:
    """The plan with a validation each epoch, unless it was asked for otherwise.

    Raises:
        SettingsError: it is limited by time, which folds cannot share.
    """
    if plan.minutes:
        raise SettingsError(
            expected="a length in epochs: folds have to be alike", got="minutes", where="--minutes, --folds", action="Name --epochs."
        )
    every = plan.validate_every_epochs or min(1.0, plan.epochs * _HALF)
    return replace(plan, validate_every_epochs=every)


def _folds(options: FoldOptions, folders: tuple[Path, ...]) -> Folds:
    """Folds of the run's folder, or new ones that are written there; leaks are looked for in both."""
    from training.data.folds import FoldSettings, make_folds, read_folds, require_folds
    from training.distributed.storage import Storage

    settings = FoldSettings(
        num=options.folds,
        seed=options.fold_seed,
        stratify=options.stratify,  # type: ignore[arg-type]
        validation=options.validation_share,
        allow_leaks=options.allow_leaks,
    )
    storage = Storage(options.out)
    there = storage.read(_FOLDS_FILE)
    if there is None:
        folds = make_folds(folders, settings)
        storage.write(_FOLDS_FILE, folds.text().encode())
        return folds
    folds = read_folds(there.decode(), f"{storage.place}/{_FOLDS_FILE}")
    if folds.settings != settings:
        raise SettingsError(
            expected=f"the folds that are there: {_said(folds.settings)}",
            got=_said(settings),
            where=f"{storage.place}/{_FOLDS_FILE}",
            action="Name another --out for other folds, or give the same options to go on.",
        )
    require_folds(folds, folders, Path(_FOLDS_FILE))
    return folds


def _said(settings: FoldSettings) -> str:
    leaks = ", leaks allowed" if settings.allow_leaks else ""
    return f"{settings.num} by {settings.stratify}, seed {settings.seed}, validation share {settings.validation:g}{leaks}"


def _at_a_time(options: FoldOptions) -> tuple[int, int]:
    """Folds that train at a time, and threads of each process on a CPU, in the Ray that is there."""
    import ray

    from deploy.cluster.session import cluster_address
    from training.distributed.team_training import Room

    there = ray.cluster_resources()
    ray_cpus = int(there.get("CPU", 1))
    # A local Ray counts logical CPUs, many more than there are.
    cpus = ray_cpus if cluster_address() else len(os.sched_getaffinity(0))
    return at_a_time(options, Room(cpus, ray_cpus, float(there.get("GPU", 0))))


def at_a_time(options: FoldOptions, room: Room) -> tuple[int, int]:
    """Folds that train at a time, and threads of each process on a CPU.

    Raises:
        SettingsError: one fold alone wants more than there is.
    """
    most = room.folds_at_a_time(options.workers, options.gpus_per_worker)
    if most < 1:
        gpus = options.workers * options.gpus_per_worker
        lacking = gpus > room.gpus
        raise SettingsError(
            expected=f"{gpus:g} GPUs for the {options.workers} processes of a fold"
            if lacking
            else f"{options.workers} CPUs, one for each process of a fold",
            got=f"{room.gpus if lacking else room.ray_cpus:g} in this Ray",
            where="--gpus-per-worker, --workers" if lacking else "--workers",
            action="Ask for fewer, or set RAY_ADDRESS to a cluster that has them.",
        )
    # More at a time than fit would reserve what Ray Data needs to read for those that train.
    by_cpu = room.ray_cpus // options.workers
    asked = most if options.side_by_side is None else max(1, min(options.side_by_side, most if options.gpus_per_worker else by_cpu))
    side_by_side = min(options.folds, asked)
    return side_by_side, max(1, room.cpus // (side_by_side * options.workers))
