"""Packets of a video file beside their pixels: what is read, what lies beside it, and what is gone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from contracts.klv import UAS_LOCAL_SET
from contracts.video_structure import hole_places, is_cut

_MICROSECONDS = 1_000_000
# Containers that state how long they are; the length of others is what FFmpeg has found in them.
_STATING = frozenset({"matroska,webm", "flv", "asf"})
_MAX_DEMUX_ERRORS = 100
_IS_A_GAP = 1.6
"""Times the shortest distance of two frames: times in milliseconds are up to one and a half off."""
_STEADY = 0.8
_TS_SLACK = 208
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclass(slots=True)
class Tally:
    """Notes of a pass.

    Attributes:
        num_lost: frames that are damaged, or gone; known at the end.
        beside: of each further video in the file, which is not decoded, its name and the number of its frames; known at the end.
        klv: packet of MISB ST 0601 metadata that holds for the frame that came last: the latest one not half a frame behind it.
    """

    num_lost: int = 0
    beside: dict[str, int] = field(default_factory=dict)
    klv: bytes | None = None


def length_s(container: Any, stream: Any) -> float | None:
    """Length of the video as its stream says (in Matroska by a tag), else that of the whole file."""
    said = _CLOCK.match(stream.metadata.get("DURATION", ""))
    if said:
        return 3600.0 * int(said[1]) + 60.0 * int(said[2]) + float(said[3])
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / _MICROSECONDS if container.duration else None


def is_moving(stream: Any) -> bool:
    """True of a video that FFmpeg has a decoder for; a cover picture is none."""
    from av.stream import Disposition

    return stream.codec_context is not None and not stream.disposition & Disposition.attached_pic


def is_klv(stream: Any) -> bool:
    """True of a stream of metadata packets."""
    return bool(stream.type == "data" and codec_of(stream) == "klv")


def codec_of(stream: Any) -> str:
    """FFmpeg's name of what a stream holds."""
    codec = getattr(stream, "name", None) or (stream.codec_context.name if stream.codec_context is not None else None)
    return str(codec or "unknown")


class Times:
    """Times of the packets of a video: whether any are gone."""

    def __init__(self, path: Path, container: Any, stream: Any) -> None:
        """None has come yet."""
        self._path, self._kind, self._stream = path, container.format.name, stream
        self._begins_s = (container.start_time or 0) / _MICROSECONDS
        self._length_s = length_s(container, stream) if self._kind in _STATING else None
        self._at_s: list[float] = []
        self._last_s = -math.inf
        self._shortest_s = math.inf
        self._holes: list[int] | None = None
        self._before_byte = 0
        self._num_packets = self._num_hidden = self._num_before_a_key = 0
        self._has_key = False
        self.went_back = False

    def jumps_over_a_hole(self, packet: Any) -> bool:
        """True where packets before this one are gone."""
        self._count(packet)
        before, self._before_byte = self._before_byte, packet.pos if packet.pos is not None and packet.pos >= 0 else -1
        at = packet.pts if packet.dts is None else packet.dts
        self.went_back = False
        if at is None or not packet.size:
            return False
        self._at_s.append(float(at * packet.time_base))
        step_s = self._at_s[-1] - self._at_s[-2] if len(self._at_s) > 1 else 0.0
        self.went_back = step_s < 0
        if step_s <= 0:
            return False
        is_gap = step_s > _IS_A_GAP * self._shortest_s
        self._shortest_s = min(self._shortest_s, step_s)
        return is_gap and self._is_hole_between(before, self._before_byte)

    def _count(self, packet: Any) -> None:
        self._num_packets += packet.size > 0
        self._num_hidden += packet.size > 0 and packet.is_discard  # what an edit list cuts off
        self._has_key = self._has_key or packet.is_keyframe
        self._num_before_a_key += packet.size > 0 and not self._has_key
        if packet.size and packet.pts is not None:
            self._last_s = max(self._last_s, float(packet.pts * packet.time_base))

    def num_lost(self, num_whole: int, *, any_damage: bool) -> int:
        """Frames that are damaged, gone, or predicted from others that are.

        Args:
            num_whole: frames that are whole.
            any_damage: whether any was seen to be damaged.
        """
        gone = self._num_gone(any_damage=any_damage)
        # A packet is a frame, but not in every codec: only where something is damaged do they tell how much.
        unread = self._num_packets - self._num_hidden - num_whole
        found = max(1, unread + gone) if any_damage or gone else max(0, min(self._num_before_a_key, unread))
        stated = self._stream.frames - self._num_hidden - self._num_empty() - num_whole if self._stream.frames > 0 else 0
        return max(found, stated)

    def _num_empty(self) -> int:
        """Chunks of an AVI that are empty and say that the frame before is shown on: the header counts them."""
        rate = float(self._stream.average_rate or 0)
        if self._kind != "avi" or not self._at_s:
            return 0
        steps = np.round(np.diff(np.array([-1 / rate if rate else 0.0, *self._at_s])) * rate).astype(int)
        return int(np.maximum(steps - 1, 0).sum())

    def _num_gone(self, *, any_damage: bool) -> int:
        """Packets that are gone, as well as their times tell; 0 where none is."""
        steps_s = np.diff(self._at_s)
        steps_s = steps_s[steps_s > 0]
        cut = is_cut(self._path, self._kind)
        if not len(steps_s):
            return int(cut)
        period_s = float(np.median(steps_s))
        left_s = 0.0 if self._length_s is None else self._begins_s + self._length_s - self._last_s
        ends_early = left_s > 2.5 * period_s and self._has_holes()
        if np.mean(steps_s < _IS_A_GAP * period_s) < _STEADY:  # no rate by which they could be counted
            return int(ends_early or cut)
        num = int(np.sum(np.maximum(np.round(steps_s / period_s) - 1, 0))) if any_damage else 0
        return num + (round(left_s / period_s) - 1 if ends_early else int(cut))

    def _is_hole_between(self, before: int, byte: int) -> bool:
        """True where something is missing between two packets, as far as is known: behind the first hole of some containers nothing is."""
        if self._kind == "mpegts" and before >= 0 and byte >= 0:
            return any(before <= place <= byte + _TS_SLACK for place in self._hole_places())
        return any(byte < 0 or place <= byte for place in self._hole_places())

    def _has_holes(self) -> bool:
        return bool(self._hole_places())

    def _hole_places(self) -> list[int]:
        if self._holes is None:
            try:
                self._holes = hole_places(self._path, self._kind, self._stream.id)
            except OSError:
                self._holes = []
        return self._holes


