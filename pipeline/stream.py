"""The continuous job: frames from Kafka into the results table until told to stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import structlog

from contracts.errors import IrstreamError
from contracts.position import TopicPartition
from observability.metrics import RayMeter
from pipeline.events.alerts import AlertPublisher
from pipeline.ingest.epochs import configure_ray_data
from pipeline.kafka.client import require_native_crc
from pipeline.kafka.group import Membership
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.topics import ClusterWatch, describe_topic, end_offsets, ensure_topic
from pipeline.runtime.job import StreamJob
from pipeline.runtime.lag_monitor import LagMonitor
from pipeline.runtime.metrics import StreamMetrics
from pipeline.runtime.progress import StreamProgress, StreamSummary
from pipeline.runtime.stats import StreamStats
from pipeline.runtime.supervisor import StreamResources, Supervisor
from pipeline.table.results_table import ResultsTable

log = structlog.get_logger(__name__)


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
    table = ResultsTable(
        job.sink.table,
        job.run_id,
        job.sink.plain_storage_options(),
        compact_after_commits=job.sink.compact_after_commits,
        merge_policy=job.sink.merge_policy(),
    )
    table.open_or_create()
    table.require_topic(job.kafka.topic, topic.topic_id, topic.partitions)
    written = [job.kafka.dead_letter_topic] if job.sink.alerts == "off" else [job.kafka.alerts_topic, job.kafka.dead_letter_topic]
    for name in written:
        ensure_topic(job.kafka, name, len(topic.partitions))
    stats = StreamStats(metrics=StreamMetrics(RayMeter(), job.run_id))
    ends = _ends(job, until_caught_up=until_caught_up)
    with _resources(job) as resources, LagMonitor(job.kafka, topic, stats, on_progress) as lag_monitor:
        drained = Supervisor(job, table, topic, stats, ends, resources, lag_monitor).run(stop)
    return _summary(job, table, stats, drained=drained)


def _ends(job: StreamJob, *, until_caught_up: bool) -> dict[TopicPartition, int]:
    """Where a bounded stream ends; empty for a continuous one."""
    if job.selected_offsets:
        return {TopicPartition(job.kafka.topic, partition): offsets[-1] + 1 for partition, offsets in job.selected_offsets.items()}
    return end_offsets(job.kafka, job.kafka.topic) if until_caught_up else {}


@contextmanager
def _resources(job: StreamJob) -> Iterator[StreamResources]:
    with (
        _loop_thread() as loop,
        _producer(job) as producer,
        closing(AlertPublisher(producer, job.kafka.alerts_topic, job.run_id, job.sink.alerts)) as alerts,
        ClusterWatch(job.kafka) as watch,
        Membership(job.kafka, job.run_id) as members,
    ):
        yield StreamResources(loop, producer, alerts, watch, members)


@contextmanager
def _producer(job: StreamJob) -> Iterator[SteadyProducer]:
    """What is not acknowledged at the end belongs to rows that are not committed: it is dropped, and hides no other error."""
    producer = SteadyProducer(job.kafka)
    try:
        yield producer
    finally:
        try:
            producer.close()
        except IrstreamError as late:
            log.warning("messages_dropped", error=str(late), consequence="their rows are not in the table either")


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
