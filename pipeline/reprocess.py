"""The job of archives: a fixed range of frames into the results table, under a run id of its own, from any interruption on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from contracts.archive_range import ARCHIVE_PREFIX, ArchiveRange, ArchiveRequest, RangePartition, digest_of
from contracts.errors import SettingsError
from observability.metrics import RayMeter
from pipeline.events.alerts import AlertPublisher
from pipeline.events.dead_letters import DeadLetterPublisher
from pipeline.events.silence import NoProducer
from pipeline.ingest.archive_files import ArchivePart, list_parts, open_archive_reading
from pipeline.ingest.archive_topic import mean_sizes, topic_partitions
from pipeline.ingest.interfaces import Reading, ReadPlan
from pipeline.ingest.kafka_source import open_kafka_reading
from pipeline.ingest.loop_thread import LoopThread
from pipeline.ingest.ray_data import configure_ray_data
from pipeline.ingest.splits import SplitRules, cut
from pipeline.inputs.feeds import FrameSource
from pipeline.kafka.client import require_native_crc
from pipeline.kafka.memory_group import MemoryMembership
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import ClusterWatch, describe_topic, recreated
from pipeline.ops.run_rows import run_positions
from pipeline.runtime.job import StreamJob
from pipeline.runtime.metrics import StreamMetrics
from pipeline.runtime.progress import StreamProgress, StreamSummary
from pipeline.runtime.range_watch import RangeWatch
from pipeline.runtime.resources import StreamResources, TopicWatch
from pipeline.runtime.stats import StreamStats
from pipeline.runtime.whole import open_table, supervise
from pipeline.settings import ArchiveSettings
from pipeline.table.delta import open_or_create_results
from pipeline.table.results_table import ResultsTable
from pipeline.table.run_range import store_range, stored_range
from pipeline.table.settings import SinkSettings


@dataclass(frozen=True, slots=True, eq=False)
class Archive:
    """An archive that is ready to be read.

    Attributes:
        range: the whole of it, as it is stored.
        open_reading: source and coordinator of a generation.
        open_watch: questions about the range, for the time of the context.
        bytes_per_offset: mean size of a message, by partition.
        whole: partitions that are read from their beginning only.
    """

    range: ArchiveRange
    open_reading: Callable[[ReadPlan], Reading]
    open_watch: Callable[[ArchiveRange], AbstractContextManager[TopicWatch]]
    bytes_per_offset: Mapping[int, float] = field(default_factory=dict)
    whole: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Asked:
    """A run as a person asks for it.

    Attributes:
        run_id: of the rows.
        request: the input.
        models: settings of the networks that decide about rows; a run has the same from beginning to end.
    """

    run_id: str
    request: ArchiveRequest
    models: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ArchiveSummary:
    """End of a start of an archive run.

    Attributes:
        stream: of this start.
        range: the whole one.
        share: the partitions of this driver.
        rows_before, rows_now: positions of the share with a row, before this start and now.
        all_rows_now: positions of the whole range with a row.
    """

    stream: StreamSummary
    range: ArchiveRange
    share: ArchiveRange
    rows_before: int
    rows_now: int
    all_rows_now: int

    @property
    def complete(self) -> bool:
        """True where every position of this driver's share has its row."""
        return self.rows_now == span_of(self.share)


def span_of(archive: ArchiveRange) -> int:
    """Offsets from start to stop of all partitions, those without a record included."""
    return sum(each.stop - each.start for each in archive.partitions)


def open_topic_archive(asked: Asked, kafka: KafkaSettings, sink: SinkSettings) -> Archive:
    """A stretch of the topic that `kafka` names.

    Raises:
        SettingsError: no broker, topic or table; a bound that is none; a run id that is used by something else.
        StopPipeline: the topic is not the one the run began with.
        RetryLater: Kafka or the table does not answer.
    """
    require_native_crc()
    info = describe_topic(kafka, kafka.topic)
    table = open_or_create_results(sink.table, sink.plain_storage_options())

    def now() -> ArchiveRange:
        with ClusterWatch(kafka) as watch:
            partitions = topic_partitions(watch, kafka.topic, asked.request.begin, asked.request.end)
        sizes = mean_sizes(kafka, kafka.topic, info.topic_id, partitions)
        partitions = [each.model_copy(update={"num_bytes": round(sizes[each.number] * each.num_rows)}) for each in partitions]
        return new_range(asked, kafka.topic, info.topic_id, partitions)

    return _topic_archive(fix_range(table, sink, asked, now), kafka, info.topic_id)


