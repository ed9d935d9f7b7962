"""Watches a running stream from outside: lag, a hint for lag tools, the topic's identity, and snapshots for people."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import structlog

from contracts.errors import IrstreamError, RetryLater, StopPipeline
from contracts.position import OffsetRange, TopicPartition
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import TopicInfo
from pipeline.runtime.progress import StreamProgress
from pipeline.runtime.resources import TopicWatch
from pipeline.runtime.stats import StreamStats

log = structlog.get_logger(__name__)


class LagMonitor:
    """A thread of its own, for the life of a stream; a context manager."""

    def __init__(
        self,
        kafka: KafkaSettings,
        open_watch: Callable[[], AbstractContextManager[TopicWatch]],
        topic: TopicInfo,
        stats: StreamStats,
        on_progress: Callable[[StreamProgress], None] | None,
        *,
        progress_s: float = 1.0,
    ) -> None:
        """Nothing runs before the context is entered.

        Args:
            kafka: which topic, and how often it is looked at.
            open_watch: a connection of its own.
            topic: what `kafka.topic` was when the stream began.
            stats: read for snapshots, given the lag.
            on_progress: called every `progress_s`, and at the end.
            progress_s: seconds between snapshots.
        """
        self._kafka = kafka
        self._open_watch = open_watch
        self._topic = topic
        self._stats = stats
        self._on_progress = on_progress
        self._view_failed = False
        self._progress_s = progress_s
        self._next_offsets: dict[TopicPartition, int] = {}
        self._on_fault: Callable[[IrstreamError], None] | None = None
        self._partitions: frozenset[int] = frozenset()
        self._done = threading.Event()
        self._new = True
        self._looker = threading.Thread(target=self._watch, name="lag-monitor", daemon=True)
        self._reporter = threading.Thread(target=self._report_all, name="progress", daemon=True)

    def begin_generation(
        self, next_offsets: dict[TopicPartition, int], partitions: frozenset[int], on_fault: Callable[[IrstreamError], None]
    ) -> None:
        """A generation begins.

        Args:
            next_offsets: from where.
            partitions: what it reads; the others are other drivers' business.
            on_fault: ends it, when the topic is no longer the one we began with.
        """
        self._next_offsets = dict(next_offsets)
        self._partitions = partitions
        self._on_fault = on_fault

    def on_committed(self, spans: Iterable[OffsetRange]) -> None:
        """The table has moved on (called by the committer's thread alone)."""
        self._next_offsets = self._next_offsets | {span.topic_partition: span.stop for span in spans}

    def __enter__(self) -> Self:
        """Start watching."""
        self._looker.start()
        self._reporter.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Look once more, report the last snapshot, stop."""
        self._done.set()
        self._looker.join(timeout=self._kafka.connect_timeout_s * 3)
        self._reporter.join(timeout=self._kafka.connect_timeout_s * 3)

    def _watch(self) -> None:
        with self._open_watch() as watch:
            while not self._done.wait(self._progress_s if self._new else self._kafka.probe_interval_s):
                self._look(watch)
            self._look(watch)

    def _report_all(self) -> None:
        """A broker that is away answers nobody for many seconds: snapshots come all the same, and say so."""
        while not self._done.wait(self._progress_s):
            self._report()
        self._looker.join(timeout=self._kafka.connect_timeout_s * 3)
        self._stats.on_state("done")
        self._report()

    def _report(self) -> None:
        progress = self._stats.progress()  # also forgets what is older than its window
        if self._on_progress is None:
            return
        try:
            self._on_progress(progress)
        except (Exception, SystemExit):  # a view that fails (rich ends the thread of a closed pipe) must not end the watch
            if not self._view_failed:
                log.exception("view_failed")
            self._view_failed = True  # said once; health and drains hear of the stream all the same

    def _look(self, watch: TopicWatch) -> None:
        next_offsets, partitions, name = self._next_offsets, self._partitions, self._kafka.topic
        try:
            watch.verify(name, self._topic.topic_id)
            ends, begins = watch.end_offsets(name), watch.begin_offsets(name)
        except RetryLater as error:
            self._stats.on_lag(None)
            self._stats.on_away(f"Kafka {self._kafka.bootstrap_servers}")
            log.debug("lag_unknown", error=str(error))
        except StopPipeline as error:
            if self._on_fault is not None:
                self._on_fault(error)
        else:
            self._stats.on_back()
            self._new = False
            mine = {partition: end for partition, end in ends.items() if partition.partition in partitions}
            lag = sum(max(0, end - max(begins[partition], next_offsets.get(partition, 0))) for partition, end in mine.items())
            self._stats.on_lag(lag, sum(mine.values()), partitions)
            watch.hint(next_offsets)
