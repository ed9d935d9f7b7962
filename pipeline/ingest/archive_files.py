"""Files as an archive: each frame gets a position, the same at every start, and is read from there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from contracts.archive_range import RangePartition, digest_of
from contracts.errors import IrstreamError, RetryLater, StopPipeline
from contracts.frame import RawRecord
from contracts.message import encode_message
from contracts.position import KafkaPosition
from contracts.text import well_formed
from pipeline.ingest.interfaces import Reading, ReadPlan
from pipeline.ingest.ray_source import open_ray_reading
from pipeline.inputs.feeds import FrameSource, FrameToSend
from pipeline.inputs.pictures import InputFile, Picture, Unusable
from pipeline.kafka.interfaces import PartitionReader
from pipeline.kafka.selected_reader import SelectedReader

_PART_ROWS = 4096
_PART_BYTES = 2**30
_POLL_BYTES = 8 * 2**20
_END_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file of an archive, as it was when the range was fixed.

    Attributes:
        file: how to read it.
        name: below the input.
        num_bytes: its size.
        first: offset of its first picture.
        num: how many there are.
    """

    file: InputFile
    name: str
    num_bytes: int
    first: int
    num: int

    def described(self) -> str:
        """One line that another file has not: name, size, frames, labels, and its content as far as a look at both ends tells it."""
        return "\t".join((self.name, str(self.num_bytes), str(self.num), self.file.labels, _ends(self.file.path)))


@dataclass(frozen=True, slots=True)
class ArchivePart:
    """A partition of an archive of files.

    Attributes:
        number: of the partition.
        sensor_id: of its frames.
        files: in the order of their offsets, without a hole.
    """

    number: int
    sensor_id: str
    files: tuple[ArchiveFile, ...]

    @property
    def whole(self) -> bool:
        """True where it is read from its beginning only."""
        return any(file.file.from_beginning for file in self.files)

    def described(self) -> RangePartition:
        """As it is stored."""
        first, last = self.files[0], self.files[-1]
        return RangePartition(
            number=self.number,
            start=first.first,
            stop=last.first + last.num,
            num_bytes=sum(file.num_bytes for file in self.files),
            sensor_id=well_formed(self.sensor_id),
            first=well_formed(first.name),
            last=well_formed(last.name),
            digest=digest_of([file.described() for file in self.files]),
        )


def list_parts(source: FrameSource, roots: Sequence[Path], on_file: Callable[[int], None] = lambda _: None) -> list[ArchivePart]:
    """Partitions of everything a source plays: each of one sensor, and of bounded size.

    Args:
        source: sensors and their sequences.
        roots: the inputs; files are named by their place below them, so that an archive may be moved.
        on_file: called with the number of files seen so far: many take a while.
    """
    parts: list[ArchivePart] = []
    seen = 0
    for sensor_id, sequences in source.playlists.items():
        open_files: list[ArchiveFile] = []
        offset = num_bytes = 0
        for file in (file for sequence in sequences for file in _files(sequence)):
            entry = ArchiveFile(file, _name(file.path, roots), _size(file.path), offset, file.count())
            if open_files and _is_full(open_files, num_bytes, entry):
                parts.append(ArchivePart(len(parts), sensor_id, tuple(open_files)))
                open_files, num_bytes = [], 0
            open_files.append(entry)
            offset += entry.num
            num_bytes += entry.num_bytes
            seen += 1
            on_file(seen)
        if open_files:
            parts.append(ArchivePart(len(parts), sensor_id, tuple(open_files)))
    return parts


def _files(sequence: object) -> Iterable[InputFile]:
    files: Iterable[InputFile] = sequence.files()  # type: ignore[attr-defined]  # a `FileSequence`: no camera is an archive
    return files


def _is_full(files: Sequence[ArchiveFile], num_bytes: int, more: ArchiveFile) -> bool:
    # A video is read from its beginning, by one reader: it has a partition of its own.
    if more.file.from_beginning or files[-1].file.from_beginning:
        return True
    return more.first + more.num - files[0].first > _PART_ROWS or num_bytes + more.num_bytes > _PART_BYTES


def _name(path: Path, roots: Sequence[Path]) -> str:
    place = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are
    for root in roots:
        with suppress(ValueError):
            return place.relative_to(Path(os.path.abspath(root)).parent).as_posix()  # noqa: PTH100
    return path.name


