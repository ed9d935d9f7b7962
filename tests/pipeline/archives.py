"""Archive runs without broker and Ray: topics in memory, files read by threads; router, committer and Delta table are real."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from contracts.archive_range import ArchiveRange, ArchiveRequest
from contracts.limits import InputLimits
from contracts.result import Gap
from contracts.text import well_formed
from pipeline.inference.router import ModelHandles
from pipeline.ingest.archive_files import OpenPart, list_parts
from pipeline.ingest.archive_topic import topic_partitions
from pipeline.ingest.interfaces import Reading, ReadPlan
from pipeline.ingest.memory_source import open_memory_reading
from pipeline.ingest.thread_source import open_thread_reading
from pipeline.inputs.feeds import FrameSource
from pipeline.inputs.find import Labels, find_inputs
from pipeline.kafka.memory_topic import MemoryTopic
from pipeline.kafka.settings import KafkaSettings
from pipeline.ops.audit import PartitionAudit, audit_range
from pipeline.reprocess import Archive, ArchiveSummary, Asked, fix_range, new_range, open_file_archive, open_file_rows, process_archive
from pipeline.runtime.job import StreamJob
from pipeline.runtime.progress import StreamProgress
from pipeline.runtime.range_watch import RangeWatch
from pipeline.runtime.stats import StreamStats
from pipeline.settings import ArchiveSettings, StreamSettings
from pipeline.table.delta import open_or_create_results
from pipeline.table.run_range import stored_range
from pipeline.table.settings import SinkSettings
from tests.pipeline.inference.rule_networks import RuleNetworks
from tests.pipeline.results import read_rows

MODELS = {"segmenter": {"model": "rule"}}


class ArchiveRun:
    """One run into one table; what a test wants to change it changes before `topic` or `files`."""

    def __init__(self, table: Path, run_id: str = "again", models: ModelHandles | None = None, **stream: Any) -> None:
        self.table, self.run_id = table, run_id
        self.sink = SinkSettings(table=str(table), commit_interval_s=0.01)
        self.stop = threading.Event()
        self.stopping = threading.Event()
        self.plans: list[ReadPlan] = []
        self.num_readers = 2
        self.job = StreamJob(
            run_id=run_id,
            kafka=KafkaSettings(probe_interval_s=0.05).model_copy(update={"session_timeout_s": 0.05}),
            stream=StreamSettings(**{"block_max_frames": 4, "restart_backoff_s": 0.01, "block_max_wait_s": 0.001} | stream),
            limits=InputLimits(),
            sink=self.sink,
            models=models or RuleNetworks().handles(),
        )

    def topic(self, topic: MemoryTopic, begin: str | None = None, end: str | None = None) -> Archive:
        asked = Asked(self.run_id, ArchiveRequest(kind="topic", inputs=(topic.name,), begin=begin, end=end), MODELS)
        fixed = fix_range(
            open_or_create_results(str(self.table), {}),
            self.sink,
            asked,
            lambda: new_range(asked, topic.name, topic.topic_id or "", topic_partitions(topic, topic.name, begin, end)),
        )
        return Archive(fixed, partial(self._note, partial(open_memory_reading, topic)), lambda archive: RangeWatch(archive, topic))

    def files(self, *paths: Path, **options: str) -> Archive:
        request = ArchiveRequest(kind="files", inputs=tuple(well_formed(str(path)) for path in paths), options=options)
        source = FrameSource(find_inputs(paths, Labels()).sequences)
        archive = open_file_archive(Asked(self.run_id, request, MODELS), well_formed(paths[0].name), source, paths, self.sink)
        return self._read_by_threads(archive, source, paths)

    def rows_of(self, source_range: ArchiveRange, *paths: Path) -> Archive:
        """Of an archive of files."""
        source = FrameSource(find_inputs(paths, Labels()).sequences)
        asked = Asked(self.run_id, ArchiveRequest(kind="run", inputs=(source_range.run_id,)), MODELS)
        archive = open_file_rows(asked, source_range, source, paths, self.sink)
        return self._read_by_threads(archive, source, paths)

    def _read_by_threads(self, archive: Archive, source: FrameSource, paths: tuple[Path, ...]) -> Archive:
        parts = {part.number: part for part in list_parts(source, paths)}
        opened = partial(open_thread_reading, lambda number: OpenPart(parts[number], archive.range.stored_at))
        return replace(archive, open_reading=partial(self._note, opened))

    def process(
        self,
        archive: Archive,
        share: tuple[int, int] = (1, 1),
        on_progress: Callable[[StreamProgress], None] | None = None,
        split_bytes: int = 2**20,
    ) -> ArchiveSummary:
        settings = ArchiveSettings(split_bytes=split_bytes)
        return process_archive(self.job, archive, settings, self.num_readers, StreamStats(), self.stop, share, on_progress)

    def offsets(self) -> dict[int, list[int]]:
        """Offsets in the table per partition, as often as they are there; all those of a gap."""
        found: dict[int, list[int]] = {}
        for row in read_rows(self.table, self.run_id):
            stop = row.stop if isinstance(row, Gap) else row.position.offset + 1
            found.setdefault(row.position.partition, []).extend(range(row.position.offset, stop))
        return found

    def audit(self) -> list[PartitionAudit]:
        """Of an archive of files."""
        return list(audit_range(self.job.kafka, DeltaTable(str(self.table)), self.range()))

    def range(self) -> ArchiveRange:
        found = stored_range(DeltaTable(str(self.table)), self.run_id, {})
        assert found is not None
        return found

    def _note(self, opened: Callable[[ReadPlan], Reading], plan: ReadPlan) -> Reading:
        """As the stream's own; notes the plan, and when the readers are told to stop."""
        self.plans.append(plan)
        reading = opened(plan)
        stop = reading.coordinator.stop

        def noted() -> None:
            stop()
            self.stopping.set()

        reading.coordinator.stop = noted  # type: ignore[method-assign]
        return reading
