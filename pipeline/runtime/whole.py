"""A stream or an archive as a whole: its table, its supervisor from start to end, its summary."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from contracts.position import TopicPartition
from pipeline.kafka.topics import TopicInfo
from pipeline.runtime.job import StreamJob
from pipeline.runtime.lag_monitor import LagMonitor
from pipeline.runtime.progress import StreamProgress, StreamSummary
from pipeline.runtime.resources import StreamResources
from pipeline.runtime.stats import StreamStats
from pipeline.runtime.supervisor import Supervisor
from pipeline.table.results_table import ResultsTable


def open_table(job: StreamJob, topic: TopicInfo) -> ResultsTable:
    """The results table, created where there is none.

    Raises:
        SettingsError: it cannot be used.
        StopPipeline: its offsets were counted in another topic of this name.
    """
    table = ResultsTable(
        job.sink.table,
        job.run_id,
        job.sink.plain_storage_options(),
        compact_after_commits=job.sink.compact_after_commits,
        merge_policy=job.sink.merge_policy(),
    )
    table.open_or_create()
    table.require_topic(job.kafka.topic, topic.topic_id, topic.partitions)
    return table


def supervise(
    job: StreamJob,
    topic: TopicInfo,
    table: ResultsTable,
    resources: StreamResources,
    *,
    ends: Mapping[TopicPartition, int],
    stop: threading.Event,
    stats: StreamStats,
    on_progress: Callable[[StreamProgress], None] | None = None,
    progress_s: float = 1.0,
) -> StreamSummary:
    """The stream between given resources, which may be Kafka and Ray or memory; `run_stream` for the rest.

    Args:
        job: what to stream.
        topic: what the topic is now.
        table: opened.
        resources: what lives longer than a generation.
        ends: where a bounded stream ends, empty for a continuous one.
        stop: set it to drain and return.
        stats: counts of the stream.
        on_progress: called every `progress_s` seconds, from a thread of its own.
        progress_s: see there.
    """
    with LagMonitor(job.kafka, resources.open_watch, topic, stats, on_progress, progress_s=progress_s) as lag_monitor:
        drained = Supervisor(job, table, topic, stats, ends, resources, lag_monitor).run(stop)
    return _summary(job, table, stats, drained=drained)


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
