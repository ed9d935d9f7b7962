"""The live view of a running stream: a panel that redraws on a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.terminal.notices import Notices, pace, silent_words, waiting
from deploy.terminal.words import count, listed, seconds
from pipeline.runtime.progress import StreamProgress

if TYPE_CHECKING:
    from pipeline.runtime.progress import TaskProgress

LINE_EVERY_S = 5.0
_STATE_STYLE = {"streaming": "green", "restarting": "bold red", "draining": "yellow", "done": "green"}


class StreamView(Protocol):
    """Shows snapshots of a stream until it is closed."""

    def __enter__(self) -> Self:
        """Begin showing."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the screen in order."""
        ...

    def show(self, progress: StreamProgress) -> None:
        """Take the newest snapshot; may be called from any thread."""
        ...

    def say(self, text: str) -> None:
        """One line that stays, above what redraws."""
        ...


def open_view(console: Console, title: str = "irstream") -> StreamView:
    """The view that fits: a panel on a terminal, else a line every few seconds."""
    return PanelView(console, title) if console.is_terminal and not console.is_dumb_terminal else LineView(console)


class PanelView:
    """A panel at the bottom of the terminal, redrawn with each snapshot."""

    def __init__(self, console: Console, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is drawn before `__enter__`."""
        self._title = title
        self._clock = clock
        self._progress, self._shown_s = StreamProgress(), clock()
        self._notices = Notices()
        self._live = Live(console=console, refresh_per_second=1, transient=False, get_renderable=self._panel)

    def __enter__(self) -> Self:
        """Begin drawing."""
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the last panel standing."""
        self._live.stop()

    def show(self, progress: StreamProgress) -> None:
        """Redraw."""
        self._progress, self._shown_s = progress, self._clock()
        for text in self._notices.of(progress):
            self.say(text)
        self._live.refresh()

    def _panel(self) -> Panel:
        """The newest snapshot; its times go on while there is no newer one, so that a start of a minute is seen to live."""
        progress = self._progress
        if progress.state == "done":
            return panel(progress, self._title)
        since_s = self._clock() - self._shown_s
        away_s = progress.away_s + since_s if progress.away else 0.0
        return panel(replace(progress, elapsed_s=progress.elapsed_s + since_s, away_s=away_s), self._title)

    def say(self, text: str) -> None:
        """Print above the panel."""
        self._live.console.print(text, markup=False, highlight=False)


class LineView:
    """One plain line every few seconds, and at each change of state: for logs and pipes."""

    def __init__(
        self,
        console: Console,
        every_s: float = LINE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Print to `console`, not more often than `every_s`, each line with the time of `now`."""
        self._console = console
        self._now = now
        self._notices = Notices()
        self._every_s = every_s
        self._clock = clock
        self._due_s = float("-inf")
        self._shown: tuple[str, int, str] | None = None

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to put back."""

    def show(self, progress: StreamProgress) -> None:
        """Print the snapshot when its time has come or the state has changed, and before it what has come about."""
        for text in self._notices.of(progress):
            self.say(text)
        state = (progress.state, progress.generation, progress.note)
        now_s = self._clock()
        if state == self._shown and now_s < self._due_s:
            return
        self._shown, self._due_s = state, now_s + self._every_s
        self.say(line(progress))

    def say(self, text: str) -> None:
        """Print one line, never wrapped or coloured, with the time of day (UTC); lines of a log in JSON have one of their own."""
        stamp = "" if text.startswith("{") else f"{self._now().astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} "
        self._console.print(stamp + text, markup=False, highlight=False, soft_wrap=True)


def line(progress: StreamProgress) -> str:
    """A snapshot as one line of text."""
    parts = [
        f"[{seconds(progress.elapsed_s)}] {progress.state}",
        f"in {count(progress.frames_in)} ({progress.fps_in:.1f}/s)",
        f"out {count(progress.frames_out)} ({progress.fps_out:.1f}/s)",
        f"lag {_lag(progress)}",
        f"latency p50 {seconds(progress.latency_p50_s)} p99 {seconds(progress.latency_p99_s)}",
        f"detections {count(progress.detections)}{_suppressed(progress)}",
        f"rejected {count(progress.rejected)}",
    ]
    if progress.tasks:
        parts.append("batch " + " ".join(f"{task.task} {task.batch_size_mean:.1f}" for task in progress.tasks))
    if progress.generation > 1:
        parts.append(f"generation {progress.generation}")
    parts += [text for text in (pace(progress), waiting(progress), silent_words(progress.silent), progress.note) if text]
    return ", ".join(parts)


def panel(progress: StreamProgress, title: str) -> Panel:
    """A snapshot as a panel."""
    state = Text(progress.state, style=_STATE_STYLE.get(progress.state, "cyan"))
    head = Text.assemble(state, f"   generation {progress.generation}   {seconds(progress.elapsed_s)}")
    flow = Table(box=None, pad_edge=False, expand=True)
    for name in ("frames in", "rows out", "lag", "latency p50", "p99", "detections", "rejected"):
        flow.add_column(name, justify="right", header_style="dim", no_wrap=True)
    flow.add_row(
        count(progress.frames_in),
        count(progress.frames_out),
        _lag(progress),
        seconds(progress.latency_p50_s),
        seconds(progress.latency_p99_s),
        count(progress.detections),
        Text(count(progress.rejected), style="yellow" if progress.rejected else ""),
        style="bold",
    )
    flow.add_row(f"{progress.fps_in:.1f}/s", f"{progress.fps_out:.1f}/s", style="dim")
    parts: list[RenderableType] = [head, flow]
    if progress.suppressed:
        words = f"{count(sum(progress.suppressed.values()))} of the detections suppressed: {listed(progress.suppressed)}"
        parts.append(Text(words, style="dim"))
    if progress.lag is not None and progress.frames_out + progress.lag > 0:
        parts.append(ProgressBar(total=progress.frames_out + progress.lag, completed=progress.frames_out))
    if progress.tasks:
        parts.append(_task_table(progress.tasks))
    notes = (waiting(progress), pace(progress), silent_words(progress.silent), progress.note)
    parts += [Text(words, style="yellow") for words in notes if words]
    return Panel(Group(*parts), title=Text(title), title_align="left")  # a table's path may hold brackets


def _task_table(tasks: tuple[TaskProgress, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("task", "batch size", "batches closed because"):
        table.add_column(name, header_style="dim")
    for task in tasks:
        total = sum(task.closed_by.values())
        causes = sorted(task.closed_by.items(), key=lambda item: -item[1])
        shares = ", ".join(f"{cause} {100 * number / total:.0f} %" for cause, number in causes if number)
        table.add_row(task.task, f"{task.batch_size_mean:.1f}", shares)
    return table


def _suppressed(progress: StreamProgress) -> str:
    return f" ({count(sum(progress.suppressed.values()))} suppressed)" if progress.suppressed else ""


def _lag(progress: StreamProgress) -> str:
    return "?" if progress.lag is None else count(progress.lag)
