"""Progress of long work, on stderr: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

LINE_EVERY_S = 30.0


class Show(Protocol):
    """Shows how far each part of some work is."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(self, *_: object) -> None:
        """End to show."""
        ...

    def __call__(self, part: str, done: int, of: int, note: str = "") -> None:
        """So much of a part is done, and what else there is to say."""
        ...


class Bars:
    """On a terminal: a bar for each part."""

    def __init__(self, console: Console, unit: str) -> None:
        """Know where to draw, and what is counted."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        text = TextColumn(unit + "  {task.description}", markup=False)  # a folder may be called run[v2]
        self._bar = Progress(BarColumn(), MofNCompleteColumn(), text, TimeElapsedColumn(), TimeRemainingColumn(), console=console)
        self._parts: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state there."""
        self._bar.stop()

    def __call__(self, part: str, done: int, of: int, note: str = "") -> None:
        """See `Show`."""
        description = ", ".join(each for each in (part, note) if each)
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
        self._shown_s = clock()

    def __enter__(self) -> Self:
        """Nothing to begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def __call__(self, part: str, done: int, of: int, note: str = "") -> None:
        """See `Show`."""
        now_s = self._clock()
        start_s, start = self._begun.setdefault(part, (now_s, done))
        if now_s - self._shown_s < LINE_EVERY_S:
            return
        self._shown_s = now_s
        elapsed_s = now_s - start_s
        left = f"{minutes(elapsed_s * (of - done) / (done - start))} left" if done > start else "time left not known"
        parts = (part, f"{done}/{of} {self._unit}", note, f"{minutes(elapsed_s)} gone", left)
        self._console.print(", ".join(each for each in parts if each), soft_wrap=True, markup=False, highlight=False)


def minutes(seconds: float) -> str:
    """`h:mm:ss`."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def show_on(console: Console, unit: str) -> Show:
    """Bars on a terminal, else lines."""
    return Bars(console, unit) if console.is_terminal else Lines(console, unit)
