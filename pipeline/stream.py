"""The continuous job: generation after generation, each from where the table stands."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import ray
import structlog

from contracts.errors import IrstreamError, RetryLater, SettingsError, StopPipeline
from contracts.limits import InputLimits
from contracts.position import OffsetRange, TopicPartition
from contracts.result import Outcome
from pipeline.alerts import AlertPublisher
from pipeline.committer import Committer
from pipeline.epochs import configure_ray_data
from pipeline.generation import Generation, GenerationParts
from pipeline.kafka_client import (
    ClusterWatch,
    KafkaSettings,
    TopicInfo,
    begin_offsets,
    describe_topic,
    end_offsets,
    ensure_topic,
    require_native_crc,
)
from pipeline.progress import StreamProgress, StreamSummary
from pipeline.router import ModelHandles
from pipeline.settings import StreamSettings
from pipeline.sink import ResultsTable
from pipeline.sink_settings import SinkSettings
from pipeline.source import ReadPlan
from pipeline.steady_producer import SteadyProducer
from pipeline.stream_stats import StreamStats

_BACKOFF_MAX_S = 5.0
_PROGRESS_S = 1.0
_FRUITLESS_RESTARTS = 10
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class StreamJob:
    """What to stream: the settings it needs and the three networks."""

    run_id: str
    kafka: KafkaSettings
    stream: StreamSettings
    limits: InputLimits
    sink: SinkSettings
    models: ModelHandles


def run_stream(
    job: StreamJob,
    *,
    stop: threading.Event,
    until_caught_up: bool = False,
    on_progress: Callable[[StreamProgress], None] | None = None,
) -> StreamSummary:
    """Stream frames into the table until `stop` (or until caught up); needs `ray.init` and running models.

    Args:
        job: what to stream.
        stop: set it to drain and return.
        until_caught_up: return when every offset that existed at the start has its row.
        on_progress: called about once a second, from a thread of its own.

    Raises:
        SettingsError: broker, topic or table cannot be used.
        StopPipeline: going on would lose or falsify data.
    """
    configure_ray_data()
    require_native_crc()
    topic = describe_topic(job.kafka, job.kafka.topic)
    table = ResultsTable(job.sink.table, job.run_id, job.sink.plain_storage_options())
    table.open_or_create()
    table.require_topic(job.kafka.topic, topic.topic_id, topic.partitions)
    for name in (job.kafka.alerts_topic, job.kafka.dead_letter_topic):
        ensure_topic(job.kafka, name, len(topic.partitions))
    stats = StreamStats()
    ends = end_offsets(job.kafka, job.kafka.topic) if until_caught_up else {}
    with _loop_thread() as loop, _producer(job) as producer, _alerts(job, producer) as alerts:
        stream = _Stream(job, table, topic, stats, ends, loop, producer, alerts)
        with closing(stream), _reporting(stream, on_progress):
            drained = stream.run(stop)
    return _summary(job, table, stats, drained=drained)


class _Stream:
    """The restart loop."""

    def __init__(
        self,
        job: StreamJob,
        table: ResultsTable,
        topic: TopicInfo,
        stats: StreamStats,
        ends: dict[TopicPartition, int],
        loop: asyncio.AbstractEventLoop,
        producer: SteadyProducer,
        alerts: AlertPublisher,
    ) -> None:
        self.job = job
        self._table = table
        self._topic = topic
        self.stats = stats
        self._ends = {partition.partition: offset for partition, offset in ends.items()}
        self._loop = loop
        self._producer = producer
        self._alerts = alerts
        self._committed_anything = False
        self._commit_watch = ClusterWatch(job.kafka)
        self._generation: Generation | None = None
        self._stands: dict[TopicPartition, int] = {}

    def run(self, stop: threading.Event) -> bool:
        """Generations until done; True when everything read is visible."""
        number, fruitless = 1, 0
        backoff_s = self.job.stream.restart_backoff_s
        while True:
            self._committed_anything = False
            try:
                self._run_generation(number, stop)
                return True
            except StopPipeline as error:
                if not (isinstance(error, SettingsError) and number > 1):
                    raise
                # The broker was there when we started: it is away, not misspelt.
                failure: BaseException = error
            except Exception as error:
                failure = _unwrapped(error)
                if isinstance(failure, StopPipeline):
                    raise failure from error
            if stop.is_set():
                self.stats.on_state("draining", note=str(failure))
                log.warning("stopped_without_draining", error=str(failure), kind=type(failure).__name__)
                return False
            if self._committed_anything:
                fruitless, backoff_s = 0, self.job.stream.restart_backoff_s
            fruitless += 1
            if fruitless >= _FRUITLESS_RESTARTS and not isinstance(failure, IrstreamError):
                raise StopPipeline(
                    expected="a generation that brings at least one row to the table",
                    got=f"{fruitless} failures in a row, the last: {failure!r}",
                    where="stream",
                    action="This will not heal by itself: see the log.",
                ) from failure
            number += 1
            log.warning("generation_failed", next_generation=number, backoff_s=backoff_s, error=str(failure), kind=type(failure).__name__)
            self.stats.on_state("restarting", generation=number, note=str(failure))
            if stop.wait(backoff_s):
                return False
            backoff_s = min(_BACKOFF_MAX_S, backoff_s * 2)

    def _run_generation(self, number: int, stop: threading.Event) -> None:
        starts = self._starts()
        if self._ends:
            starts = {partition: start for partition, start in starts.items() if start < self._ends.get(partition, 0)}
            if not starts:
                return
        elif not self._topic.partitions:
            return
        committer = Committer(
            self._table,
            run_id=self.job.run_id,
            topic_ids={self._topic_name: self._topic.topic_id},
            settings=self.job.sink,
            producer=self._producer,
            dead_letter_topic=self.job.kafka.dead_letter_topic,
            starts={TopicPartition(self._topic_name, partition): start for partition, start in starts.items()},
            on_committed=lambda spans, outcomes: self._on_committed(generation, spans, outcomes),
            on_failure=lambda error: generation.fail(error),
            before_commit=self._before_commit,
        )
        generation = Generation(
            GenerationParts(
                plan=self._plan(starts),
                starts=starts,
                limits=self.job.limits,
                models=self.job.models,
                committer=committer,
                alerts=self._alerts,
                stats=self.stats,
                loop=self._loop,
            )
        )
        self._generation = generation
        committer.start()
        self.stats.on_state("streaming", generation=number)
        generation.run(stop)

    @property
    def _topic_name(self) -> str:
        return self.job.kafka.topic

    def _plan(self, starts: dict[int, int]) -> ReadPlan:
        # Two overlapping epochs of read tasks must fit beside the models, or a partition would wait for ever.
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray's own gap
        cpus = resources.get("CPU", 1.0)
        read_cpus = min(self.job.stream.read_cpus, 0.5 * cpus / (2 * len(starts)))
        return ReadPlan(
            epoch=0,
            topic=self._topic_name,
            topic_id=self._topic.topic_id,
            partitions=tuple(sorted(starts)),
            stop_at={partition: self._ends[partition] for partition in starts} if self._ends else {},
            kafka=self.job.kafka,
            stream=self.job.stream.model_copy(update={"read_cpus": round(read_cpus, 3)}),
        )

    def _starts(self) -> dict[int, int]:
        """Where the table stands; a partition it does not know begins at the start of the log."""
        known = self._table.next_offsets(self._topic_name, self._topic.partitions)
        self._stands = {TopicPartition(self._topic_name, partition): offset for partition, offset in known.items()}
        begins: dict[TopicPartition, int] = {}
        if set(self._topic.partitions) - set(known):
            begins = begin_offsets(self.job.kafka, self._topic_name)
        return {
            partition: known[partition] if partition in known else begins[TopicPartition(self._topic_name, partition)]
            for partition in self._topic.partitions
        }

    def _before_commit(self, timeout_s: float) -> None:
        """Alerts first; then the last look at the topic: an id that is right now was right during all reads until now."""
        self._alerts.flush(timeout_s)
        self._commit_watch.verify(self._topic_name, self._topic.topic_id)

    def _on_committed(self, generation: Generation, spans: Sequence[OffsetRange], outcomes: Sequence[Outcome]) -> None:
        self._committed_anything = True
        self._stands = self._stands | {span.topic_partition: span.stop for span in spans}
        self.stats.on_visible(outcomes)
        generation.on_committed(spans)

    def close(self) -> None:
        """Close the connection of its own."""
        self._commit_watch.close()

    def observe(self, watch: ClusterWatch) -> None:
        """Compare with the broker: lag, a hint for lag tools, and whether the topic is still the one we began with."""
        stands = self._stands
        try:
            watch.verify(self._topic_name, self._topic.topic_id)
            ends, begins = watch.end_offsets(self._topic_name), watch.begin_offsets(self._topic_name)
        except RetryLater as error:
            self.stats.on_lag(None)
            log.debug("lag_unknown", error=str(error))
        except StopPipeline as error:
            if self._generation is not None:
                self._generation.fail(error)
        else:
            self.stats.on_lag(sum(max(0, end - max(begins[partition], stands.get(partition, 0))) for partition, end in ends.items()))
            watch.hint(stands)


def _unwrapped(error: BaseException) -> BaseException:
    """The error a Ray task or actor raised, out of its wrapping."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, IrstreamError) else error


