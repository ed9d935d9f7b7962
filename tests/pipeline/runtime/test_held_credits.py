"""Credits that are held because rows pile up come back as soon as they no longer do, also of rows that wait for others."""

from __future__ import annotations

from typing import Any, cast

from contracts.limits import InputLimits
from contracts.position import OffsetRange
from pipeline.inference.patience import Patience
from pipeline.inference.rules import LiveRules
from pipeline.inference.shadow import LiveShadow
from pipeline.ingest.interfaces import Coordinator, Reading, ReadPlan
from pipeline.ingest.read_coordinator import ReadStatus
from pipeline.runtime.generation import Generation, GenerationParts
from pipeline.runtime.stats import StreamStats
from pipeline.settings import StreamSettings
from tests.pipeline.inference.rule_networks import RuleNetworks


class Credits:
    """A coordinator that keeps what is given back."""

    def __init__(self) -> None:
        self.given: list[tuple[int, int]] = []

    def credit(self, num_blocks: int, num_bytes: int) -> None:
        self.given.append((num_blocks, num_bytes))

    def status(self) -> ReadStatus:
        return ReadStatus()


def span(start: int, stop: int) -> OffsetRange:
    return OffsetRange("frames", 0, start, stop)


def test_credits_of_rows_behind_a_hole_come_back_with_the_room() -> None:
    plan = ReadPlan("frames", "id", {0: 0}, {0: 100}, StreamSettings(uncommitted_rows=4), InputLimits())
    credits = Credits()
    nothing: Any = None  # no block is read, routed or committed here
    reading = Reading(nothing, cast(Coordinator, credits))
    models, stats = RuleNetworks().handles(), StreamStats()
    parts = GenerationParts(plan, reading, models, LiveRules(), LiveShadow(), nothing, nothing, stats, nothing, Patience(1.0))
    generation = Generation(parts)
    generation._credit(span(0, 3), 10)
    assert credits.given == [(1, 10)]
    generation._credit(span(8, 11), 20)  # six rows, and nobody has read 3 to 7 yet
    generation._credit(span(11, 12), 30)
    assert credits.given == [(1, 10)], "held"
    generation.on_committed([span(0, 3)])
    assert credits.given == [(1, 10), (2, 50)], "those who read 3 to 7 would wait for ever"
