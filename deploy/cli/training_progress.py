"""A training as its person sees it on stderr: where it begins, how far it is, how to go on after Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from training.checkpoint import Progress, steps_done
from training.export import Provenance, export
from training.loop import LoopReport, LoopSettings
from training.segmenter import train_segmenter

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from models.card import ModelCard
    from training.recipes import TrainingPlan

LINE_EVERY_S = 30.0


class Show(Protocol):
    """Shows how far each part of some work is."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(self, *_: object) -> None:
        """End to show."""
        ...

    def __call__(self, part: str, done: int, of: int, told: str = "") -> None:
        """So much of a part is done, and what else there is to tell."""
        ...


class Bars:
    """On a terminal: a bar for each part."""

    def __init__(self, console: Console, unit: str) -> None:
        """Know where to draw, and what is counted."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        text = TextColumn(unit + "  {task.description}")
        self._bar = Progress(BarColumn(), MofNCompleteColumn(), text, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
        self._parts: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state there."""
        self._bar.stop()

    def __call__(self, part: str, done: int, of: int, told: str = "") -> None:
        """See `Show`."""
        description = ", ".join(each for each in (part, told) if each)
        if part not in self._parts:
            # What an earlier start did is no speed of this one.
            self._parts[part] = self._bar.add_task(description, total=of, completed=done)
        self._bar.update(self._parts[part], completed=done, total=of, description=description)


class Lines:
    """Elsewhere: a line for each half minute."""

    def __init__(self, console: Console, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Know where to write, and what is counted."""
        self._console, self._unit, self._clock = console, unit, clock
        self._begun: dict[str, tuple[float, int]] = {}
        self._told_s = clock()

    def __enter__(self) -> Self:
        """Nothing to begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def __call__(self, part: str, done: int, of: int, told: str = "") -> None:
        """See `Show`."""
        now_s = self._clock()
        start_s, start = self._begun.setdefault(part, (now_s, done))
        if now_s - self._told_s < LINE_EVERY_S:
            return
        self._told_s = now_s
        elapsed_s = now_s - start_s
        left = f"{minutes(elapsed_s * (of - done) / (done - start))} left" if done > start else "time left not known"
        parts = (part, f"{done}/{of} {self._unit}", told, f"{minutes(elapsed_s)} gone", left)
        self._console.print(", ".join(each for each in parts if each), soft_wrap=True, highlight=False)


def minutes(seconds: float) -> str:
    """`h:mm:ss`."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def show_on(console: Console, unit: str) -> Show:
    """Bars on a terminal, else lines."""
    return Bars(console, unit) if console.is_terminal else Lines(console, unit)


def learn(console: Console, model: str, plan: TrainingPlan, folder: Path, device: str, workers: int) -> LoopReport:
    """Train, and show it; see `train_segmenter`."""
    with show_on(console, "steps") as show:
        try:
            _, report = train_segmenter(
                model,
                plan,
                folder,
                device=device,
                workers=workers,
                begin=partial(_tell_begin, console),
                tell=lambda progress, steps: show("", progress.steps, steps, _text_of(progress)),
            )
        except KeyboardInterrupt:
            _tell_how_to_go_on(console, folder)
            raise
    return report


def export_shown(console: Console, model: str, folder: Path, provenance: Provenance, device: str) -> ModelCard:
    """Choose the threshold, measure and write weights with their card into the folder of a run, and show it; see `export`."""
    console.print("measuring on test images" if provenance.threshold else "choosing the threshold, measuring on test images")
    with show_on(console, "images") as show:
        return export(model, folder / "checkpoint.pt", folder / "weights.safetensors", provenance, device=device, tell=show)


def _text_of(progress: Progress) -> str:
    best = f", best {progress.best_score:.4f} at {progress.best_step}" if progress.best_step else ""
    return f"loss {progress.loss:.4f}{best}"


def _tell_begin(console: Console, done: Progress, loop: LoopSettings) -> None:
    if loop.is_over(done):
        console.print(f"already done: {done.steps} steps")
    elif done.steps:
        console.print(f"going on at step {done.steps} of {loop.max_steps}")


def _tell_how_to_go_on(console: Console, folder: Path) -> None:
    if steps := steps_done(folder):
        console.print(f"stopped at step {steps}; the same command goes on there", soft_wrap=True)
