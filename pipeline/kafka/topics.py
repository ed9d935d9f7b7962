"""Questions about topics: ids, partitions, offsets; creating them; the hint for lag tools. Every call is bounded."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import kafka
from kafka import KafkaAdminClient
from kafka.errors import KafkaError, NoError, RetriableError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code
from kafka.partitioner.default import murmur2
from kafka.structs import OffsetAndMetadata

from contracts.errors import RetryLater, SettingsError, StopPipeline
from contracts.position import TopicPartition
from pipeline.kafka.client import connect_admin, unreachable, while_running
from pipeline.kafka.settings import KafkaSettings

Answer = TypeVar("Answer")
_EARLIEST, _LATEST = -2, -1
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as the broker knows it.

    Attributes:
        topic_id: UUID as text; a deleted and recreated topic has another one.
        partitions: numbers, ascending.
    """

    topic_id: str
    partitions: tuple[int, ...]


class ClusterWatch:
    """One connection for repeated questions (lag, ids); makes itself anew after an outage.

    Not for several threads at once.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        """Remember the address; the first question connects."""
        self._settings = settings
        self._admin: KafkaAdminClient | None = None

    def __enter__(self) -> Self:
        """For one question or several."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; the next question opens a new one."""
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()

    def find(self, topic: str) -> TopicInfo | None:
        """Describe a topic; None when there is none of this name.

        Raises:
            RetryLater: no answer.
            StopPipeline: not allowed to.
        """
        described = self._ask(f"describing topic {topic}", lambda admin: admin.describe_topics([topic]))[0]
        error = for_code(described["error_code"])
        if error is UnknownTopicOrPartitionError:
            return None
        if error is not NoError:
            raise while_running(self._settings, error(), f"describing topic {topic}")
        partitions = sorted(int(each["partition_index"]) for each in described["partitions"])
        return TopicInfo(str(described["topic_id"]), tuple(partitions))

    def verify(self, topic: str, topic_id: str) -> None:
        """Make sure that a topic is still the one we began with; ask before every commit of offsets.

        A recreated topic is another topic: its offsets mean other messages, yet Kafka serves them without a word.
        Ids never come back, so an id that is right now was right during all reads until now.

        Raises:
            RetryLater: no answer.
            StopPipeline: it is gone or another one.
        """
        found = self.find(topic)
        if found is None or found.topic_id != topic_id:
            raise recreated(topic, topic_id, None if found is None else found.topic_id)

    def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """Next offset of each partition that a reader of committed records can reach.

        Raises:
            RetryLater: no answer.
            SettingsError: no such topic.
        """
        return self._offsets(topic, _LATEST)

    def begin_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """First offset of each partition that retention has left. Errors as `end_offsets`."""
        return self._offsets(topic, _EARLIEST)

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[TopicPartition, int]:
        """First offset of each partition whose record is no older than a moment; the next offset where there is none.

        Args:
            topic: its name.
            timestamp_ms: Unix milliseconds, as Kafka's timestamps.

        Raises:
            RetryLater: no answer.
            SettingsError: no such topic.
        """
        found, ends = self._offsets(topic, max(0, timestamp_ms)), self.end_offsets(topic)
        return {partition: min(offset, ends[partition]) if offset >= 0 else ends[partition] for partition, offset in found.items()}

    def hint(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Show lag tools how far we are, under `group_hint`. Nothing reads it back; failures are only logged."""
        try:
            found = {kafka.TopicPartition(each.topic, each.partition): OffsetAndMetadata(stop, "", -1) for each, stop in offsets.items()}
            group = self._settings.group_hint
            answers = self._ask("offset hint", lambda admin: admin.alter_group_offsets(group, found))
            # A coordinator that is still loading passes by itself: the next hint, seconds later, says the same.
            lasting = {each: kind for each, kind in answers.items() if kind is not NoError and not issubclass(kind, RetriableError)}
            refused = {str(each): kind.__name__ for each, kind in lasting.items()}
            if refused:
                _log.warning("offset hint for lag tools refused (does somebody subscribe with group %s?): %s", group, refused)
        except (RetryLater, StopPipeline) as error:
            # The very first one may come before the broker has made its own topic for offsets.
            _log.info("offset hint for lag tools not written: %s", error)

    def _offsets(self, topic: str, spec: int) -> dict[TopicPartition, int]:
        info = self.find(topic)
        if info is None:
            raise missing(self._settings, topic)
        wanted = {kafka.TopicPartition(topic, partition): spec for partition in info.partitions}
        found = self._ask(
            f"offsets of topic {topic}",
            lambda admin: admin.list_partition_offsets(
                wanted, isolation_level="read_committed", timeout_ms=round(self._settings.connect_timeout_s * 1000)
            ),
        )
        return {TopicPartition(each.topic, each.partition): int(at.offset) for each, at in sorted(found.items())}

    def _ask(self, where: str, question: Callable[[KafkaAdminClient], Answer]) -> Answer:
        """Ask; once more on a new connection, because an old admin client does not survive a restart of the broker."""
        fresh = self._admin is None
        try:
            self._admin = self._admin or connect_admin(self._settings)
            return question(self._admin)
        except KafkaError as error:
            self.close()
            if fresh:
                raise while_running(self._settings, error, where) from error
        return self._ask(where, question)


def describe_topic(settings: KafkaSettings, topic: str) -> TopicInfo:
    """Id and partitions of a topic, for the start of a command.

    Raises:
        SettingsError: no broker answers, or there is no such topic; says how to create it.
    """
    info = _at_start(settings, lambda watch: watch.find(topic))
    if info is None:
        raise missing(settings, topic)
    return info


def end_offsets(settings: KafkaSettings, topic: str) -> dict[TopicPartition, int]:
    """Next offset of each partition, by a connection of its own (`ClusterWatch` for repeated questions).

    Raises:
        RetryLater: no answer.
        SettingsError: no such topic.
    """
    with ClusterWatch(settings) as watch:
        return watch.end_offsets(topic)


def begin_offsets(settings: KafkaSettings, topic: str) -> dict[TopicPartition, int]:
    """First kept offset of each partition; otherwise as `end_offsets`."""
    with ClusterWatch(settings) as watch:
        return watch.begin_offsets(topic)


def ensure_topic(settings: KafkaSettings, topic: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
    """Create a topic unless it exists (then it stays as it is), and wait until it can be used.

    Raises:
        SettingsError: no broker answers, or it refuses the name, number or configuration.
    """
    if _at_start(settings, lambda watch: watch.find(topic)) is not None:
        return  # asking to create it needs a right that a user of an existing topic may not have
    replicas = -1  # the broker's default
    wanted: dict[str, Any] = {topic: {"num_partitions": partitions, "replication_factor": replicas, "configs": dict(config or {})}}
    try:
        admin = connect_admin(settings)
    except KafkaError as error:
        raise unreachable(settings, error) from error
    try:
        admin.create_topics(wanted, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        return
    except KafkaError as error:
        raise SettingsError(
            expected="a new topic",
            got=f"{type(error).__name__}: {error}",
            where=f"creating topic {topic} with {partitions} partitions at {settings.bootstrap_servers}",
            action="Check name, number, configuration and the rights of this user.",
        ) from error
    finally:
        admin.close()


def partitions_of(keys: Iterable[str], partitions: Sequence[int]) -> dict[int, int]:
    """Number of keys in each partition that gets one, as Kafka's own producers divide them: by a hash, so not evenly.

    Args:
        keys: sensor ids.
        partitions: of the topic, ascending.
    """
    hashed = ((murmur2(key.encode()) & 0x7FFFFFFF) % len(partitions) for key in keys)
    return dict(sorted(Counter(partitions[each] for each in hashed).items()))


def commit_offset_hint(settings: KafkaSettings, offsets: Mapping[TopicPartition, int]) -> None:
    """Show lag tools how far we are, once (`ClusterWatch.hint` for repeated use); failures are only logged."""
    with ClusterWatch(settings) as watch:
        watch.hint(offsets)


def missing(settings: KafkaSettings, topic: str) -> SettingsError:
    """The error of a topic that does not exist."""
    return SettingsError(
        expected=f"a topic named {topic}",
        got="none of this name",
        where=f"Kafka at {settings.bootstrap_servers}",
        action=f"Check the spelling, or create it: irstream publish synthetic --create-topic --topic {topic}, or with Kafka's own tool: "
        f"kafka-topics.sh --create --topic {topic} --partitions 4",
    )


def recreated(topic: str, expected_id: str, found_id: str | None) -> StopPipeline:
    """The error of a topic that is no longer the one we read from."""
    return StopPipeline(
        expected=f"topic {topic} with id {expected_id}",
        got="it was deleted" if found_id is None else f"another topic of this name, id {found_id}",
        where=f"topic {topic}",
        action="Its offsets mean other messages now. Use another run_id (or another table) for the new topic.",
    )


def _at_start(settings: KafkaSettings, question: Callable[[ClusterWatch], Answer]) -> Answer:
    with ClusterWatch(settings) as watch:
        try:
            return question(watch)
        except RetryLater as error:
            raise unreachable(settings, error.__cause__ or error) from error
