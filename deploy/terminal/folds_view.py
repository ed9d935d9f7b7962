"""Folds as their person sees them while they train: a table on a terminal, lines elsewhere, JSON lines for programs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from deploy.terminal.progress import minutes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

FoldsTold = Mapping[int, Mapping[str, Any]]
Emit = Callable[[Mapping[str, Any]], None]


class FoldsView:
    """Progress of folds, and how long they will take."""

    def __init__(
        self, show: Callable[[Table], None] | None, say: Callable[[str], None], emit: Emit | None, now: Callable[[], float]
    ) -> None:
        """Know where to show.

        Args:
            show: draws the table on a terminal; None: lines.
            say: prints a line.
            emit: gets an object for programs, in place of lines.
            now: seconds.
        """
        self._show, self._say, self._emit, self._now = show, say, emit, now
        self._begun: dict[int, tuple[float, int]] = {}
        self._seen: dict[int, tuple[str, int]] = {}

    def __call__(self, folds: FoldsTold) -> None:
        """Show where the folds are."""
        for fold, told in sorted(folds.items()):
            if told.get("state") == "training" and told.get("steps", 0) > 0:
                self._begun.setdefault(fold, (self._now(), int(told["steps"])))
            mark = (str(told["state"]), epoch_of(told))
            if self._seen.get(fold, ("waiting", 0)) != mark:
                self._seen[fold] = mark
                self._changed(fold, told)
        if self._show is not None:
            self._show(self._table(folds))

    def _changed(self, fold: int, told: Mapping[str, Any]) -> None:
        if self._emit is not None:
            self._emit({"event": "fold", "fold": fold, "epoch": epoch_of(told), **told})
        elif self._show is None:
            self._say(", ".join(each for each in (f"fold {fold}", *self._cells(fold, told)) if each))

    def _cells(self, fold: int, told: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
        each = int(told.get("steps_an_epoch") or 0)
        epochs = f"epoch {epoch_of(told)} of {round(told['of'] / each)}" if each and told.get("of") else ""
        loss = f"loss {told['loss']:.4f}" if told.get("loss") is not None else ""
        best = f"best {told['best']:.4f}" if told.get("best") is not None else ""
        return str(told["state"]), epochs, loss, best, self._left(fold, told)

    def _left(self, fold: int, told: Mapping[str, Any]) -> str:
        begun_s, first = self._begun.get(fold, (0.0, 0))
        done = int(told.get("steps", 0)) - first
        if told.get("state") != "training" or done <= 0:
            return ""
        return f"{minutes((self._now() - begun_s) * (told['of'] - told['steps']) / done)} left"

    def _table(self, folds: FoldsTold) -> Table:
        from rich.table import Table

        table = Table(*("fold", "state", "epoch", "loss", "validation", "time left"))
        for fold, told in sorted(folds.items()):
            cells = self._cells(fold, told)
            figures = told.get("figures")
            known = [f"{name} {value:.4f}" for name, value in (figures or {}).items() if value is not None]
            left = ", ".join(known[:2]) or cells[-1]
            table.add_row(str(fold), *(cell.removeprefix("epoch ").removeprefix("loss ") for cell in cells[:-1]), left)
        return table


def epoch_of(told: Mapping[str, Any]) -> int:
    """Whole epochs that are done."""
    return int(told.get("steps", 0)) // int(told.get("steps_an_epoch") or 1) if told.get("steps_an_epoch") else 0


@contextmanager
def shown_folds(console: Console, emit: Emit | None = None, now: Callable[[], float] = time.monotonic) -> Iterator[FoldsView]:
    """A view while the block runs.

    Args:
        console: to draw on.
        emit: gets objects for programs; None: people look.
        now: seconds.
    """

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False, highlight=False)

    if emit is not None or not console.is_terminal:
        yield FoldsView(None, say, emit, now)
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=4) as live:
        yield FoldsView(live.update, say, None, now)
