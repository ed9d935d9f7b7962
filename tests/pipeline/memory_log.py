"""A topic in memory: passes the same tests as `SteadyProducer` with a real broker."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.frame import RawRecord
from contracts.position import KafkaPosition


class MemoryProducer:
    """Takes messages like `SteadyProducer`; every one is acknowledged at once. `records` is the topic."""

    def __init__(self) -> None:
        self.records: list[RawRecord] = []
        self.acked = 0
        self.pending = 0

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> None:
        position = KafkaPosition(topic, partition or 0, len(self.records))
        self.records.append(RawRecord(position, key, value, tuple(headers), timestamp_ms or 0))
        self.acked += 1

    def flush(self, timeout_s: float) -> None:
        assert timeout_s > 0
