"""Header names that are no UTF-8 must not stop a partition.

The broker stores whatever a producer sends. kafka-python raises on such a name, for every poll that meets the message, so one
of them would end the stream for good. Here the odd bytes of the name are kept escaped, like those of values.
"""

from __future__ import annotations

from typing import Any, SupportsIndex

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch


class _TolerantText(bytearray):
    """A slice of the batch; only header names are ever decoded from one."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


class _TolerantBuffer(bytearray):
    """The bytes of a batch, whose slices decode whatever they hold."""

    def __getitem__(self, at: SupportsIndex | slice) -> Any:
        return _TolerantText(super().__getitem__(at)) if isinstance(at, slice) else super().__getitem__(at)


class TolerantRecordBatch(DefaultRecordBatch):
    """kafka-python's batch, which reads a record again tolerantly when a name of it is no UTF-8."""

    _buffer: bytearray

    def _read_msg(self) -> Any:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            # The position moves only when a record has been read whole, so it can be read again from its start.
            self._buffer = _TolerantBuffer(self._buffer)
            return super()._read_msg()


def accept_any_header_name() -> None:
    """Make every consumer of this process read batches tolerantly (kafka-python has no hook for it)."""
    memory_records.DefaultRecordBatch = TolerantRecordBatch
