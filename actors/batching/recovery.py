"""Running one batch so that trouble costs as few items as possible.

Out of memory: the batch is halved and tried again. Any other error: the batch is bisected until the item that causes it
stands alone. A rejected row is final, so an item is called poison only when it failed alone twice while a probe of the same
shape went through; when the probe fails too, the network or its device is sick and no item is blamed.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import structlog

from actors.reply import FramePoison
from contracts.errors import RetryLater

Item = TypeVar("Item")
Result = TypeVar("Result")
RunBatch = Callable[[Hashable, Sequence[Item]], Sequence[Result]]
Probe = Callable[[Hashable], None]
MAX_DETAIL_CHARS = 500
_log = structlog.get_logger(__name__)


class RunnerFailed(RetryLater):
    """The network or its device is sick: every item fails, so none of them is to blame."""


@dataclass(slots=True)
class Recovered(Generic[Result]):
    """Outcome of one batch.

    Attributes:
        results: one per item, in order.
        attempts: how often the network was run; 1 for a batch without trouble.
        out_of_memory: how many of the attempts ran out of memory.
        fits: after running out of memory, the largest size still worth trying; None without such trouble.
    """

    results: list[Result | FramePoison] = field(default_factory=list)
    attempts: int = 0
    out_of_memory: int = 0
    fits: int | None = None


class Recovery(Generic[Item, Result]):
    """Wraps the callable that computes a batch."""

    def __init__(
        self, run_batch: RunBatch[Item, Result], is_out_of_memory: Callable[[BaseException], bool], probe: Probe | None = None
    ) -> None:
        """Wrap `run_batch`.

        Args:
            run_batch: computes the results of items of one key, one per item, in order.
            is_out_of_memory: whether an error of `run_batch` means that a smaller batch may succeed.
            probe: computes something harmless of the same shape (key) and raises when even that fails;
                None to trust the network and blame the item.
        """
        self._run_batch = run_batch
        self._is_out_of_memory = is_out_of_memory
        self._probe = probe

    def run(self, key: Hashable, items: Sequence[Item]) -> Recovered[Result]:
        """Compute a batch, whatever it takes.

        Raises:
            RunnerFailed: the network fails on the probe too, or broke its promise of one result per item.
        """
        recovered = Recovered[Result]()
        recovered.results = self._results_of(key, items, recovered)
        return recovered

    def _results_of(self, key: Hashable, items: Sequence[Item], recovered: Recovered[Result]) -> list[Result | FramePoison]:
        results, trouble = self._attempt(key, items, recovered)
        if trouble is None:
            return results
        if len(items) > 1:
            half = (len(items) + 1) // 2
            return [*self._results_of(key, items[:half], recovered), *self._results_of(key, items[half:], recovered)]
        self._require_health(key, trouble)
        results, trouble = self._attempt(key, items, recovered, final=True)
        return results if trouble is None else [FramePoison(trouble)]

    def _attempt(
        self, key: Hashable, items: Sequence[Item], recovered: Recovered[Result], *, final: bool = False
    ) -> tuple[list[Result | FramePoison], str | None]:
        """One run of the network: results, or the text of what went wrong.

        Only text leaves this function: an error object holds the stack, the stack holds the tensors, and their memory is
        what the halves need.
        """
        recovered.attempts += 1
        try:
            results: list[Result | FramePoison] = list(self._run_batch(key, items))
        except Exception as error:  # noqa: BLE001 - whatever a network raises on an item is what we are here to contain
            if self._is_out_of_memory(error):
                recovered.out_of_memory += 1
                recovered.fits = min(recovered.fits or len(items), max(1, len(items) // 2))
            if final:
                _log.warning("item_is_poison", shape=str(key), trace=traceback.format_exc())
            return [], describe(error)
        if len(results) != len(items):
            raise _failed(key, f"{len(results)} results for {len(items)} items")
        return results, None

    def _require_health(self, key: Hashable, trouble: str) -> None:
        if self._probe is None:
            return
        try:
            self._probe(key)
        except Exception as error:
            raise _failed(key, f"{trouble}; the probe failed too: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """The error in one line for a column of the table: type and text, cut to `MAX_DETAIL_CHARS`."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:MAX_DETAIL_CHARS]


def _failed(key: Hashable, got: str) -> RunnerFailed:
    return RunnerFailed(
        expected="a network that computes one result per item",
        got=got,
        where=f"batch of shape {key}",
        action="Nothing was lost; restart the model actor, then look at its device (memory, other processes) and its log.",
    )
