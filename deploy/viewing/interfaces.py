"""Interfaces of the page's feeds; Kafka and the table are the real ones, memory stands in for them in tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from contracts.frame import RawRecord
from contracts.position import TopicPartition
from contracts.result import Outcome


class Tail(Protocol):
    """The newest messages of some topics. Not for several threads."""

    @property
    def skipped(self) -> int:
        """Messages that were stepped over because we came too late for them."""
        ...

    def poll(self, max_wait_s: float) -> list[RawRecord]:
        """The next messages, each partition in order, as soon as there are any; none after `max_wait_s`.

        Raises:
            RetryLater: nobody answers; another tail may be opened later.
            StopPipeline: not allowed to.
        """
        ...

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Next offset of each partition; errors as `poll`."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class RowFeed(Protocol):
    """Rows of a run as they become visible. Not for several threads."""

    def poll(self) -> list[Outcome]:
        """Rows that came since the last call, each partition in order; at the first call some of the newest.

        Raises:
            RetryLater: the object store does not answer.
            SettingsError: there is no table (yet).
        """
        ...

    @property
    def next_offsets(self) -> Mapping[TopicPartition, int]:
        """Next offset of each partition as of the last call."""
        ...
