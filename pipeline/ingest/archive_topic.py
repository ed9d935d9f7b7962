"""A stretch of a Kafka topic as an archive: bounds to offsets, and how large its messages are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Protocol

from contracts.archive_range import RangePartition
from contracts.errors import RetryLater, SettingsError
from contracts.position import TopicPartition
from pipeline.kafka.reader import GapFound, LogReader
from pipeline.kafka.settings import KafkaSettings

_SAMPLED_PARTITIONS = 8
_SAMPLE = 16
_SAMPLE_WAIT_S = 2.0
_NUMBERS = re.compile(r"\d+:\d+(,\d+:\d+)*")
_FORMS = "an offset (1000), offsets by partition (0:1000,1:950), or a time (2026-05-01, 2026-05-01T12:30:00Z; UTC where it says no zone)"


class Offsets(Protocol):
    """Questions about a topic's offsets, as `ClusterWatch` and `MemoryTopic` answer them."""

    def begin_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """First offset that is still there."""
        ...

    def end_offsets(self, topic: str) -> dict[TopicPartition, int]:
        """Next offset."""
        ...

    def offsets_at(self, topic: str, timestamp_ms: int) -> dict[TopicPartition, int]:
        """First offset no older than a moment."""
        ...


def topic_partitions(offsets: Offsets, topic: str, begin: str | None, end: str | None) -> list[RangePartition]:
    """Stretches of the partitions of a topic, those without an offset left out.

    Args:
        offsets: of the topic as it is now.
        topic: its name.
        begin: first offset or time, `None` for the beginning of the log.
        end: exclusive offset or time, `None` for its end now.

    Raises:
        SettingsError: a bound is neither, or nothing lies between them.
        RetryLater: Kafka does not answer.
    """
    ends = {each.partition: offset for each, offset in offsets.end_offsets(topic).items()}
    begins = {each.partition: offset for each, offset in offsets.begin_offsets(topic).items()}
    starts = begins if begin is None else _bound(offsets, topic, begin, "from", begins)
    stops = ends if end is None else _bound(offsets, topic, end, "to", ends)
    found = [
        RangePartition(number=number, start=start, stop=stop)
        for number in sorted(ends)
        if (start := min(max(starts[number], begins[number]), ends[number])) < (stop := min(stops[number], ends[number]))
    ]
    if not found:
        log = ", ".join(f"{number}: {begins[number]} to {ends[number]}" for number in sorted(ends))
        raise SettingsError(
            expected="messages between the two bounds",
            got=f"none; the log has, by partition, {log}",
            where=f"topic {topic}, from {begin or 'its beginning'} to {end or 'its end'}",
            action="Choose other bounds: `from` and `to`.",
        )
    return found


def _bound(offsets: Offsets, topic: str, text: str, option: str, otherwise: Mapping[int, int]) -> dict[int, int]:
    """The offset of each partition; `otherwise` for those that a list by partition leaves out."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return dict.fromkeys(otherwise, int(text))
    if _NUMBERS.fullmatch(text):
        named = {int(number): int(offset) for number, offset in (each.split(":") for each in text.split(","))}
        if strangers := sorted(set(named) - set(otherwise)):
            raise _wrong(option, f"partitions of topic {topic}: {', '.join(map(str, sorted(otherwise)))}", ", ".join(map(str, strangers)))
        return dict(otherwise) | named
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _wrong(option, _FORMS, repr(text)) from error
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return {each.partition: offset for each, offset in offsets.offsets_at(topic, round(moment.timestamp() * 1000)).items()}


def _wrong(option: str, expected: str, got: str) -> SettingsError:
    return SettingsError(expected=expected, got=got, where=option, action="Correct it.")


def mean_sizes(kafka: KafkaSettings, topic: str, topic_id: str, partitions: Sequence[RangePartition]) -> dict[int, float]:
    """Mean size of a message of each partition, bytes, from samples; 1 where nothing was there to sample.

    Kafka says how large a partition is to its administrators only, so some messages of the first partitions are read.
    """
    means: dict[int, float] = {}
    for each in partitions[:_SAMPLED_PARTITIONS]:
        sizes = [size for at in (each.start, (each.start + each.stop) // 2) for size in _sizes(kafka, topic, topic_id, each.number, at)]
        if sizes:
            means[each.number] = max(1.0, sum(sizes) / len(sizes))
    usual = max(means.values(), default=1.0)
    return {each.number: means.get(each.number, usual) for each in partitions}


def _sizes(kafka: KafkaSettings, topic: str, topic_id: str, partition: int, at: int) -> list[int]:
    try:
        with closing(LogReader(kafka, topic, partition, at, topic_id)) as reader:
            return [len(record.value or b"") for record in reader.poll(_SAMPLE, _SAMPLE_WAIT_S)]
    except (GapFound, RetryLater):
        return []
