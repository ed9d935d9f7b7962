"""A network for batcher tests: it has a speed, a memory, items that poison it, and it can fall ill."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from actors.batching.batcher import DynamicBatcher
from actors.batching.buckets import ItemSize
from actors.settings import BatchPolicy
from tests.actors.virtual_time import VirtualExecutor


@dataclass(frozen=True)
class FakeItem:
    """One item; its correct result is `("done", number)`."""

    number: int
    key: str = "a"
    pixels: int = 1
    num_bytes: int = 1
    poison: bool = False


@dataclass(frozen=True)
class Run:
    """One call of the network."""

    at_s: float
    key: Hashable
    numbers: tuple[int, ...]


@dataclass
class FakeNetwork:
    """Computes `item_s` per item; fails as its fields say.

    Attributes:
        capacity: items that fit into memory together.
        sick: fails whatever it is given, the probe too.
        hiccups: how many of the next calls fail for no reason of the items.
        runs: every call, in order.
    """

    item_s: float = 0.001
    capacity: int = 1_000_000
    sick: bool = False
    hiccups: int = 0
    runs: list[Run] = field(default_factory=list)
    probes: int = 0

    def run_batch(self, key: Hashable, items: Sequence[FakeItem]) -> list[tuple[str, int]]:
        """Results of one batch."""
        self.runs.append(Run(asyncio.get_running_loop().time(), key, tuple(item.number for item in items)))
        if self.sick:
            raise RuntimeError("device lost")
        if self.hiccups:
            self.hiccups -= 1
            raise RuntimeError("hiccup")
        if len(items) > self.capacity:
            raise MemoryError("out of memory")
        if any(item.poison for item in items):
            raise ValueError("this item is poison")
        return [("done", item.number) for item in items]

    def probe(self, key: Hashable) -> None:
        """What the actors do with zeros."""
        self.probes += 1
        if self.sick:
            raise RuntimeError("device lost")

    def duration_s(self, key: Hashable, items: Sequence[FakeItem]) -> float:
        """How long a batch takes."""
        return self.item_s * len(items)

    def batcher(self, max_running: int = 1, **policy: float | None) -> DynamicBatcher[FakeItem, tuple[str, int]]:
        """A batcher in front of this network, in virtual time."""
        return DynamicBatcher(
            self.run_batch,
            lambda item: ItemSize(item.key, item.pixels, item.num_bytes),
            BatchPolicy.model_validate({"deadline_s": None} | policy),
            VirtualExecutor(self.duration_s, max_running),
            probe=self.probe,
            max_running=max_running,
            ceiling_s=60.0,
        )


def items_of(*numbers: int, key: str = "a", pixels: int = 1, num_bytes: int = 1) -> list[FakeItem]:
    """Harmless items."""
    return [FakeItem(number, key, pixels, num_bytes) for number in numbers]