def _topic_archive(fixed: ArchiveRange, kafka: KafkaSettings, topic_id: str) -> Archive:
    if fixed.topic_id != topic_id:
        with ClusterWatch(kafka) as watch:
            watch.verify(fixed.topic, fixed.topic_id)
    return Archive(
        fixed,
        partial(open_kafka_reading, kafka),
        lambda archive: RangeWatch(archive, ClusterWatch(kafka)),
        {each.number: (each.num_bytes or 0) / max(1, each.num_rows) for each in fixed.partitions},
    )


def open_topic_rows(asked: Asked, kafka: KafkaSettings, sink: SinkSettings, source_run: str) -> Archive:
    """The messages of the topic that `kafka` names that a run has rows for, read again from where they lie.

    Raises:
        SettingsError: as `open_topic_archive`; or the run has no such rows.
        StopPipeline: the rows were made of another topic of this name.
        RetryLater: Kafka or the table does not answer.
    """
    require_native_crc()
    info = describe_topic(kafka, kafka.topic)
    table = open_or_create_results(sink.table, sink.plain_storage_options())

    def now() -> ArchiveRange:
        _, partitions = run_positions(table, source_run, kafka.topic, asked.request.begin, asked.request.end)
        for each in partitions:
            name = f"{source_run}/{kafka.topic}/{each.number}"
            if table.transaction_version(f"{name}@{info.topic_id}") is None:
                raise recreated(kafka.topic, f"of the rows of run {source_run}", info.topic_id)
        sizes = mean_sizes(kafka, kafka.topic, info.topic_id, partitions)
        partitions = [each.model_copy(update={"num_bytes": round(sizes[each.number] * each.num_rows)}) for each in partitions]
        return new_range(asked, kafka.topic, info.topic_id, partitions)

    return _topic_archive(fix_range(table, sink, asked, now), kafka, info.topic_id)


def open_file_rows(asked: Asked, source_range: ArchiveRange, source: FrameSource, roots: Sequence[Path], sink: SinkSettings) -> Archive:
    """The frames of files that an archive run has rows for, read again from where they lie.

    Args:
        asked: the new run.
        source_range: of the run whose rows are meant.
        source: sensors and their sequences, of the inputs of that run.
        roots: these inputs.
        sink: the results table.

    Raises:
        SettingsError: as `open_file_archive`; or the run has no rows.
        RetryLater: the table does not answer.
    """
    table = open_or_create_results(sink.table, sink.plain_storage_options())
    parts = list_parts(source, roots)
    described = {each.number: each for each in (part.described() for part in parts)}
    if any(each.number not in described or described[each.number].digest != each.digest for each in source_range.partitions):
        raise _other_files(source_range.run_id, source_range, list(described.values()))

    def now() -> ArchiveRange:
        _, found = run_positions(table, source_range.run_id, source_range.topic, asked.request.begin, asked.request.end)
        bounds = {each.number: {"start": each.start, "stop": each.stop, "selected": each.selected} for each in found}
        partitions = [described[number].model_copy(update=bound) for number, bound in bounds.items()]
        return new_range(asked, source_range.topic, source_range.topic_id, partitions)

    return _file_archive(fix_range(table, sink, asked, now), parts)


def open_file_archive(
    asked: Asked, name: str, source: FrameSource, roots: Sequence[Path], sink: SinkSettings, on_file: Callable[[int], None] = lambda _: None
) -> Archive:
    """Images, videos and datasets.

    Args:
        asked: the run.
        name: of the archive: rows have `archive:<name>` as their topic.
        source: sensors and their sequences.
        roots: the inputs.
        sink: the results table.
        on_file: called with the number of files looked at so far.

    Raises:
        SettingsError: no table, or a run id that is used by something else, also by other files.
        RetryLater: the table does not answer.
    """
    table = open_or_create_results(sink.table, sink.plain_storage_options())
    parts = list_parts(source, roots, on_file)
    described = [part.described() for part in parts]
    topic_id = digest_of([str(each.digest) for each in described])
    fixed = fix_range(table, sink, asked, lambda: new_range(asked, f"{ARCHIVE_PREFIX}{name}", topic_id, described))
    if (fixed.topic_id, fixed.topic) != (topic_id, f"{ARCHIVE_PREFIX}{name}"):
        raise _other_files(asked.run_id, fixed, described)
    return _file_archive(fixed, parts)