class Metadata:
    """Packets of MISB ST 0601 on their way beside the frames."""

    def __init__(self, frames_per_s: float) -> None:
        """None has come yet."""
        self._half_s = 0.5 / frames_per_s if frames_per_s else 0.0
        self._packets: list[tuple[float, bytes]] = []

    def add(self, value: bytes, time_s: float | None) -> None:
        """Keep the last set of a packet; one without a time holds from where it stands."""
        at = value.rfind(UAS_LOCAL_SET)
        if at >= 0:
            self._packets.append((-math.inf if time_s is None else time_s, value[at:]))

    def of(self, time_s: float | None) -> bytes | None:
        """The latest one whose time is not half a frame behind that of a frame; those before it are forgotten."""
        due = [number for number, (at, _) in enumerate(self._packets) if time_s is None or at < time_s + self._half_s]
        if not due:
            return None
        self._packets = self._packets[due[-1] :]
        return self._packets[0][1]


def note(packet: Any, tally: Tally, metadata: Metadata) -> None:
    """Keep what a packet of another stream than the one that is read holds."""
    other = packet.stream
    if not packet.size:
        return
    if other.type == "video" and is_moving(other):
        name = f"stream {other.index} ({other.codec_context.name}, {other.codec_context.width}x{other.codec_context.height} px)"
        tally.beside[name] = tally.beside.get(name, 0) + 1
    elif is_klv(other):
        metadata.add(bytes(packet), None if packet.pts is None else float(packet.pts * packet.time_base))


def judged(packets: Iterator[Any], stream: Any) -> Iterator[tuple[Any, bool]]:
    """Each packet, and whether it is damaged.

    The container says so of the last one before a jump of its counters, too. Where an earlier time follows, files were joined there, and
    the decoder judges.
    """
    held = None
    for packet in packets:
        if held is not None and (packet is None or packet.stream is stream):
            yield held, packet is None or None in (packet.dts, held.dts) or packet.dts >= held.dts
            held = None
        if packet is not None and packet.stream is stream and packet.is_corrupt:
            held = packet
        else:
            yield packet, False
    if held is not None:
        yield held, True


def packets_of(container: Any, stream: Any) -> Iterator[Any]:
    """Packets of every stream up to the end, where an empty one empties the decoder; None for what cannot be read on the way."""
    import av

    num_errors = 0
    packets = container.demux()
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            # What comes behind may be whole; the disk that answers nothing any more answers so each time.
            num_errors += 1
            yield None
            if num_errors > _MAX_DEMUX_ERRORS:
                last = av.Packet()
                last.stream = stream
                yield last
                return
            packets = container.demux()
            continue
        if packet is None:
            return
        yield packet
