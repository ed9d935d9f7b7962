"""Membership: a Kafka consumer group divides the partitions among the drivers of one run.

The group reads nothing and commits nothing; it only says who is alive and who has which partition. Before partitions move,
their old owner makes visible what it has read (`give_up`), so the next one begins where the table stands. Whoever is frozen
for longer than the session loses its assignment unasked; the table refuses what it then tries to commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import structlog
from kafka import KafkaConsumer
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import GroupAuthorizationFailedError, KafkaError, RetriableError

from contracts.errors import StopPipeline
from pipeline.kafka.client import connect_consumer, while_running
from pipeline.kafka.kafka_python_internals import finish_joining, sleep
from pipeline.kafka.settings import KafkaSettings

_POLL_S = 0.2
_AGAIN_S = 1.0
# A driver that gives up its assignment may take this long to make visible what it has read.
_REBALANCE_S = 300.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """The partitions a driver owns, until `ended`.

    Attributes:
        partitions: their numbers; none when there are more drivers than partitions.
        ended: set when the assignment must be given up.
        lost: set beside `ended` when the group has done without us: somebody else may own the partitions already.
    """

    partitions: frozenset[int]
    ended: threading.Event = field(default_factory=threading.Event)
    lost: threading.Event = field(default_factory=threading.Event)


class Membership:
    """A member of the drivers' group, with a thread of its own; a context manager.

    `assignment` and `give_up` belong to one thread.
    """

    def __init__(self, kafka: KafkaSettings, run_id: str) -> None:
        """Nothing is asked for before the context is entered.

        Args:
            kafka: where the broker is; `kafka.topic` is shared out.
            run_id: drivers of other runs are none of our business.
        """
        self._kafka = kafka
        self.group = f"{kafka.group_hint}.{run_id}.{kafka.topic}"
        self._changed = threading.Condition()
        self._assignment: Assignment | None = None
        self._assigned: frozenset[int] | None = None  # by the group, perhaps for a moment only
        self._given_up = threading.Event()
        self._error: StopPipeline | None = None
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="membership", daemon=True)

    def __enter__(self) -> Self:
        """Join."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave, so that the others need not wait for the end of the session."""
        self._leaving.set()
        self._thread.join(self._kafka.connect_timeout_s * 2)

    def assignment(self, timeout_s: float) -> Assignment | None:
        """The present assignment; waits for one; None when there is none within the time.

        Raises:
            StopPipeline: this user may not join the group.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._assignment is not None or self._error is not None, timeout_s)
            if self._error is not None:
                raise self._error
            return self._assignment

    def give_up(self, assignment: Assignment) -> None:
        """Everything read of an ended assignment is visible or dropped: its partitions may move."""
        with self._changed:
            if self._assignment is assignment:
                self._assignment = None
        self._given_up.set()

    def _may_go_on(self) -> bool:
        """True when the ended assignment is no longer used."""
        return self._given_up.is_set() or self._leaving.is_set()

    def _run(self) -> None:
        while not self._leaving.is_set():
            try:
                self._belong()
            except RetriableError as error:
                log.info("drivers_group_unreachable", group=self.group, error=str(error))
            except KafkaError as error:
                self._fail(error)
                return
            self._leaving.wait(_AGAIN_S)

    def _fail(self, error: KafkaError) -> None:
        where = f"joining the group of drivers {self.group}"
        found: Exception = while_running(self._kafka, error, where)
        if isinstance(error, GroupAuthorizationFailedError):
            found = StopPipeline(
                expected="the right to be a member",
                got="none",
                where=where,
                action=f"Give this user READ on groups with the prefix `{self._kafka.group_hint}.` (docs/kafka.md).",
            )
        with self._changed:
            self._error = found if isinstance(found, StopPipeline) else None
            if self._assignment is not None:
                self._assignment.ended.set()
            self._changed.notify_all()

    def _belong(self) -> None:
        """Be a member until we leave or the client fails."""
        consumer = connect_consumer(
            self._kafka,
            group_id=self.group,
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=round(self._kafka.session_timeout_s * 1000),
            heartbeat_interval_ms=round(self._kafka.session_timeout_s * 1000 / 6),
            max_poll_interval_ms=round(_REBALANCE_S * 1000),
        )
        try:
            consumer.partitions_for_topic(self._kafka.topic)  # or the first of the group shares out a topic it does not know yet
            listener = _Listener(consumer, self._note_assigned, self._end_assignment, self._may_go_on)
            consumer.subscribe([self._kafka.topic], listener=listener)
            while not self._leaving.is_set():
                settled = self._assigned
                consumer.poll(timeout_ms=round(_POLL_S * 1000))
                finish_joining(consumer)
                # The client often joins twice in a row: what is assigned counts when the next poll has left it as it is.
                if settled is not None and settled is self._assigned and self._assignment is None:
                    self._begin_assignment(settled)
        finally:
            self._end_assignment(False)
            consumer.close(autocommit=False, timeout_ms=1000)

    def _note_assigned(self, partitions: frozenset[int]) -> None:
        self._assigned = partitions

    def _begin_assignment(self, partitions: frozenset[int]) -> None:
        with self._changed:
            self._given_up.clear()
            self._assignment = Assignment(partitions)
            self._changed.notify_all()
        log.info("partitions_owned", group=self.group, partitions=sorted(partitions))

    def _end_assignment(self, lost: bool) -> bool:
        """Ask the driver to give up; False when there was nothing to give up."""
        self._assigned = None
        with self._changed:
            assignment = self._assignment
            if assignment is None:
                return False
            if lost:
                assignment.lost.set()
            assignment.ended.set()
        log.info("partitions_lost" if lost else "partitions_revoked", group=self.group, partitions=sorted(assignment.partitions))
        return True


class _Listener(AsyncConsumerRebalanceListener):
    """Runs on the loop of the client, which goes on sending heartbeats while we wait."""

    def __init__(
        self,
        consumer: KafkaConsumer,
        note_assigned: Callable[[frozenset[int]], None],
        end_assignment: Callable[[bool], bool],
        may_go_on: Callable[[], bool],
    ) -> None:
        self._consumer = consumer
        self._note_assigned = note_assigned
        self._end_assignment = end_assignment
        self._may_go_on = may_go_on

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._end(lost=False)

    async def on_partitions_lost(self, lost: Any) -> None:
        await self._end(lost=True)

    async def on_partitions_assigned(self, assigned: Any) -> None:
        # Nothing is read through this client.
        self._consumer.pause(*assigned)
        for partition in assigned:
            self._consumer.seek(partition, 0)
        self._note_assigned(frozenset(each.partition for each in assigned))

    async def _end(self, *, lost: bool) -> None:
        if self._end_assignment(lost):
            while not self._may_go_on():
                await sleep(self._consumer, _POLL_S / 2)


class TakenOver(StopPipeline):
    """Another driver goes on where this one was; it ends in good order."""

    exit_code = 1


def taken_over(refused: StopPipeline) -> StopPipeline:
    """The end of a driver that was away for too long."""
    return TakenOver(
        expected="to be the owner of the partitions it has read",
        got=f"a refused commit: another driver has taken them over ({refused.got})",
        where=refused.where,
        action="This driver was silent for longer than kafka.session_timeout_s. Nothing is lost or written twice; start it again.",
    )
