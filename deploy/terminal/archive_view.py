"""An archive on a terminal: its range, a bar with the time that is left, its end."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.table import Table
from rich.text import Text

from contracts.text import counted
from deploy.settings.mistakes import without_secrets
from deploy.terminal.progress import Show, show_on
from deploy.terminal.words import count, seconds

if TYPE_CHECKING:
    from rich.console import Console

    from contracts.archive_range import ArchiveRange
    from pipeline.reprocess import ArchiveSummary
    from pipeline.runtime.progress import StreamProgress

_SHOWN_PARTITIONS = 5


class ArchiveView:
    """Shows snapshots of an archive's driver; a `StreamView`."""

    def __init__(self, console: Console) -> None:
        """Nothing is shown before `begin`."""
        self._console = console
        self._show: Show | None = None
        self._total = 0
        self._state = ""

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the last bar standing."""
        if self._show is not None:
            self._show.__exit__(None, None, None)

    def begin(self, archive: ArchiveRange, share: tuple[int, int], text: str) -> None:
        """The range is known.

        Args:
            archive: the whole of it.
            share: number of this driver, and how many there are.
            text: what to say of it.
        """
        self.say(text)
        self._total = sum(each.stop - each.start for each in archive.share(*share).partitions)
        self._show = show_on(self._console, "frames")
        self._show.__enter__()

    def show(self, progress: StreamProgress) -> None:
        """Draw the newest snapshot; what leads to another state or generation is said."""
        state = f"{progress.state}, generation {progress.generation}" + (f": {progress.note}" if progress.note else "")
        if state != self._state and (progress.state not in ("streaming", "done") or progress.generation > 1):
            self.say(state)
        self._state = state
        if self._show is not None and progress.lag is not None:
            note = f"{progress.fps_out:.1f}/s, {count(progress.detections)} detections, {count(progress.rejected)} rejected"
            self._show("", self._total - progress.lag, self._total, note)

    def say(self, text: str) -> None:
        """One line that stays."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def range_text(archive: ArchiveRange, share: tuple[int, int]) -> str:
    """The range of a run in one line."""
    parts = [f"{each.number}: {each.start} to {each.stop}" for each in archive.partitions[:_SHOWN_PARTITIONS]]
    more = f" and {count(len(archive.partitions) - _SHOWN_PARTITIONS)} more partitions" if len(archive.partitions) > len(parts) else ""
    driver = "" if share == (1, 1) else f"; driver {share[0]} of {share[1]}"
    fixed = f"fixed {archive.stored_at:%Y-%m-%d %H:%M:%S} UTC{driver}"
    return f"run {archive.run_id}: {archive.topic}, {count(archive.num_rows)} positions ({', '.join(parts)}{more}), {fixed}"


def print_archive(console: Console, summary: ArchiveSummary) -> None:
    """Print how a driver of an archive has ended."""
    progress, share = summary.stream.progress, summary.share
    total = sum(each.stop - each.start for each in share.partitions)
    busy_s = progress.busy_s or progress.elapsed_s
    frames_per_s = progress.frames_out / busy_s if busy_s > 0 else 0.0
    table_name: str = without_secrets(("table",), summary.stream.table)
    stages = ", ".join(f"{stage} {ms:.1f}" for stage, ms in summary.stream.stage_ms_mean.items() if stage != "wait")
    rows = [
        ("run", f"{summary.range.run_id}, {summary.range.topic}"),
        ("rows", f"{count(summary.rows_now)} of {count(total)} positions, {count(summary.rows_before)} of them before this start"),
    ]
    if progress.frames_out:
        rows += [
            ("this start", f"{count(progress.frames_out)} rows, {count(progress.rejected)} rejected, {count(progress.gaps)} gaps"),
            ("detections", count(progress.detections)),
            ("throughput", f"{frames_per_s:.1f} frames/s over {seconds(busy_s)}, {counted(progress.generation, 'generation')}"),
            ("time per frame", f"{stages} ms"),
        ]
    rows.append(("table", f"{table_name}  (version {summary.stream.table_version})"))
    if share.partitions != summary.range.partitions:
        whole = sum(each.stop - each.start for each in summary.range.partitions)
        rows.insert(2, ("all drivers", f"{count(summary.all_rows_now)} of {count(whole)} positions"))
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    console.print(table)
    verdict = (
        Text(f"complete: every position has its row; prove it with irstream audit --run-id {summary.range.run_id}", style="green")
        if summary.complete
        else Text("not complete: give the command again, it goes on where the table stands", style="yellow")
    )
    console.print(verdict)