def _ends(path: Path) -> str:
    """Sha256 of the first and the last bytes of a file; of a small one it is that of all."""
    try:
        with path.open("rb") as file:
            found = hashlib.sha256(file.read(_END_BYTES))
            file.seek(max(file.tell(), file.seek(0, os.SEEK_END) - _END_BYTES))
            found.update(file.read(_END_BYTES))
    except OSError:
        return "unreadable"
    return found.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class ArchiveReader:
    """A `PartitionReader` of the files of one partition. Not for several threads."""

    def __init__(self, topic: str, part: ArchivePart, start: int, ingested_at: datetime) -> None:
        """Begin at an offset.

        Args:
            topic: `source_topic` of the rows.
            part: the partition.
            start: first offset to read.
            ingested_at: of all frames: files have no time of arrival.
        """
        self._topic, self._part = topic, part
        self._ingested_ms = round(ingested_at.timestamp() * 1000)
        self._at = start
        self._entries: Iterator[tuple[ArchiveFile, datetime, Picture | Unusable]] | None = None

    @property
    def position(self) -> int:
        """Next offset to read."""
        return self._at

    def seek_to(self, offset: int) -> None:
        """Continue at another offset."""
        self._at, self._entries = offset, None

    def poll(self, max_records: int, max_wait_s: float) -> list[RawRecord]:
        """The next records; fewer than asked for where they are large.

        Raises:
            StopPipeline: a file is not what it was when the range was fixed.
            RetryLater: it cannot be read now.
        """
        if self._entries is None:
            self._entries = self._from(self._at)
        records: list[RawRecord] = []
        num_bytes = 0
        while len(records) < max_records and num_bytes < _POLL_BYTES:
            try:
                entry = next(self._entries, None)
            except IrstreamError:
                # A generator that has raised is at its end, which would look like that of the files.
                self._entries = None
                if records:
                    break  # they count as read by `position`; the next call meets the same again
                raise
            if entry is None:
                break
            record = self._record(*entry)
            num_bytes += len(record.value or b"")
            records.append(record)
            self._at += 1
        return records

    def close(self) -> None:
        """Close the file that is open."""
        self._entries = None

    def _from(self, offset: int) -> Iterator[tuple[ArchiveFile, datetime, Picture | Unusable]]:
        for file in self._part.files:
            if offset < file.first + file.num:
                modified_at = _require_as_it_was(file)
                for entry in _pictures(file, max(0, offset - file.first)):
                    yield file, modified_at, entry

    def _record(self, file: ArchiveFile, modified_at: datetime, entry: Picture | Unusable) -> RawRecord:
        position = KafkaPosition(self._topic, self._part.number, self._at)
        if isinstance(entry, Unusable):
            headers = (("item", file.name.encode("utf-8", "replace")), ("ce_id", self._frame_id().encode("utf-8", "replace")))
            key = self._part.sensor_id.encode("utf-8", "replace")
            return RawRecord(position, key, None, headers, self._ingested_ms, f"{file.name}: {entry.why}")
        fps = file.file.fps
        captured_at = modified_at + timedelta(seconds=(self._at - file.first) / fps) if fps else modified_at
        meta = FrameToSend(self._part.sensor_id, entry).meta(frame_id=self._frame_id(), number=self._at, captured_at=captured_at)
        key, value, headers_of = encode_message(meta, entry.payload, source="irstream/reprocess")
        return RawRecord(position, key, value, tuple(headers_of), self._ingested_ms)

    def _frame_id(self) -> str:
        return f"{self._part.sensor_id}/{self._at}"


def _require_as_it_was(file: ArchiveFile) -> datetime:
    """The moment of its last change, UTC; raises where it is another file now."""
    try:
        state = file.file.path.stat()
    except FileNotFoundError as error:
        raise _changed(file, "nothing there") from error
    except OSError as error:
        raise RetryLater(
            expected="a file that can be read",
            got=error.strerror or str(error),
            where=str(file.file.path),
            action="It is tried again; check the disk.",
        ) from error
    if state.st_size != file.num_bytes:
        raise _changed(file, f"{state.st_size:,} bytes")
    try:
        return datetime.fromtimestamp(state.st_mtime, UTC)
    except (ValueError, OverflowError, OSError):  # beyond the year 9999: it says nothing
        return datetime.fromtimestamp(0, UTC)


def _pictures(file: ArchiveFile, first: int) -> Iterator[Picture | Unusable]:
    """As many as were counted when the range was fixed, from `first` on; what is missing is unusable."""
    at, why = first, f"expected {file.num} frames, as were counted when the range was fixed"
    for entry in file.file.pictures(first):
        if isinstance(entry, Picture):
            if at >= file.num:
                raise _changed(file, f"more than its {file.num} frames")
            yield entry
            at += 1
            continue
        why = entry.why
        for _ in range(min(entry.num, file.num - at)):
            yield entry
            at += 1
    for _ in range(file.num - at):
        yield Unusable(str(file.file.path), why)


def _changed(file: ArchiveFile, got: str) -> StopPipeline:
    return StopPipeline(
        expected=f"the file as it was when the range was fixed ({file.num_bytes:,} bytes, {file.num} frames)",
        got=got,
        where=str(file.file.path),
        action="Put it back, or reprocess what is there now under another run id.",
    )


@dataclass(frozen=True, slots=True)
class OpenPart:
    """Opens the reader of one partition, in the worker."""

    part: ArchivePart
    ingested_at: datetime

    def __call__(self, plan: ReadPlan, partition: int, start: int) -> PartitionReader:
        """See `pipeline.ingest.ray_source.Connect`."""
        assert partition == self.part.number
        reader = ArchiveReader(plan.topic, self.part, start, self.ingested_at)
        return SelectedReader(reader, plan.selected_offsets[partition]) if partition in plan.selected_offsets else reader


def open_archive_reading(parts: dict[int, ArchivePart], ingested_at: datetime, plan: ReadPlan) -> Reading:
    """Source and coordinator of one generation; needs a running Ray."""
    return open_ray_reading("ArchiveEpoch", lambda partition: OpenPart(parts[partition], ingested_at), plan)
