"""Header names that are no UTF-8 must not stop a partition.

The broker stores whatever a producer sends. kafka-python raises on such a name, for every poll that meets the message, so one
of them would end the stream for good. Here the odd bytes of the name are kept escaped, like those of values.
"""

from __future__ import annotations

from typing import Any, SupportsIndex


class _TolerantText(bytearray):
    """A slice of the batch; only header names are ever decoded from one."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


class TolerantBuffer(bytearray):
    """The bytes of a batch, whose slices decode whatever they hold."""

    def __getitem__(self, at: SupportsIndex | slice) -> Any:
        """A byte, or a slice that decodes."""
        return _TolerantText(super().__getitem__(at)) if isinstance(at, slice) else super().__getitem__(at)
