"""Reads selected offsets of a partition only; all others are stepped over as if they held no record."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from contracts.frame import RawRecord
from pipeline.kafka.interfaces import PartitionReader
from pipeline.kafka.reader import GapFound


class SelectedReader:
    """A `PartitionReader` of some offsets of another one. Not for several threads."""

    def __init__(self, reader: PartitionReader, offsets: Sequence[int]) -> None:
        """Begin at the reader's position.

        Args:
            reader: connected; ours to close.
            offsets: ascending, each once.
        """
        self._reader = reader
        self._offsets = offsets
        self._at = reader.position

    @property
    def position(self) -> int:
        """The next selected offset, or the one behind the last."""
        index = bisect_left(self._offsets, self._at)
        return self._offsets[index] if index < len(self._offsets) else max(self._at, self._offsets[-1] + 1)

    def seek_to(self, offset: int) -> None:
        """Continue at another offset."""
        self._at = offset

    def poll(self, max_records: int, max_wait_s: float) -> list[RawRecord]:
        """The next selected records in offset order; errors as `LogReader.poll`.

        Raises:
            GapFound: retention has deleted selected offsets.
        """
        start = self.position
        stop = self._end_of_run(start)
        if stop == start:
            return []
        if self._reader.position != start:
            self._reader.seek_to(start)
        try:
            records = self._reader.poll(min(max_records, stop - start), max_wait_s)
        except GapFound as gap:
            raise GapFound(start, min(gap.stop, stop)) from gap
        self._at = min(self._reader.position, stop)
        return [record for record in records if record.position.offset < stop]

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()

    def _end_of_run(self, start: int) -> int:
        """The offset behind the selected ones that follow `start` without a break."""
        index = bisect_left(self._offsets, start)
        stop = start
        while index < len(self._offsets) and self._offsets[index] == stop:
            stop, index = stop + 1, index + 1
        return stop