def _file_archive(fixed: ArchiveRange, parts: Sequence[ArchivePart]) -> Archive:
    by_number = {part.number: part for part in parts}
    return Archive(
        fixed,
        partial(open_archive_reading, by_number, fixed.stored_at),
        RangeWatch,
        {each.number: (each.num_bytes or 0) / max(1, each.num_rows) for each in fixed.partitions},
        frozenset(part.number for part in parts if part.whole),
    )


def new_range(asked: Asked, topic: str, topic_id: str, partitions: Sequence[RangePartition]) -> ArchiveRange:
    """A range that begins now.

    Args:
        asked: the run.
        topic: of its rows.
        topic_id: of the topic, or of the files.
        partitions: not empty.
    """
    stored_at = datetime.now(UTC).replace(microsecond=0)
    return ArchiveRange(
        run_id=asked.run_id,
        topic=topic,
        topic_id=topic_id,
        request=asked.request,
        stored_at=stored_at,
        models=dict(asked.models),
        partitions=tuple(partitions),
    )


def fix_range(table: DeltaTable, sink: SinkSettings, asked: Asked, now: Callable[[], ArchiveRange]) -> ArchiveRange:
    """The range of a run: the stored one where it is of the same request, else what there is now, from now on stored.

    Args:
        table: of the results.
        sink: its settings.
        asked: the run.
        now: what there is now.

    Raises:
        SettingsError: the run id is used by something else.
        RetryLater: the table does not answer.
    """
    options = sink.plain_storage_options()
    stored = stored_range(table, asked.run_id, options)
    if stored is None:
        if table.partitions(file_pruning_predicate=[("run_id", "=", asked.run_id)]):
            raise SettingsError(
                expected="a run id that has no rows yet, or that of an archive run",
                got=f"{asked.run_id}, under which a stream or a replay has written",
                where="run_id",
                action="Take another run id.",
            )
        stored = store_range(table, now(), options)
    if not same_request(stored.request, asked.request):
        raise _in_use(asked.run_id, f"the input it began with: {stored.request}", str(asked.request))
    if stored.models != asked.models:
        raise _in_use(asked.run_id, "the networks it began with", _first_difference(stored.models, asked.models))
    return stored


def same_request(stored: ArchiveRequest, asked: ArchiveRequest) -> bool:
    """True where both ask for the same; files may have been moved, so that their names below the input count, not the input's place."""
    if stored.kind == "files":
        places = {"inputs": ()}
        return stored.model_copy(update=places) == asked.model_copy(update=places)
    return stored == asked


