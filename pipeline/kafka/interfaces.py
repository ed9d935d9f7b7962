"""Interfaces of a producer and of a partition's reader; `SteadyProducer` and `LogReader` are the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from contracts.frame import RawRecord

Headers = Sequence[tuple[str, bytes]]


class Producer(Protocol):
    """At-least-once publishing, bounded in bytes."""

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Hand over one message; blocks, bounded, while too much is unacknowledged.

        Raises:
            RetryLater: the broker has been away for too long.
        """
        ...

    def flush(self, timeout_s: float) -> None:
        """Return once everything handed over is acknowledged.

        Raises:
            RetryLater: it is not within `timeout_s`.
        """
        ...


class FrameProducer(Protocol):
    """Producer for publishing frames: also counts, and takes time and partition of a message."""

    @property
    def acked(self) -> int:
        """Messages the broker has acknowledged."""
        ...

    @property
    def pending(self) -> int:
        """Messages it has not."""
        ...

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> None:
        """As `Producer.send`; a timestamp and a partition may be given."""
        ...

    def flush(self, timeout_s: float) -> None:
        """As `Producer.flush`."""
        ...


class PartitionReader(Protocol):
    """Reads one partition in order. Not for several threads."""

    @property
    def position(self) -> int:
        """Next offset to read."""
        ...

    def seek_to(self, offset: int) -> None:
        """Continue at another offset."""
        ...

    def poll(self, max_records: int, max_wait_s: float) -> list[RawRecord]:
        """The next records in offset order, as soon as there are any; none after `max_wait_s`.

        Raises:
            RetryLater: the broker does not answer; nothing is lost or repeated by asking again.
            StopPipeline: the topic is gone or another one, or cannot be read. Final.
            GapFound: retention has deleted what comes next.
        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...
