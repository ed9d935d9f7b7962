"""Multi-picture JPEG (`.mpo`): how many pictures of their own stand behind the first one.

Source: CIPA DC-007 (2009), §5.2. Previews of the same picture are no pictures of their own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

_SIGNATURE = b"MPF\0"
_ENTRIES_TAG, _ENTRY_BYTES = 0xB002, 16
_MAX_FIELDS = 64
_PREVIEWS = frozenset({0x010001, 0x010002})
_TYPE_BITS = 0xFFFFFF


def further_pictures(bodies: Iterable[bytes]) -> int:
    """Pictures behind the first, as the index in a JPEG's segments says; 0 without an index.

    Args:
        bodies: of the segments, in any order.
    """
    return max((_further(body[len(_SIGNATURE) :]) for body in bodies if body.startswith(_SIGNATURE)), default=0)


def _further(index: bytes) -> int:
    order = "<" if index[:2] == b"II" else ">"
    try:
        (at,) = struct.unpack_from(order + "I", index, 4)
        (num_fields,) = struct.unpack_from(order + "H", index, at)
        for field in range(at + 2, at + 2 + 12 * min(num_fields, _MAX_FIELDS), 12):
            tag, _, num_bytes, place = struct.unpack_from(order + "HHII", index, field)
            if tag == _ENTRIES_TAG:
                entries = index[place : place + num_bytes]
                kinds = [attribute & _TYPE_BITS for attribute, _, _, _, _ in struct.iter_unpack(order + "IIIHH", _whole(entries))]
                return sum(kind not in _PREVIEWS for kind in kinds[1:])
    except struct.error:
        pass  # no index that can be read: the first picture is what every reader takes
    return 0


def _whole(entries: bytes) -> bytes:
    return entries[: len(entries) // _ENTRY_BYTES * _ENTRY_BYTES]
