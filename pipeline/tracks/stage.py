"""The place of tracks in the stream: between the order of the log and the commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from contracts.position import OffsetRange, TopicPartition
from contracts.result import FrameResult, Outcome
from pipeline.tracks.tracker import PartitionTracks, TargetEvent


class TrackStage:
    """Tracks of all partitions of a generation. Not thread-safe: the committer's thread calls it."""

    def __init__(self, partitions: Mapping[TopicPartition, PartitionTracks], publish: Callable[[Sequence[TargetEvent]], None]) -> None:
        """Begin where the table stands.

        Args:
            partitions: tracks of each, as the rows of the table left them.
            publish: takes what is to be reported, all or nothing; it never blocks.
        """
        self._partitions = dict(partitions)
        self._publish = publish
        self._events: list[TargetEvent] = []

    def advance(self, span: OffsetRange, outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
        """The outcomes of the next span of a partition with their tracks; what is to be reported waits for `publish`."""
        tracks = self._partitions[span.topic_partition]
        tracked: list[Outcome] = []
        for outcome in outcomes:
            if isinstance(outcome, FrameResult):
                with_tracks, changes = tracks.advance(outcome)
                tracked.append(with_tracks)
                self._events += changes
            else:
                tracked.append(outcome)
        self._events += tracks.passed(span.stop - 1)
        return tuple(tracked)

    def publish(self) -> None:
        """Report what `advance` left to report: of one commit, and before it.

        Raises:
            RetryLater: events cannot be taken now; they wait on.
        """
        if self._events:
            self._publish(self._events)
            self._events = []