def _first_difference(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    for task in sorted(set(stored) | set(asked)):
        ours, theirs = stored.get(task, {}), asked.get(task, {})
        for key in sorted(set(ours) | set(theirs)):
            if ours.get(key) != theirs.get(key):
                return f"{task}.{key} = {theirs.get(key)}, where it was {ours.get(key)}"
    return "others"


def _in_use(run_id: str, expected: str, got: str) -> SettingsError:
    return SettingsError(
        expected=f"for run {run_id} {expected}", got=got, where="run_id", action="Take another run id, or give the same as before."
    )


def _other_files(run_id: str, stored: ArchiveRange, found: Sequence[RangePartition]) -> SettingsError:
    by_number = {each.number: each for each in found}
    for each in stored.partitions:
        now = by_number.get(each.number)
        if now is None or now.digest != each.digest:
            got = "nothing there" if now is None else f"{now.num_rows} frames from {now.first} to {now.last}, changed or other files"
            return _in_use(run_id, f"{each.num_rows} frames from {each.first} to {each.last}, as when it began", got)
    return _in_use(
        run_id, f"{len(stored.partitions)} partitions named {stored.topic}", f"{len(found)}: files were added, or the name is another"
    )


def run_archive(
    job: StreamJob,
    archive: Archive,
    settings: ArchiveSettings,
    num_readers: int,
    *,
    stop: threading.Event,
    share: tuple[int, int] = (1, 1),
    on_progress: Callable[[StreamProgress], None] | None = None,
) -> ArchiveSummary:
    """Read a driver's share of an archive until its end (or until `stop`); needs `ray.init` and running models.

    Args:
        job: settings and networks; its topic is that of the range.
        archive: what to read.
        settings: how.
        num_readers: pieces that are read at once.
        stop: set it to drain and return.
        share: number of this driver, from 1, and how many there are.
        on_progress: called about once a second, from a thread of its own.

    Raises:
        SettingsError: the table cannot be used.
        StopPipeline: going on would lose or falsify data.
    """
    configure_ray_data()
    return process_archive(
        job, archive, settings, num_readers, StreamStats(metrics=StreamMetrics(RayMeter(), job.run_id)), stop, share, on_progress
    )


def process_archive(
    job: StreamJob,
    archive: Archive,
    settings: ArchiveSettings,
    num_readers: int,
    stats: StreamStats,
    stop: threading.Event,
    share: tuple[int, int] = (1, 1),
    on_progress: Callable[[StreamProgress], None] | None = None,
) -> ArchiveSummary:
    """As `run_archive`, with statistics of one's own: nothing here knows Ray."""
    mine = archive.range.share(*share)
    topic = mine.topic
    if (done := finished(archive, job.sink, share)) is not None:  # also where there are more drivers than partitions
        return done
    job = replace(
        job,
        kafka=job.kafka.model_copy(update={"topic": topic}),
        selected_offsets=mine.selected_offsets,
        divide=partial(_divided, archive, settings, num_readers),
    )
    with archive.open_watch(mine) as watch:
        info = watch.find(topic)
        assert info is not None
        table = open_table(job, info)
        before = _rows(table.next_offsets(topic, mine.starts), mine)
        with (
            closing(LoopThread("router")) as router,
            closing(AlertPublisher(NoProducer(), job.kafka.alerts_topic, job.run_id, "off")) as alerts,
        ):
            dead_letters = DeadLetterPublisher(NoProducer(), job.kafka.dead_letter_topic, job.run_id)
            members = MemoryMembership(mine.starts)
            open_watch = partial(archive.open_watch, mine)
            resources = StreamResources(router.loop, alerts, dead_letters, members, watch, open_watch, archive.open_reading)
            summary = supervise(job, info, table, resources, ends=mine.ends, stop=stop, stats=stats, on_progress=on_progress)
        now = table.next_offsets(topic, archive.range.starts)
    return ArchiveSummary(summary, archive.range, mine, before, _rows(now, mine), _rows(now, archive.range))


def finished(archive: Archive, sink: SinkSettings, share: tuple[int, int]) -> ArchiveSummary | None:
    """The end of a run that has nothing left to do; None where there is something.

    Args:
        archive: what to read.
        sink: the results table.
        share: number of this driver, from 1, and how many there are.

    Raises:
        SettingsError: the table cannot be used.
        RetryLater: it does not answer.
    """
    whole, mine = archive.range, archive.range.share(*share)
    table = ResultsTable(sink.table, whole.run_id, sink.plain_storage_options())
    table.open_or_create()
    next_offsets = table.next_offsets(whole.topic, whole.starts)
    if _rows(next_offsets, mine) < span_of(mine):
        return None
    nothing = StreamSummary(StreamProgress(state="done"), True, sink.table, table.version, {}, {}, {}, None, None)
    return ArchiveSummary(nothing, whole, mine, span_of(mine), span_of(mine), _rows(next_offsets, whole))


def _divided(archive: Archive, settings: ArchiveSettings, num_readers: int, plan: ReadPlan) -> ReadPlan:
    rules = SplitRules(num_readers, settings.split_bytes, plan.stream.uncommitted_rows, archive.bytes_per_offset, archive.whole)
    return replace(plan, splits=cut(plan.topic, plan.starts, plan.stop_at, rules, plan.selected_offsets or None))


def _rows(next_offsets: Mapping[int, int], archive: ArchiveRange) -> int:
    """Offsets of a range that are accounted for."""
    return sum(max(0, min(next_offsets.get(each.number, each.start), each.stop) - each.start) for each in archive.partitions)
