"""What alerts, dead letters and the committer need of a Kafka producer; `SteadyProducer` is the real one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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


def event_headers(event_type: str, event_id: str, run_id: str) -> list[tuple[str, bytes]]:
    """CloudEvents headers (Kafka binding, binary mode) of a JSON message."""
    values = {
        "ce_specversion": "1.0",
        "ce_type": event_type,
        "ce_id": event_id,
        "ce_source": f"irstream/{run_id}",
        "content-type": "application/json",
    }
    return [(name, value.encode()) for name, value in values.items()]
