"""Checksums of FFV1: FFmpeg's decoder looks at them, says in its log that they do not hold, and shows the frame before in that place.

Source: RFC 9043, §4.9 (slice footer: size, error status, parity).
"""

from __future__ import annotations

import zlib

_FOOTER_BYTES = 8
_SIZE_BYTES = 3
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ONES = 0xFFFFFFFF
# Of error correction 1 and 2, mirrored like all that goes through zlib's CRC-32.
_STARTS = (0, int(f"{0x7A8C4079:032b}"[::-1], 2))


class SliceChecks:
    """Looks at the slices of one video, frame after frame."""

    def __init__(self) -> None:
        """No packet has been seen yet."""
        self._has_checksums = False

    def is_damaged(self, packet: bytes) -> bool:
        """True where a slice does not match its checksum; False of a video that has none, and of an empty packet.

        Args:
            packet: bytes of one encoded frame.
        """
        if not packet:
            return False
        slices = _slices(packet)
        if slices is None:
            return self._has_checksums
        self._has_checksums = True
        return not all(any(_crc(each, start) == start for start in _STARTS) for each in slices)


def _slices(packet: bytes) -> list[bytes] | None:
    """The slices with their footers, from the last one to the first; None where there are no footers with checksums."""
    found, end = [], len(packet)
    while end > 0:
        if end < _FOOTER_BYTES:
            return None
        at = end - _FOOTER_BYTES
        start = at - int.from_bytes(packet[at : at + _SIZE_BYTES], "big")
        if start < 0 or start == at:
            return None
        found.append(packet[start:end])
        end = start
    return found or None


def _crc(data: bytes, start: int) -> int:
    """CRC-32 of IEEE 802.3 with the highest bit first, here mirrored."""
    return zlib.crc32(data.translate(_MIRRORED), start ^ _ONES) ^ _ONES
