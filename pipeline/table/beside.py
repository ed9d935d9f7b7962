"""Rows of another run that become visible in the same commit as those of ours: a shadow's.

Their run has offsets of its own. Where it has not been at work, an explicit gap row stands, from the beginning of the log on: each of its
positions up to its watermark has an outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from contracts.position import KafkaPosition, OffsetRange, TopicPartition
from contracts.result import Gap, Outcome


@dataclass(frozen=True, slots=True)
class BesideRows:
    """Rows of another run for one of our spans.

    Attributes:
        run_id: whose.
        span: the offsets that they account for, one of ours.
        outcomes: in log order; offsets without one do not belong to that run.
        passed_over: frames that stand in gap rows because nobody answered.
    """

    run_id: str
    span: OffsetRange
    outcomes: tuple[Outcome, ...]
    passed_over: int = 0


def by_run(beside: Iterable[BesideRows]) -> dict[str, list[BesideRows]]:
    """The rows of each run, in the order in which they come."""
    found: dict[str, list[BesideRows]] = {}
    for each in beside:
        found.setdefault(each.run_id, []).append(each)
    return found


def continued(
    beside: Sequence[BesideRows], next_offset: Callable[[TopicPartition], int | None]
) -> tuple[list[Outcome], Mapping[TopicPartition, int]]:
    """Rows of one run with gap rows for what lies between them, and its next offsets afterwards.

    Args:
        beside: of one run, of each partition in log order.
        next_offset: where the run stands; None where it has no row yet.
    """
    outcomes: list[Outcome] = []
    following: dict[TopicPartition, int] = {}
    for each in beside:
        name = each.span.topic_partition
        at = following.get(name, next_offset(name) or 0)
        if each.span.start < at:
            continue  # it has these rows: another driver of the same run wrote them
        if each.span.start > at:
            outcomes.append(_not_at_work(each.span, at))
        outcomes.extend(each.outcomes)
        following[name] = each.span.stop
    return outcomes, following


def _not_at_work(span: OffsetRange, start: int) -> Gap:
    now = datetime.now(UTC)
    return Gap(
        position=KafkaPosition(span.topic, span.partition, start),
        stop=span.start,
        detail=f"expected {span.topic_partition} from {start} on; got it from {span.start} on: the shadow was not at work before",
        ingested_at=now,
        finished_at=now,
    )
