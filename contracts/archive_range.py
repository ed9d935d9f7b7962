"""The range of an archive run: fixed when the run begins, stored, and the same for every driver and every restart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.position import TopicPartition

ARCHIVE_PREFIX = "archive:"
"""Begins the `source_topic` of rows whose source is no Kafka topic."""


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RangePartition(_Stored):
    """Part of a range with offsets of its own.

    Attributes:
        number: of the partition.
        start, stop: offsets, half-open.
        num_bytes: size of its messages or files, about; None where it is not known.
        selected: half-open ranges of the only offsets that belong to it, ascending; None for all.
        sensor_id: of its frames; None where messages say it.
        first, last: names of the first and last file, below the input.
        digest: sha256 over names, sizes, numbers of frames, labels, and first and last bytes of its files.
    """

    number: int = Field(ge=0)
    start: int = Field(ge=0)
    stop: int = Field(ge=0)
    num_bytes: int | None = None
    selected: tuple[tuple[int, int], ...] | None = None
    sensor_id: str | None = None
    first: str | None = None
    last: str | None = None
    digest: str | None = None

    @property
    def num_rows(self) -> int:
        """Positions of which each gets a row, where all hold a record."""
        return self.stop - self.start if self.selected is None else sum(stop - start for start, stop in self.selected)


class ArchiveRequest(_Stored):
    """The input as it was asked for; a run is resumed by the same only.

    Attributes:
        kind: what the input is.
        inputs: topic, paths, or run, as given.
        begin, end: bounds as given (`--from`, `--to`).
        options: what else was said of it, by name.
    """

    kind: Literal["topic", "files", "run"]
    inputs: tuple[str, ...]
    begin: str | None = None
    end: str | None = None
    options: Mapping[str, str] = Field(default_factory=dict)

    def __str__(self) -> str:
        """As a person would say it."""
        parts = [f"{self.kind} {', '.join(self.inputs)}"]
        parts += [f"{name} {value}" for name, value in (("from", self.begin), ("to", self.end), *sorted(self.options.items())) if value]
        return ", ".join(parts)


class ArchiveRange(_Stored):
    """Every position that a run must have a row for.

    Attributes:
        version: of this form.
        run_id: whose.
        topic: `source_topic` of its rows: a Kafka topic, or `archive:<name>`.
        topic_id: Kafka's id of it; of files a digest of all partitions.
        request: the input as it was asked for.
        stored_at: when the range was fixed; of files it is the time of ingestion.
        models: what decides about the rows: the networks' settings.
        partitions: ascending.
    """

    version: Literal[1] = 1
    run_id: str
    topic: str
    topic_id: str
    request: ArchiveRequest
    stored_at: datetime
    models: dict[str, Any] = Field(default_factory=dict)
    partitions: tuple[RangePartition, ...]

    @property
    def is_topic(self) -> bool:
        """True where the rows come from Kafka."""
        return not self.topic.startswith(ARCHIVE_PREFIX)

    @property
    def starts(self) -> dict[int, int]:
        """First offset per partition."""
        return {each.number: each.start for each in self.partitions}

    @property
    def stops(self) -> dict[int, int]:
        """Exclusive end per partition."""
        return {each.number: each.stop for each in self.partitions}

    @property
    def ends(self) -> dict[TopicPartition, int]:
        """The same, by topic and partition."""
        return {TopicPartition(self.topic, each.number): each.stop for each in self.partitions}

    @property
    def num_rows(self) -> int:
        """Positions of all partitions."""
        return sum(each.num_rows for each in self.partitions)

    @property
    def selected_offsets(self) -> dict[int, tuple[int, ...]]:
        """The only offsets of each partition, ascending; partitions of which all offsets belong to the range are left out."""
        return {
            each.number: tuple(offset for start, stop in each.selected for offset in range(start, stop))
            for each in self.partitions
            if each.selected is not None
        }

    def share(self, number: int, of: int) -> ArchiveRange:
        """The partitions of one of several drivers: about as much for each, and the same at every start.

        Args:
            number: of the driver, from 1.
            of: how many there are.
        """
        loads = [0] * of
        mine: list[RangePartition] = []
        for each in sorted(self.partitions, key=lambda each: (-_load(each), each.number)):
            driver = loads.index(min(loads))
            loads[driver] += _load(each)
            if driver == number - 1:
                mine.append(each)
        return self.model_copy(update={"partitions": tuple(sorted(mine, key=lambda each: each.number))})


def _load(partition: RangePartition) -> int:
    return partition.num_bytes if partition.num_bytes is not None else partition.num_rows


def digest_of(lines: list[str]) -> str:
    """Sha256 of lines of text, surrogates of odd file names included."""
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()
