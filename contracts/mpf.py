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
    return max((len(_offsets(body[len(_SIGNATURE) :])) for body in bodies if body.startswith(_SIGNATURE)), default=0)


def offsets_of_further_pictures(value: bytes) -> list[int]:
    """Places at which the further pictures of a multi-picture file begin, from the start of the file."""
    at = value.find(_SIGNATURE) + len(_SIGNATURE)
    return [at + offset for offset in _offsets(value[at:])] if at >= len(_SIGNATURE) else []


def _offsets(index: bytes) -> list[int]:
    """From the beginning of the index, but for its first picture."""
    order = "<" if index[:2] == b"II" else ">"
    try:
        (at,) = struct.unpack_from(order + "I", index, 4)
        (num_fields,) = struct.unpack_from(order + "H", index, at)
        for field in range(at + 2, at + 2 + 12 * min(num_fields, _MAX_FIELDS), 12):
            tag, _, num_bytes, place = struct.unpack_from(order + "HHII", index, field)
            if tag == _ENTRIES_TAG:
                entries = index[place : place + num_bytes]
                whole = entries[: len(entries) // _ENTRY_BYTES * _ENTRY_BYTES]
                rows = list(struct.iter_unpack(order + "IIIHH", whole))
                return [offset for attribute, _, offset, _, _ in rows[1:] if attribute & _TYPE_BITS not in _PREVIEWS]
    except struct.error:
        pass  # no index that can be read: the first picture is what every reader takes
    return []
