"""A training as its person sees it on stderr: where it begins, how far it is, how to go on after Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.text import counted
from deploy.cluster.interrupts import interruptible
from deploy.terminal.progress import show_on
from training.fit import Machine, fit_network
from training.loop.checkpoint import steps_done
from training.loop.loop import LoopReport
from training.loop.settings import LoopSettings, Progress
from training.registry.export import Provenance, export

if TYPE_CHECKING:
    from rich.console import Console

    from models.card import ModelCard
    from training.recipes import TrainingPlan

_TRAINED = "stopped; the training is done, and the same command writes its weights"


def learn(
    console: Console,
    model: str,
    plan: TrainingPlan,
    folder: Path,
    machine: Machine | None = None,
    start: Path | None = None,
    headline: str = "",
    curve: Callable[[Progress], None] = lambda progress: None,
) -> LoopReport:
    """Train, and show it, from the headline on; of a training that is refused nothing is shown. See `fit_network`.

    `curve` gets the progress that is shown.
    """
    over = False

    def report_on(progress: Progress, steps: int) -> None:
        show("", progress.steps, steps, _text_of(progress))
        curve(progress)

    def begin(done: Progress, loop: LoopSettings) -> None:
        nonlocal over
        over = loop.is_over(done)
        if headline:
            console.print(headline, soft_wrap=True, markup=False)
        _show_begin(console, done, loop)

    with interruptible(), show_on(console, "steps") as show:
        try:
            _, report = fit_network(
                model,
                plan,
                folder,
                machine,
                start=start,
                begin=begin,
                report=report_on,
            )
        except KeyboardInterrupt:
            _show_how_to_go_on(console, folder, over)
            raise
    return report


def export_shown(console: Console, model: str, folder: Path, provenance: Provenance, device: str) -> ModelCard:
    """Choose the threshold, measure and write weights with their card into the folder of a run, and show it; see `export`."""
    with show_on(console, "images") as show:
        try:
            console.print("choosing the threshold, measuring on test images")
            return export(model, folder / "checkpoint.pt", folder / "weights.safetensors", provenance, device=device, report=show)
        except KeyboardInterrupt:
            console.print(_TRAINED, soft_wrap=True)
            raise


def _text_of(progress: Progress) -> str:
    best = f", best {progress.best_score:.4f} at {progress.best_step}" if progress.best_step else ""
    return f"loss {progress.loss:.4f}{best}"


def _show_begin(console: Console, done: Progress, loop: LoopSettings) -> None:
    if loop.is_over(done):
        console.print(f"already done: {counted(done.steps, 'step')}")
    elif done.steps:
        console.print(f"going on at step {done.steps}{_of(loop)}")


def _show_how_to_go_on(console: Console, folder: Path, over: bool) -> None:
    if over:
        console.print(_TRAINED, soft_wrap=True)
    elif steps := steps_done(folder):
        console.print(f"stopped at step {steps}; the same command goes on there", soft_wrap=True)


def _of(loop: LoopSettings) -> str:
    return "" if loop.max_steps is None else f" of {loop.max_steps}"