@contextmanager
def _loop_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="router", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)


@contextmanager
def _producer(job: StreamJob) -> Iterator[SteadyProducer]:
    producer = SteadyProducer(job.kafka)
    try:
        yield producer
    finally:
        producer.close()


@contextmanager
def _alerts(job: StreamJob, producer: SteadyProducer) -> Iterator[AlertPublisher]:
    alerts = AlertPublisher(producer, job.kafka.alerts_topic, job.run_id, job.sink.alerts)
    try:
        yield alerts
    finally:
        alerts.close()


@contextmanager
def _reporting(stream: _Stream, on_progress: Callable[[StreamProgress], None] | None) -> Iterator[None]:
    """Once a second a snapshot for whoever watches, now and then a look at the broker."""
    done = threading.Event()

    def report() -> None:
        observed_at = 0.0
        with ClusterWatch(stream.job.kafka) as watch:
            while not done.wait(_PROGRESS_S):
                if time.monotonic() - observed_at > stream.job.kafka.probe_interval_s:
                    stream.observe(watch)
                    observed_at = time.monotonic()
                if on_progress is not None:
                    on_progress(stream.stats.progress())
            stream.stats.on_state("done")
            stream.observe(watch)
            if on_progress is not None:
                on_progress(stream.stats.progress())

    thread = threading.Thread(target=report, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(timeout=stream.job.kafka.connect_timeout_s * 3)


def _summary(job: StreamJob, table: ResultsTable, stats: StreamStats, *, drained: bool) -> StreamSummary:
    by_sensor, by_label, stage_ms = stats.totals()
    return StreamSummary(
        progress=stats.progress(),
        drained=drained,
        table=job.sink.table,
        table_version=table.version,
        by_sensor=by_sensor,
        by_label=by_label,
        stage_ms_mean=stage_ms,
        latency_p50_s=stats.latency_s(50),
        latency_p99_s=stats.latency_s(99),
    )
