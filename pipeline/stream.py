"""The continuous job: frames from Kafka into the results table until told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial

import structlog

from contracts.errors import IrstreamError, SettingsError
from contracts.position import TopicPartition
from observability.metrics import Meter, Meters, NoMeter, RayMeter
from pipeline.events.alerts import AlertPublisher
from pipeline.events.dead_letters import DeadLetterPublisher
from pipeline.ingest.kafka_source import open_kafka_reading
from pipeline.ingest.loop_thread import LoopThread
from pipeline.ingest.ray_data import configure_ray_data
from pipeline.kafka.client import require_native_crc
from pipeline.kafka.group import Membership
from pipeline.kafka.producer import SteadyProducer
from pipeline.kafka.topics import ClusterWatch, describe_topic, end_offsets, ensure_topic
from pipeline.runtime.job import StreamJob
from pipeline.runtime.metrics import StreamMetrics
from pipeline.runtime.progress import StreamProgress, StreamSummary
from pipeline.runtime.resources import StreamResources
from pipeline.runtime.stats import StreamStats
from pipeline.runtime.whole import open_table, supervise

log = structlog.get_logger(__name__)


def run_stream(
    job: StreamJob,
    *,
    stop: threading.Event,
    until_caught_up: bool = False,
    on_progress: Callable[[StreamProgress], None] | None = None,
    meter: Meter | None = None,
) -> StreamSummary:
    """Stream frames into the table until `stop` (or until caught up); needs `ray.init` and running models.

    Args:
        job: what to stream.
        stop: set it to drain and return.
        until_caught_up: return when every offset that existed at the start has its row.
        on_progress: called about once a second, from a thread of its own.
        meter: gets what is measured, beside Ray's exporter.

    Raises:
        SettingsError: broker, topic or table cannot be used.
        StopPipeline: going on would lose or falsify data.
    """
    configure_ray_data()
    require_native_crc()
    topic = describe_topic(job.kafka, job.kafka.topic)
    table = open_table(job, topic)
    if table.has_range():
        raise SettingsError(
            expected="a run id for a stream", got=f"{job.run_id}, an archive run", where="run_id", action="Take another, such as live."
        )
    written = [job.kafka.dead_letter_topic] if job.sink.alerts == "off" else [job.kafka.alerts_topic, job.kafka.dead_letter_topic]
    for name in written:
        ensure_topic(job.kafka, name, len(topic.partitions))
    stats = StreamStats(metrics=StreamMetrics(Meters(RayMeter(), meter or NoMeter()), job.run_id))
    ends = _ends(job, until_caught_up=until_caught_up)
    with _kafka_and_ray(job) as resources:
        return supervise(job, topic, table, resources, ends=ends, stop=stop, stats=stats, on_progress=on_progress)


def _ends(job: StreamJob, *, until_caught_up: bool) -> dict[TopicPartition, int]:
    """Offsets at which a bounded stream ends; empty for a continuous one."""
    if job.selected_offsets:
        return {TopicPartition(job.kafka.topic, partition): offsets[-1] + 1 for partition, offsets in job.selected_offsets.items()}
    return end_offsets(job.kafka, job.kafka.topic) if until_caught_up else {}


@contextmanager
def _kafka_and_ray(job: StreamJob) -> Iterator[StreamResources]:
    with (
        closing(LoopThread("router")) as router,
        _producer(job) as producer,
        closing(AlertPublisher(producer, job.kafka.alerts_topic, job.run_id, job.alerts)) as alerts,
        ClusterWatch(job.kafka) as watch,
        Membership(job.kafka, job.run_id) as members,
    ):
        dead_letters = DeadLetterPublisher(producer, job.kafka.dead_letter_topic, job.run_id)
        open_watch, open_reading = partial(ClusterWatch, job.kafka), partial(open_kafka_reading, job.kafka)
        yield StreamResources(router.loop, alerts, dead_letters, members, watch, open_watch, open_reading)


@contextmanager
def _producer(job: StreamJob) -> Iterator[SteadyProducer]:
    """Messages not acknowledged at the end belong to rows that are not committed: they are dropped, and hide no other error."""
    producer = SteadyProducer(job.kafka)
    try:
        yield producer
    finally:
        try:
            producer.close()
        except IrstreamError as late:
            log.warning("messages_dropped", error=str(late), consequence="their rows are not in the table either")
