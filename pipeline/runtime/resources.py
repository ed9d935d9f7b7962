"""Resources that a stream is given from outside; Kafka and Ray are behind these few methods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from contracts.position import TopicPartition
from pipeline.events.alerts import AlertPublisher
from pipeline.ingest.interfaces import Reading, ReadPlan
from pipeline.kafka.group import Assignment
from pipeline.kafka.topics import TopicInfo
from pipeline.table.committer import DeadLetters


class TopicWatch(Protocol):
    """Questions about topics; `ClusterWatch` and `MemoryTopic` answer them. Each may raise RetryLater."""

    def find(self, topic: str) -> TopicInfo | None:
        """Id and partitions of a topic; None when there is none of this name."""
        ...

    def verify(self, topic: str, topic_id: str) -> None:
        """Raises StopPipeline when the topic is gone or another one."""
        ...

    def begin_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """First offset of each partition that retention has left."""
        ...

    def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """Next offset of each partition."""
        ...

    def hint(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Show lag tools how far we are; never fails."""
        ...


class Members(Protocol):
    """The partitions that are this driver's; `Membership` and `MemoryMembership` say so."""

    def assignment(self, timeout_s: float) -> Assignment | None:
        """The present assignment; waits for one; None when there is none within the time.

        Raises:
            StopPipeline: this user may not join the group.
        """
        ...

    def give_up(self, assignment: Assignment) -> None:
        """Everything read of an ended assignment is visible or dropped: its partitions may move."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class StreamResources:
    """Resources that live longer than a generation.

    Attributes:
        loop: the asyncio loop (in a thread of its own) the routers run on.
        alerts: of the frames with detections.
        dead_letters: of rejected messages.
        members: which partitions are ours.
        watch: the committer's own connection for its last look at the topic.
        open_watch: another connection, for the time of the context.
        open_reading: source and coordinator of a new generation, which closes the coordinator.
    """

    loop: asyncio.AbstractEventLoop
    alerts: AlertPublisher
    dead_letters: DeadLetters
    members: Members
    watch: TopicWatch
    open_watch: Callable[[], AbstractContextManager[TopicWatch]]
    open_reading: Callable[[ReadPlan], Reading]
