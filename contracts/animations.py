"""Image files that hold several pictures: how many, found by walking the file; of an animation nothing is decoded.

Sources: GIF89a (CompuServe 1990), §18 to §27; WebP container (RFC 9649), §2.7.
"""

from __future__ import annotations

import struct

from contracts.probes import corrupt

GIF = (b"GIF87a", b"GIF89a")
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B


def pictures_in_gif(value: bytes) -> int:
    """Image descriptors of a GIF.

    Raises:
        RejectRecord: it ends before its trailer, or a block is none of the format.
    """
    num = 0
    try:
        at = 13 + _table_bytes(value[10])
        while value[at] != _TRAILER:
            if value[at] == _IMAGE:
                num += 1
                at += 10 + _table_bytes(value[at + 9]) + 1
            elif value[at] == _EXTENSION:
                at += 2
            else:
                raise corrupt("blocks of the GIF format", f"{value[at]:#04x} at byte {at}")
            while value[at]:
                at += 1 + value[at]
            at += 1
    except IndexError as error:
        raise corrupt("a GIF up to its trailer", f"a truncated one: {len(value)} bytes") from error
    return num


def _table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def pictures_in_webp(value: bytes) -> int:
    """1 of a still WebP, the number of frames of an animated one.

    Raises:
        RejectRecord: it ends before the length that it states.
    """
    if len(value) < 8 + int.from_bytes(value[4:8], "little"):
        raise corrupt("a WebP as long as it says", f"a truncated one: {len(value)} bytes")
    if value[12:16] != b"VP8X" or len(value) < 21 or not value[20] & 2:
        return 1
    num, at = 0, 12
    while at + 8 <= len(value):
        kind, num_bytes = struct.unpack_from("<4sI", value, at)
        num += kind == b"ANMF"
        at += 8 + num_bytes + num_bytes % 2
    return max(num, 2)
