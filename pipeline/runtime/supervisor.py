"""Generation after generation: each from where the table stands, until the stream is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import structlog

from contracts.errors import IrstreamError, StopPipeline
from contracts.position import OffsetRange, TopicPartition
from contracts.result import Outcome
from pipeline.inference.patience import Patience
from pipeline.ingest.interfaces import ReadPlan
from pipeline.kafka.group import Assignment, taken_over
from pipeline.kafka.topics import TopicInfo, recreated
from pipeline.runtime.generation import Generation, GenerationParts
from pipeline.runtime.job import StreamJob
from pipeline.runtime.lag_monitor import LagMonitor
from pipeline.runtime.resources import StreamResources
from pipeline.runtime.restarts import RestartPolicy
from pipeline.runtime.stats import StreamStats
from pipeline.table.committer import Committer
from pipeline.table.results_table import ResultsTable
from pipeline.table.watermark import CommitRefused
from pipeline.tracks.stage import TrackStage
from pipeline.tracks.tracker import PartitionTracks, needed_from

_ASSIGNMENT_POLL_S = 0.5
log = structlog.get_logger(__name__)


class Supervisor:
    """The restart loop of one stream."""

    def __init__(
        self,
        job: StreamJob,
        table: ResultsTable,
        topic: TopicInfo,
        stats: StreamStats,
        ends: Mapping[TopicPartition, int],
        resources: StreamResources,
        lag_monitor: LagMonitor,
    ) -> None:
        """Nothing runs before `run`.

        Args:
            job: what to stream.
            table: opened.
            topic: what the topic was when the stream began; a continuous stream also reads partitions that are added later.
            stats: counts of the whole stream.
            ends: where a bounded stream ends, empty for a continuous one.
            resources: what lives longer than a generation.
            lag_monitor: given where the table stands.
        """
        self._job = job
        self._table = table
        self._topic = topic
        self._stats = stats
        self._ends = {partition.partition: offset for partition, offset in ends.items()}
        self._resources = resources
        self._lag_monitor = lag_monitor
        self._committed_anything = False
        self._restarts = RestartPolicy(job.stream.restart_backoff_s)
        self._begins: dict[int, int] = {}
        self._patience = Patience(job.stream.model_timeout_s)

    def run(self, stop: threading.Event) -> bool:
        """Generation after generation until done; True when everything read is visible.

        Raises:
            TakenOver: this driver was away for too long, and another one has its partitions.
            StopPipeline: going on would lose or falsify data, or fails again and again.
        """
        number = 1
        while not stop.is_set():
            assignment = self._resources.members.assignment(_ASSIGNMENT_POLL_S)
            if assignment is None:
                continue
            self._committed_anything = False
            failure = self._try_generation(number, assignment, stop)
            if assignment.ended.is_set():
                self._resources.members.give_up(assignment)
            if failure is None:
                if stop.is_set() or (self._ends and self._caught_up()):
                    return True
                continue
            if stop.is_set():
                log.warning("stopped_without_draining", error=str(failure), kind=type(failure).__name__)
                return False
            number += 1
            if self._pause_after(failure, number, stop):
                return False
        return True

    def _pause_after(self, failure: BaseException, number: int, stop: threading.Event) -> bool:
        """Wait before generation `number`; whether the stream is stopped meanwhile."""
        pause_s = self._restarts.pause_after(failure, committed=self._committed_anything)
        log.warning("generation_failed", next_generation=number, backoff_s=pause_s, error=str(failure), kind=type(failure).__name__)
        self._stats.on_state("restarting", generation=number, note=str(failure))
        return stop.wait(pause_s)

    def _try_generation(self, number: int, assignment: Assignment, stop: threading.Event) -> BaseException | None:
        """Run one; what made it fail, or None when it is done."""
        try:
            self._run_generation(number, assignment, stop)
        except CommitRefused as refused:
            return self._after_refused_commit(refused, assignment)
        except StopPipeline:
            raise
        except Exception as error:  # any failure ends the generation, none ends the stream
            failure = _unwrapped(error)
            if isinstance(failure, StopPipeline):
                raise failure from error
            return failure
        return None

    def _after_refused_commit(self, refused: CommitRefused, assignment: Assignment) -> BaseException:
        """Another driver has moved the table: we were frozen and are no longer the owner, or a frozen one has woken up.

        Raises:
            TakenOver: the former.
            CommitRefused: again and again, so somebody writes this run who is no member of our group.
        """
        if assignment.lost.wait(self._job.kafka.session_timeout_s):
            raise taken_over(refused) from refused
        self._restarts.count_refusal(refused)
        return refused

    def _caught_up(self) -> bool:
        """True when the table has reached every end, whoever wrote it; not within a second if others still work on it."""
        next_offsets = self._table.next_offsets(self._topic_name, self._ends)
        reached = all(next_offsets.get(partition, self._begins.get(partition, 0)) >= end for partition, end in self._ends.items())
        if not reached:
            time.sleep(_ASSIGNMENT_POLL_S)
        return reached

    def _run_generation(self, number: int, assignment: Assignment, stop: threading.Event) -> None:
        if not self._ends:
            self._topic = self._present_topic()
        known = self._table.next_offsets(self._topic_name, self._topic.partitions)
        starts = {partition: start for partition, start in self._starts(known).items() if partition in assignment.partitions}
        if self._ends:
            starts = {partition: start for partition, start in starts.items() if start < self._ends.get(partition, 0)}
        if not starts:
            self._stand_by(assignment, stop)
            return
        with ExitStack() as unless_begun:
            generation = self._begin(number, starts, known, assignment, unless_begun)
            unless_begun.pop_all()
        generation.run(lambda: stop.is_set() or assignment.ended.is_set())

    def _begin(
        self, number: int, starts: dict[int, int], known: Mapping[int, int], assignment: Assignment, unless_begun: ExitStack
    ) -> Generation:
        """A generation ready to run, from when on it closes what is its own; until then `unless_begun` does."""
        plan = self._plan(starts)
        tracks = TrackStage(self._tracks(starts, known), self._resources.alerts.publish_events)
        reading = self._resources.open_reading(plan)
        unless_begun.callback(reading.coordinator.close)
        committer = Committer(
            self._table,
            topic_ids={self._topic_name: self._topic.topic_id},
            settings=self._job.sink,
            dead_letters=self._resources.dead_letters,
            starts={TopicPartition(self._topic_name, partition): start for partition, start in starts.items()},
            on_committed=lambda spans, outcomes: self._on_committed(generation, spans, outcomes),
            on_failure=lambda error: generation.fail(error),
            before_commit=lambda timeout_s: self._before_commit(tracks, timeout_s),
            in_order=tracks.advance,
            on_beside=self._stats.on_beside,
        )
        unless_begun.callback(committer.close)
        generation = Generation(
            GenerationParts(
                plan=plan,
                reading=reading,
                models=self._job.models,
                rules=self._job.rules,
                shadow=self._job.shadow,
                committer=committer,
                alerts=self._resources.alerts,
                stats=self._stats,
                loop=self._resources.loop,
                patience=self._patience,
            )
        )
        next_offsets = {TopicPartition(self._topic_name, each): at for each, at in known.items() if each in assignment.partitions}
        self._lag_monitor.begin_generation(next_offsets, assignment.partitions, generation.fail)
        committer.start()
        self._stats.on_new_readers(frozenset(assignment.partitions))
        self._stats.on_state("streaming", generation=number)
        return generation

    def _tracks(self, starts: Mapping[int, int], known: Mapping[int, int]) -> dict[TopicPartition, PartitionTracks]:
        """Tracks of each partition as the rows of the table left them."""
        rules, settings, least = self._job.rules, self._job.tracks, self._job.stream.label_min_score
        filters = lambda sensor_id: rules.now.filters(sensor_id)  # noqa: E731 - of the rules that hold by then
        begun = {each: PartitionTracks(TopicPartition(self._topic_name, each), settings, least, filters) for each in starts}
        recent = self._table.recent_frames(
            self._topic_name, {each: range(needed_from(known[each], settings), known[each]) for each in starts if each in known}
        )
        for partition, frames in recent.items():
            for frame in frames:
                begun[partition].replay(frame.sensor_id, frame.captured_at, frame.offset, frame.sights)
            begun[partition].passed(known[partition] - 1)
        return {TopicPartition(self._topic_name, partition): tracks for partition, tracks in begun.items()}

    def _stand_by(self, assignment: Assignment, stop: threading.Event) -> None:
        """Nothing to read for us: a continuous stream waits for another assignment, a bounded one for the other drivers."""
        if self._ends:
            return
        # What it read before is another driver's now: no lag of ours, nothing in flight.
        self._lag_monitor.begin_generation({}, frozenset(), lambda error: None)
        self._stats.on_new_readers(frozenset())
        self._stats.on_state("standby")
        while not (stop.is_set() or assignment.ended.wait(_ASSIGNMENT_POLL_S)):
            pass

    @property
    def _topic_name(self) -> str:
        return self._job.kafka.topic

    def _present_topic(self) -> TopicInfo:
        """The topic with the partitions it has now: they may become more while we run."""
        with self._resources.open_watch() as watch:
            found = watch.find(self._topic_name)
        if found is None or found.topic_id != self._topic.topic_id:
            raise recreated(self._topic_name, self._topic.topic_id, None if found is None else found.topic_id)
        return found

    def _plan(self, starts: dict[int, int]) -> ReadPlan:
        plan = ReadPlan(
            topic=self._topic_name,
            topic_id=self._topic.topic_id,
            starts=starts,
            stop_at={partition: self._ends[partition] for partition in starts} if self._ends else {},
            stream=self._job.stream,
            limits=self._job.limits,
            selected_offsets=self._job.selected_offsets,
        )
        return plan if self._job.divide is None else self._job.divide(plan)

    def _starts(self, known: Mapping[int, int]) -> dict[int, int]:
        """Next offsets of the table; a partition it does not know begins at the start of the log."""
        if self._job.selected_offsets:
            self._begins = {partition: offsets[0] for partition, offsets in self._job.selected_offsets.items()}
        elif set(self._topic.partitions) - set(known):
            with self._resources.open_watch() as watch:
                self._begins = {each.partition: offset for each, offset in watch.begin_offsets(self._topic_name).items()}
        return {partition: known.get(partition, self._begins.get(partition, 0)) for partition in self._topic.partitions}

    def _before_commit(self, tracks: TrackStage, timeout_s: float) -> None:
        """Events and alerts first; then the last look at the topic: an id that is right now was right during all reads until now."""
        tracks.publish()
        self._resources.alerts.flush(timeout_s)
        self._resources.watch.verify(self._topic_name, self._topic.topic_id)

    def _on_committed(self, generation: Generation, spans: Sequence[OffsetRange], outcomes: Sequence[Outcome]) -> None:
        self._committed_anything = True
        self._lag_monitor.on_committed(spans)
        self._stats.on_visible(outcomes)
        generation.on_committed(spans)


def _unwrapped(error: BaseException) -> BaseException:
    """The error a Ray task or actor raised, out of its wrapping."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, IrstreamError) else error
