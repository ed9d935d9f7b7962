"""A producer that sends nothing: what an archive finds is old, and no news for anybody."""

from __future__ import annotations

from pipeline.kafka.interfaces import Headers


class NoProducer:
    """A `Producer` that drops what it is given."""

    def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Drop a message."""

    def flush(self, timeout_s: float) -> None:
        """Nothing waits."""
