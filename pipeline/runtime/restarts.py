"""Restarts: the pause after a failed generation, and when trying makes no sense any more."""

from __future__ import annotations

import time
from collections.abc import Callable

from contracts.errors import IrstreamError, ProcessFailed
from pipeline.table.watermark import CommitRefused

_PAUSE_MAX_S = 5.0
_DOUBLINGS = 30
_FRUITLESS_RESTARTS = 10
_REFUSALS, _REFUSALS_WITHIN_S = 5, 120.0


class RestartPolicy:
    """Counts the failures of one stream."""

    def __init__(self, first_pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing has failed yet.

        Args:
            first_pause_s: after one failure; doubles up to 5 s as long as no generation brings a row to the table.
            clock: seconds.
        """
        self._first_pause_s = first_pause_s
        self._clock = clock
        self._fruitless = 0
        self._refused_at: list[float] = []

    def pause_after(self, failure: BaseException, *, committed: bool) -> float:
        """Seconds to wait before the next generation.

        Args:
            failure: why the last one ended.
            committed: whether it brought anything to the table.

        Raises:
            ProcessFailed: ten in a row brought nothing, and the last failure is not one that is known to pass.
        """
        self._fruitless = 1 if committed else self._fruitless + 1
        if self._fruitless >= _FRUITLESS_RESTARTS and not isinstance(failure, IrstreamError):
            raise ProcessFailed(
                expected="a generation that brings at least one row to the table",
                got=f"{self._fruitless} failures in a row, the last: {failure!r}",
                where="stream",
                action="This will not heal in this process: see the log, start it again.",
            ) from failure
        # The exponent is bounded: an outage of hours is a thousand failures, and 2 ** 1024 is no float any more.
        return min(_PAUSE_MAX_S, self._first_pause_s * 2.0 ** min(self._fruitless - 1, _DOUBLINGS))

    def count_refusal(self, refused: CommitRefused) -> None:
        """The table has refused a commit although the partitions are ours.

        Raises:
            CommitRefused: for the fifth time within 120 s: somebody writes this run who is no member of our group.
        """
        now = self._clock()
        self._refused_at = [at for at in self._refused_at if now - at < _REFUSALS_WITHIN_S] + [now]
        if len(self._refused_at) >= _REFUSALS:
            raise refused
