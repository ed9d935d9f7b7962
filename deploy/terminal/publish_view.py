"""Progress of `irstream publish`: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from contracts.text import counted
from deploy.terminal.consoles import SafeConsole
from pipeline.publish import PublishProgress

_LINE_EVERY_S = 5.0
Show = Callable[[PublishProgress], None]


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """An event that Ctrl-C and SIGTERM set; a second Ctrl-C ends at once."""
    stop = Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def show_progress(topic: str, *, quiet: bool = False) -> Iterator[Show]:
    """A function that shows progress on stderr: a bar on a terminal, else a line every few seconds; problems always."""
    console = SafeConsole(stderr=True, soft_wrap=True)
    problems = _Problems(console)
    if console.is_terminal and not quiet:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(topic, total=None, rate="")

            def draw(progress: PublishProgress) -> None:
                problems.report(progress)
                bar.update(task, completed=progress.sent, total=progress.total, rate=rate_text(progress))

            yield draw
        return
    last_line_s = 0.0

    def write(progress: PublishProgress) -> None:
        nonlocal last_line_s
        problems.report(progress)
        if not quiet and progress.elapsed_s - last_line_s >= _LINE_EVERY_S:
            last_line_s = progress.elapsed_s
            sys.stderr.write(f"{topic}: {progress.sent} sent, {progress.pending} not yet acknowledged, {rate_text(progress)}\n")

    yield write


class _Problems:
    """Reports each problem once, when it appears."""

    def __init__(self, console: Console) -> None:
        self._console, self._reported = console, 0

    def report(self, progress: PublishProgress) -> None:
        for problem in progress.problems[self._reported :]:
            self._console.print(f"skipped {problem}", style="yellow", markup=False, highlight=False)
        self._reported = len(progress.problems)


def rate_text(progress: PublishProgress) -> str:
    """Achieved against asked, and why when it is not kept."""
    achieved = f"{progress.fps_achieved:.1f} frames/s"
    if progress.fps_asked is None:
        return achieved
    if progress.keeps_rate:
        return f"{achieved} of {progress.fps_asked:g}"
    return f"{achieved} of {progress.fps_asked:g} asked: the {progress.bottleneck} is too slow"


def print_summary(
    summary: PublishProgress, topic: str, left_out: Sequence[str] = (), sensors_in: Mapping[int, int] | None = None, partitions: int = 0
) -> None:
    """The last lines, on stdout: frames sent, frames skipped and why, files that were no input.

    Args:
        summary: of the whole publication.
        topic: where to.
        left_out: a sentence each.
        sensors_in: number of sensors in each partition that has any; it is said where some partitions stay empty.
        partitions: of the topic.
    """
    console = SafeConsole(soft_wrap=True, highlight=False)
    how = "interrupted after" if summary.interrupted else "in"
    megabytes = summary.sent_bytes / 1e6
    console.print(
        f"{counted(summary.acked, 'frame')} of {counted(summary.sensors, 'sensor')} in topic {topic}, {megabytes:.1f} MB, "
        f"{how} {summary.elapsed_s:.1f} s",
        markup=False,
    )
    console.print(f"  rate     {rate_text(summary)}", markup=False)
    if not summary.keeps_rate:
        console.print(
            f"  late     the schedule was moved by {summary.moved_s:.1f} s; making frames took {summary.making_s:.1f} s, "
            f"sending them {summary.sending_s:.1f} s",
            markup=False,
        )
    if summary.skipped:
        console.print(f"  skipped  {counted(summary.skipped, 'frame')} that could not be sent; first: {summary.problems[0]}", markup=False)
    if sensors_in and len(sensors_in) < min(partitions, sum(sensors_in.values())):
        each = ", ".join(f"{counted(num, 'sensor')} in {partition}" for partition, num in sensors_in.items())
        console.print(
            f"  spread   {len(sensors_in)} of {partitions} partitions: {each}; Kafka divides ids by a hash (docs/kafka.md)", markup=False
        )
    for sentence in left_out:
        console.print(f"  left out {sentence}", markup=False)
