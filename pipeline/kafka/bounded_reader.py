"""Reads a partition up to an offset: what lies at or behind it is none of this reader's business."""

from __future__ import annotations

from contracts.frame import RawRecord
from pipeline.kafka.interfaces import PartitionReader


class BoundedReader:
    """A `PartitionReader` of another one's records before an offset. Not for several threads.

    Where offsets hold no record (markers, compaction), a poll steps over them, and perhaps over the end.
    """

    def __init__(self, reader: PartitionReader, stop: int) -> None:
        """Begin at the reader's position.

        Args:
            reader: connected; ours to close.
            stop: exclusive end.
        """
        self._reader = reader
        self._stop = stop

    @property
    def position(self) -> int:
        """Next offset to read, at most the end."""
        return min(self._reader.position, self._stop)

    def seek_to(self, offset: int) -> None:
        """Continue at another offset."""
        self._reader.seek_to(offset)

    def poll(self, max_records: int, max_wait_s: float) -> list[RawRecord]:
        """The next records in offset order; errors as `PartitionReader.poll`."""
        return [record for record in self._reader.poll(max_records, max_wait_s) if record.position.offset < self._stop]

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()
