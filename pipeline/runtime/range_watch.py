"""A fixed range as a `TopicWatch`: its bounds are those of the log, and lag counts what is left of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from contracts.archive_range import ArchiveRange
from contracts.position import TopicPartition
from pipeline.kafka.topics import TopicInfo
from pipeline.runtime.resources import TopicWatch


class RangeWatch:
    """Watches the range of an archive; of a topic, also that it is still the same. A context manager."""

    def __init__(self, archive: ArchiveRange, cluster: AbstractContextManager[TopicWatch] | None = None) -> None:
        """Nothing is asked yet.

        Args:
            archive: the range.
            cluster: where its topic is; None for files.
        """
        self._archive = archive
        self._connection = cluster
        self._cluster: TopicWatch | None = None
        self._info = TopicInfo(archive.topic_id, tuple(each.number for each in archive.partitions))

    def __enter__(self) -> Self:
        """For one question or several."""
        self._cluster = None if self._connection is None else self._connection.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.__exit__(kind, error, trace)

    def find(self, topic: str) -> TopicInfo | None:
        """Id and partitions of the range."""
        self.verify(topic, self._archive.topic_id)
        return self._info

    def verify(self, topic: str, topic_id: str) -> None:
        """Raises StopPipeline when the topic is gone or another one."""
        if self._cluster is not None:
            self._cluster.verify(topic, topic_id)

    def begin_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """First offset of each partition of the range."""
        return {TopicPartition(topic, each.number): each.start for each in self._archive.partitions}

    def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """Exclusive end of each."""
        return {TopicPartition(topic, each.number): each.stop for each in self._archive.partitions}

    def hint(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Lag tools look at the stream, and an archive says nothing to them."""
