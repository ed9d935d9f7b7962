"""One partition of a topic, read from a given offset; used inside the read tasks, so it is cheap."""

from __future__ import annotations

import time
from types import TracebackType
from typing import NoReturn, Self

import kafka
from kafka.errors import (
    CorruptRecordError,
    KafkaError,
    KafkaTimeoutError,
    LogTruncationError,
    OffsetOutOfRangeError,
    UnsupportedCodecError,
)

from contracts.errors import IrstreamError, RetryLater, StopPipeline
from contracts.frame import RawRecord
from contracts.position import KafkaPosition
from pipeline.kafka.client import connect_consumer, while_running
from pipeline.kafka.kafka_python_internals import known_topic_id
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import ClusterWatch, missing, recreated


class GapFound(IrstreamError):  # noqa: N818 - like the errors of contracts, its name says what to do
    """Retention has passed us by: `[start, stop)` no longer exists. Write a gap row and `seek_to(stop)`."""

    def __init__(self, start: int, stop: int) -> None:
        """Both ends; `stop` is the first offset that is left."""
        super().__init__(start, stop)
        self.start = start
        self.stop = stop

    def __str__(self) -> str:
        """For log lines."""
        return f"offsets [{self.start}, {self.stop}) were deleted by retention before they were read"


class LogReader:
    """Reads one partition in order. Not for several threads.

    `poll()` of kafka-python says nothing when the broker is away or the topic is gone; this one does. A recreated topic
    is noticed after `probe_interval_s` at most; whoever commits offsets asks `ClusterWatch.verify` first to be sure.
    """

    def __init__(self, settings: KafkaSettings, topic: str, partition: int, start_offset: int, topic_id: str | None = None) -> None:
        """Connect and stand at `start_offset`.

        Args:
            settings: where Kafka is.
            topic: read from here.
            partition: read from here.
            start_offset: first offset to read.
            topic_id: the id the offsets belong to; default: the id the topic has now.

        Raises:
            RetryLater: no answer.
            StopPipeline: no such topic or partition, another topic of this name, not allowed.
        """
        self._settings = settings
        self._topic = topic
        self._partition = partition
        self._where = f"reading {topic}/{partition}"
        self._tp = kafka.TopicPartition(topic, partition)
        self._broken: StopPipeline | None = None
        self._at = start_offset
        self._heard_at = time.monotonic()
        try:
            self._consumer = connect_consumer(settings)
        except KafkaError as error:
            raise while_running(settings, error, self._where) from error
        try:
            self._consumer.assign([self._tp])
            self._consumer.seek(self._tp, start_offset)
            self._topic_id = topic_id
            self._probe()
            self._topic_id = self._topic_id or self._known_topic_id()
            if self._topic_id is None:
                raise StopPipeline(
                    expected="a broker that names the ids of its topics (Kafka 2.8 or newer)",
                    got="none",
                    where=self._where,
                    action="Update the broker.",
                )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """For the life of one read."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connection."""
        self.close()

    @property
    def topic_id(self) -> str:
        """Id of the topic we read from."""
        assert self._topic_id is not None
        return self._topic_id

    @property
    def position(self) -> int:
        """Next offset to read; it also moves over offsets without a record (transaction markers, aborted records)."""
        return self._at

    def seek_to(self, offset: int) -> None:
        """Continue at another offset (after a gap, or to read something again)."""
        self._consumer.seek(self._tp, offset)
        self._at = offset

    def poll(self, max_records: int, max_wait_s: float) -> list[RawRecord]:
        """The next records in offset order, as soon as there are any; none after `max_wait_s`.

        Raises:
            RetryLater: the broker does not answer; call again later, nothing is lost or repeated.
            StopPipeline: the topic is gone or another one, a stored batch is damaged, or we are not allowed. Final.
            GapFound: retention has passed us by.
        """
        if self._broken is not None:
            raise self._broken
        try:
            batch = self._consumer.poll(timeout_ms=round(max_wait_s * 1000), max_records=max_records)
            stands_at = int(self._consumer.position(self._tp, timeout_ms=self._settings.probe_timeout_ms))
        except OffsetOutOfRangeError as error:
            self._raise_out_of_range(error)
        except (LogTruncationError, CorruptRecordError, UnsupportedCodecError) as error:
            self._raise_broken(error)
        except KafkaError as error:
            self.seek_to(self._at)
            raise while_running(self._settings, error, self._where) from error
        records = batch.get(self._tp, ())
        if self._known_topic_id() != self._topic_id:
            try:
                self._confirm_topic()
            except RetryLater:
                self.seek_to(self._at)  # nothing that this poll brought is lost
                raise
        self._at = stands_at
        if not records:
            if time.monotonic() - self._heard_at >= self._settings.probe_interval_s:
                self._probe()
            return []
        self._heard_at = time.monotonic()
        topic, partition = self._topic, self._partition
        return [
            RawRecord(KafkaPosition(topic, partition, record.offset), record.key, record.value, tuple(record.headers), record.timestamp)
            for record in records
        ]

    def close(self) -> None:
        """Close the connection (bounded)."""
        self._consumer.close(autocommit=False, timeout_ms=1000)

    def _known_topic_id(self) -> str | None:
        """The id in the metadata that the consumer refreshes in the background; None when the topic is gone."""
        found = known_topic_id(self._consumer, self._topic)
        return None if found is None else str(found)

    def _probe(self) -> None:
        """Ask something that needs an answer. A silent poll does not tell an idle topic from a dead broker."""
        try:
            self._consumer.end_offsets([self._tp], timeout_ms=self._settings.probe_timeout_ms)
        except KafkaTimeoutError as error:
            self._check_partition()
            raise while_running(self._settings, error, self._where) from error
        except KafkaError as error:
            raise while_running(self._settings, error, self._where) from error
        self._heard_at = time.monotonic()
        if self._topic_id is not None and self._known_topic_id() != self._topic_id:
            self._confirm_topic()

    def _confirm_topic(self) -> None:
        """The metadata shows no topic or another one: believe it only from a fresh answer, then stop for good."""
        with ClusterWatch(self._settings) as watch:
            try:
                watch.verify(self._topic, self.topic_id)
            except StopPipeline as error:
                self._broken = error
                raise

    def _check_partition(self) -> None:
        with ClusterWatch(self._settings) as watch:
            info = watch.find(self._topic)
        found_id = None if info is None else info.topic_id
        if self._topic_id is not None and found_id != self._topic_id:
            self._broken = recreated(self._topic, self._topic_id, found_id)
            raise self._broken
        if info is None:
            raise missing(self._settings, self._topic)
        if self._partition not in info.partitions:
            raise StopPipeline(
                expected=f"one of the partitions {list(info.partitions)}",
                got=str(self._partition),
                where=f"topic {self._topic}",
                action="Start the pipeline again: it reads the partitions anew.",
            )

    def _raise_out_of_range(self, error: OffsetOutOfRangeError) -> NoReturn:
        """Below the log: a gap. Beyond its end: not the log we knew."""
        position = self._at
        try:
            begin = int(self._consumer.beginning_offsets([self._tp], timeout_ms=self._settings.probe_timeout_ms)[self._tp])
        except KafkaError as failed:
            raise while_running(self._settings, failed, self._where) from failed
        self._confirm_topic()
        if position < begin:
            raise GapFound(position, begin) from error
        self._broken = StopPipeline(
            expected=f"offset {position} in the log or at its end",
            got=f"a log that begins at {begin} and ends before {position}",
            where=self._where,
            action="The table knows more than Kafka has: wrong broker, wrong topic or lost data. Check the address and the topic.",
        )
        raise self._broken from error

    def _raise_broken(self, error: KafkaError) -> NoReturn:
        """Another poll would spin for ever at full load, so this reader is finished."""
        if isinstance(error, LogTruncationError):
            self._confirm_topic()
        position = self._at
        self._broken = StopPipeline(
            expected="records that can be read",
            got=f"{type(error).__name__}: {error}",
            where=f"{self._where} at offset {position}",
            action="What is stored there is damaged or was cut off. To go on behind it, delete the records up to there "
            "(kafka-delete-records.sh); the table then shows a gap.",
        )
        raise self._broken from error
