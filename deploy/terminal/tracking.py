"""Trainings told to MLflow while their person looks at them."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.terminal.folds_view import FoldsTold, epoch_of
from training.distributed.storage import Storage
from training.tracking import Tracker, masked, tracked, tracking_uri

if TYPE_CHECKING:
    from rich.console import Console

    from models.card import ModelCard
    from training.loop.loop import LoopReport
    from training.loop.settings import Progress
    from training.recipes import TrainingPlan

_POINT_S = 10.0


def command_line() -> str:
    """The command that runs, without the address of a server, which may hold a password."""
    words, kept = iter(sys.argv[1:]), ["irstream"]
    for word in words:
        if word == "--mlflow":
            next(words, None)
        elif not word.startswith("--mlflow="):
            kept.append(word)
    return shlex.join(kept)


def how_to_see(uri: str, run_id: str | None = None, experiment: str | None = None) -> str:
    """Text: the address of a run in a server's pages, or the command that shows a database."""
    if not uri.startswith("http"):
        return f"mlflow ui --backend-store-uri {uri}"
    run = f"/#/experiments/{experiment}/runs/{run_id}" if run_id and experiment else ""
    return uri.rstrip("/") + run


@contextmanager
def tracked_training(
    console: Console, asked: str | None, place: str, model: str, plan: TrainingPlan, settings: Mapping[str, object] | None = None
) -> Iterator[Tracker | None]:
    """A training in MLflow while the block runs, and at its end a line that says where to see it; None: it is tracked nowhere.

    Args:
        console: for that line, and what goes wrong.
        asked: see `training.tracking.tracking_uri`.
        place: folder or URL of the training.
        model: network.
        plan: of the training.
        settings: more of them.

    Raises:
        SettingsError: see `tracking_uri`.
    """

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False, highlight=False)

    uri = tracking_uri(asked, place)
    parameters = {"command": command_line(), "place": place, "source": plan.source, "length": plan.length()}
    title = f"{model} ({place.rstrip('/').rpartition('/')[2]})"
    tracker = None
    try:
        with tracked(uri, place, title, parameters | dict(settings or plan.identity(model, 0)), say) as tracker:
            yield tracker
    finally:
        if uri is not None and tracker is not None and tracker.begun:
            say(f"MLflow: {how_to_see(masked(uri))}")


def curve_of(tracker: Tracker | None, now: Callable[[], float] = time.monotonic) -> Callable[[Progress], None]:
    """Function that takes the progress of a training, and tells a point every ten seconds, and each better validation."""
    if tracker is None:
        return lambda progress: None
    told_s, told = float("-inf"), (-1, 0)

    def tell(progress: Progress) -> None:
        nonlocal told_s, told
        mark = (progress.steps, progress.best_step)
        if told[0] == mark[0] or (told[1] == mark[1] and now() - told_s < _POINT_S):
            return
        best = {"validation": progress.best_score} if progress.best_step and told[1] != mark[1] else {}
        told_s, told = now(), mark
        tracker.point(progress.steps, {"loss": progress.loss, **best})

    return tell


def keep_result(tracker: Tracker | None, folder: Path, report: LoopReport, card: ModelCard) -> None:
    """Weights, card and what was measured of a training that is done."""
    if tracker is None:
        return
    tracker.point(report.steps, {"loss": report.last_loss, "best": report.best_score})
    for measured in card.measured:
        tracker.point(report.steps, {f"{measured.data.partition(' (')[0]}/{name}": value for name, value in measured.values.items()})
    for name in ("weights.safetensors", "weights.json", "log.jsonl"):
        if (folder / name).is_file():
            tracker.keep(name, folder / name)


def curves_of(tracker: Tracker | None, show: Callable[[FoldsTold], None]) -> Callable[[FoldsTold], None]:
    """Function that shows where folds are, and tells a point of each at the end of its epochs, and its figures when it is done."""
    if tracker is None:
        return show
    told: dict[int, tuple[str, int]] = {}

    def tell(folds: FoldsTold) -> None:
        show(folds)
        for fold, each in sorted(folds.items()):
            mark, name = (str(each["state"]), epoch_of(each)), _fold(fold)
            if each["state"] == "waiting" or told.get(fold) == mark:
                continue
            if fold not in told:
                tracker.begin(name, {"fold": fold})
            told[fold] = mark
            tracker.point(int(each.get("steps") or 0), {"loss": each.get("loss"), "best": each.get("best")}, name)
            if each["state"] in ("done", "failed"):
                tracker.point(int(each.get("steps") or 0), each.get("figures") or {}, name)
                tracker.end("FINISHED" if each["state"] == "done" else "FAILED", name)

    return tell


def keep_folds(tracker: Tracker | None, place: str, summary: Mapping[str, Any]) -> None:
    """Page, figures, weights and means over folds of a training in folds that is done."""
    if tracker is None:
        return
    for name, over in summary["figures"].items():
        tracker.point(0, {name: over["mean"], f"{name} sd": over["sd"], f"{name} low": over["low"], f"{name} high": over["high"]})
    storage = Storage(place)
    for fold in summary["folds"]:
        name = _fold(fold["fold"])
        for point in fold.get("curve") or ():
            tracker.point(point["step"], {"epoch loss": point["loss"], "validation": point["validation"]}, name)
        for file in ("weights.safetensors", "weights.json"):
            if (content := storage.read(f"fold-{fold['fold']}/{file}")) is not None:
                tracker.keep(file, content, name)
    for file in ("report.html", "report.json", "folds.json", "out_of_fold.parquet"):
        if (content := storage.read(file)) is not None:
            tracker.keep(file, content)


def _fold(number: int) -> str:
    return f"fold {number}"
