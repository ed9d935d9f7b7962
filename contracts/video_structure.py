"""Holes in containers that do not count their frames: Matroska, MPEG-TS, FLV, walked without decoding anything.

A jump in the times of a video may be a camera that paused or a piece that is gone. FFmpeg's demuxers step over what is gone without a word;
the elements, counters and sizes of the container say which it was.

Sources: RFC 8794 (EBML) and RFC 9559 (Matroska); ISO/IEC 13818-1, §2.4.3.3 (continuity counters); FLV specification 10.1, annex E.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np

_SEGMENT, _CLUSTER, _GROUP = 0x18538067, 0x1F43B675, 0xA0
_PARENTS = frozenset({_SEGMENT, _CLUSTER, _GROUP})
_OF_FILE = frozenset({0x1A45DFA3, _SEGMENT, 0xEC})
# Seek head, info, tracks, chapters, cues, attachments, tags; void and checksum may stand anywhere.
_OF_SEGMENT = frozenset({0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1043A770, 0x1C53BB6B, 0x1941A469, 0x1254C367, _CLUSTER, 0xEC, 0xBF})
# Time, simple block, group, position, size of the one before, silent tracks, encrypted block.
_OF_CLUSTER = frozenset({0xE7, 0xA3, _GROUP, 0xA7, 0xAB, 0x5854, 0xAF, 0xEC, 0xBF})
_CHILDREN = {_SEGMENT: _OF_SEGMENT, _CLUSTER: _OF_CLUSTER}
_SYNC, _NO_PAYLOAD_PID = 0x47, 0x1FFF
_STRIDES = (188, 192, 204, 208)  # plain, with a time before it (M2TS), with checks behind it
_LOOKED_AT = 5
_MOST_BEFORE = 1024
_AT_ONCE = 100_000
_LONGEST_HEAD = 12
_FLV_TAGS = frozenset({8, 9, 18})


def hole_places(path: Path, kind: str, stream_id: int) -> list[int]:
    """Bytes before which something is missing, in order; the number of all bytes where the file is cut off at its end.

    In MPEG-TS all of them; in the others the first one, behind which nothing is known.

    Args:
        path: the file.
        kind: FFmpeg's name of the container; of others than the three nothing is said.
        stream_id: of the video (its PID in MPEG-TS).

    Raises:
        OSError: the file cannot be read.
    """
    walk: dict[str, Callable[[mmap.mmap], list[int]]] = {
        "matroska,webm": _matroska,
        "mpegts": lambda data: _mpegts(data, stream_id),
        "flv": _flv,
    }
    if kind not in walk:
        return []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return walk[kind](data)


def is_cut(path: Path, kind: str) -> bool:
    """True where an MPEG-TS, which says nothing of its length, ends in the middle of a packet; of others nothing is said.

    Raises:
        OSError: the file cannot be read.
    """
    if kind != "mpegts":
        return False
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        grid = _grid(file.read(_MOST_BEFORE + _LOOKED_AT * max(_STRIDES)))
    if grid is None:
        return False
    stride, first = grid
    # The time of M2TS stands before its packet.
    return (num_bytes - first + (4 if stride == 192 else 0)) % stride != 0


def _matroska(data: mmap.mmap) -> list[int]:
    """The first element that its parent may not hold, or that ends behind it."""
    at, is_complete, is_cut_off = 0, False, False
    open_elements = [(0, len(data), False)]  # of each open one: name, end, whether its end is stated
    while at < len(data):
        while at >= open_elements[-1][1]:
            open_elements.pop()
        name, body, size = _element(data, at)
        # An element of unknown size ends where one begins that belongs to a parent of it.
        while not open_elements[-1][2] and len(open_elements) > 1 and name not in _CHILDREN.get(open_elements[-1][0], {name}):
            open_elements.pop()
        parent, end, _ = open_elements[-1]
        known = _CHILDREN.get(parent) if parent else _OF_FILE
        stop = end if size is None else body + size
        if stop > end == len(data):  # all before the end is there
            stop, is_cut_off = end, True
        if name < 0 and len(data) - at < _LONGEST_HEAD:
            return [len(data)] if parent or not is_complete else []
        if name < 0 or stop > end or (known is not None and name not in known):
            return [at] if parent or not is_complete else []  # bytes behind the end are none of the file's
        is_complete = is_complete or (name == _SEGMENT and size is not None)
        if name in _PARENTS:
            open_elements.append((name, stop, size is not None))
        at = body if name in _PARENTS else stop
    return [len(data)] if is_cut_off else []


def _element(data: mmap.mmap, at: int) -> tuple[int, int, int | None]:
    """Name of an element (-1 for none), where its body begins, and its size; None of an unknown one."""
    width = 9 - data[at].bit_length()
    start = at + width
    if width > 4 or start >= len(data):
        return -1, at, 0
    name = int.from_bytes(data[at:start], "big")
    width = 9 - data[start].bit_length()
    if width > 8 or start + width > len(data):
        return -1, at, 0
    ones = (1 << 7 * width) - 1
    size = int.from_bytes(data[start : start + width], "big") & ones
    return name, start + width, None if size == ones else size


def _mpegts(data: mmap.mmap, pid: int) -> list[int]:
    """Packets that do not begin where they should, that say that they are damaged, or whose counter jumps."""
    grid = _grid(data)
    if grid is None:
        return [0]
    places: list[int] = []
    stride, first = grid
    num, counter = (len(data) - first) // stride, -1
    for begin in range(0, num, _AT_ONCE):
        rows = np.frombuffer(data, np.uint8, stride * min(_AT_ONCE, num - begin), first + stride * begin).reshape(-1, stride)
        heads_N5 = np.array(rows[:, :6])
        del rows  # it holds the mapping
        starts_N = first + stride * (begin + np.arange(len(heads_N5)))
        if (heads_N5[:, 0] != _SYNC).any():  # nothing behind it is where it should be
            lost = int(starts_N[np.argmax(heads_N5[:, 0] != _SYNC)])
            return sorted({*places, *range(lost, len(data), stride)})
        pids = (heads_N5[:, 1].astype(np.int32) & 0x1F) << 8 | heads_N5[:, 2]
        is_own_N = (pids == pid) & (pid != _NO_PAYLOAD_PID)
        own, own_starts = heads_N5[is_own_N], starts_N[is_own_N]
        places += own_starts[own[:, 1] & 0x80 > 0].tolist()
        announced = (own[:, 3] & 0x20 > 0) & (own[:, 4] > 0) & (own[:, 5] & 0x80 > 0)
        with_payload = own[:, 3] & 0x10 > 0
        counters = own[with_payload, 3] & 15
        if not len(counters):
            continue
        before = np.concatenate([counters[:1] - 1 if counter < 0 else [counter], counters[:-1]])
        steps = (counters.astype(np.int32) - before) & 15
        jumps = (steps > 1) & ~announced[with_payload]  # 0: sent twice, which is allowed
        places += own_starts[with_payload][jumps].tolist()
        counter = int(counters[-1])
    return sorted(places)


def _grid(data: mmap.mmap | bytes) -> tuple[int, int] | None:
    """Distance of the packets and place of the first one; None where none can be made out."""
    for first in range(min(_MOST_BEFORE, len(data))):
        if data[first] == _SYNC:
            for stride in _STRIDES:
                places = range(first, min(len(data), first + stride * _LOOKED_AT), stride)
                if len(places) > 1 and all(data[place] == _SYNC for place in places):
                    return stride, first
    return None


def _flv(data: mmap.mmap) -> list[int]:
    """The first tag of another kind, or of another size than stands behind it."""
    at = int.from_bytes(data[5:9], "big") + 4
    while at < len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        behind = at + 11 + size
        if data[at] & 0x1F not in _FLV_TAGS:
            return [at]
        if behind + 4 > len(data):
            return [len(data)]
        if int.from_bytes(data[behind : behind + 4], "big") not in (0, 11 + size):
            return [at]
        at = behind + 4
    return []
