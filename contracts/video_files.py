"""Frames of video files as grey counts: the one way for publishing and training.

A video is decoded with its bits or refused, and what cannot be read is counted: a reader that ends early is no end of the video, and a
frame that a decoder has made up around damage is none. A length in time is no count of frames: sound may last longer, and a camera may
pause. PyAV rather than OpenCV: it hands on the errors and depths of FFmpeg's decoders.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from contracts.errors import RejectReason, RejectRecord
from contracts.ffv1 import SliceChecks
from contracts.video_packets import Metadata, Tally, Times, codec_of, is_klv, is_moving, judged, length_s, note, packets_of

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv", ".ts", ".m2ts", ".mts", ".3gp", ".flv", ".mjpg", ".mjpeg"}
)
# Of damage the decoder shall make an error, not a guess: https://ffmpeg.org/ffmpeg-codecs.html, `err_detect`.
_STRICT = {"err_detect": "crccheck+explode"}

_INTEGERS = re.compile("gray(9|10|12|14|16)(le|be)")

Grey = NDArray[np.uint8] | NDArray[np.uint16]
_G = TypeVar("_G", NDArray[np.uint8], NDArray[np.uint16])


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Facts that a video states about itself.

    Attributes:
        fps: frames per second; None where it does not say.
        num_frames: number of frames, counted by its header, else as many as its length has at this rate; None where it says neither.
        is_counted: whether the header counts them.
        bits: of a sample.
        is_grey: whether it has one channel.
        unread: streams that hold neither frames nor sound, and are not read.
    """

    fps: float | None = None
    num_frames: int | None = None
    is_counted: bool = False
    bits: int = 8
    is_grey: bool = False
    unread: tuple[str, ...] = ()


def video_info(path: Path) -> VideoInfo:
    """Rate, length and depth as the file says; nothing of one that is no video."""
    with _opened(path) as video:
        if video is None:
            return VideoInfo()
        container, stream = video
        fps = float(stream.average_rate or 0)
        counted_frames = int(stream.frames)
        num = counted_frames if counted_frames > 0 else round((length_s(container, stream) or 0) * fps)
        components = stream.codec_context.format.components if stream.codec_context.format else ()
        bits = max((component.bits for component in components), default=8)
        is_grey = len(components) == 1 and not stream.codec_context.format.has_palette
        unread = tuple(
            f"{each.type} ({codec_of(each)})" for each in container.streams if each.type in ("data", "subtitle") and not is_klv(each)
        )
    return VideoInfo(fps if 0 < fps <= 1000 else None, num if num > 0 else None, counted_frames > 0, bits, is_grey, unread)


def count_frames(path: Path) -> int:
    """Number of frames of a video, those that cannot be read included as far as it says; at least one.

    The video is read through: a header may count fewer than there are (a recorder that was cut off writes it late), or none.
    """
    info = video_info(path)
    num = 0
    tally = Tally()

    def count(_: int) -> bool:
        nonlocal num
        num += 1
        return False

    try:
        for _ in grey_frames(path, count, tally):
            pass
    except RejectRecord:  # a form that is not decoded: as many as the header counts cannot be used
        return max(1, info.num_frames or 0)
    return max(1, num + tally.num_lost) + sum(tally.beside.values())


def grey_frames(path: Path, wanted: Callable[[int], bool] | None = None, tally: Tally | None = None) -> Iterator[tuple[int, Grey]]:
    """The frames of a video that can be read, also behind some that cannot.

    Behind a damaged frame those are left out that were predicted from it, up to the next one that stands by itself.

    Args:
        path: the file; one that is no video has no frames.
        wanted: whether the frame of a number is to be decoded to pixels; None for all.
        tally: counts those that are damaged.

    Yields:
        Number from 0 among those that can be read, and luma `(height, width)` of 8 bits, or grey of 9 to 16 bits as stored.

    Raises:
        RejectRecord: more than 8 bits, and not grey.
    """
    info = video_info(path)
    if info.bits > 8 and not info.is_grey:
        raise _too_deep(info.bits)
    tally = Tally() if tally is None else tally
    number = 0
    with _opened(path) as video:
        if video is None:
            return
        for frame in _whole_frames(path, *video, tally):
            if wanted is None or wanted(number):
                yield number, _deep(frame, info.bits) if info.bits > 8 else _luma(frame)
            number += 1


def _whole_frames(path: Path, container: Any, stream: Any, tally: Tally) -> Iterator[Any]:
    """Decoded frames without those that damage has reached."""
    any_damage = damaged = False  # ever, and since the last frame that stands by itself
    broken_at = -math.inf  # errors come in the order of decoding, frames in that of showing: time of the last broken packet
    num_whole = 0
    checks = SliceChecks() if stream.codec_context.name == "ffv1" else None
    times, metadata = Times(path, container, stream), Metadata(float(stream.average_rate or 0))
    for packet, is_corrupt in judged(packets_of(container, stream), stream):
        if packet is not None and packet.stream is not stream:
            note(packet, tally, metadata)
            continue
        if packet is None:
            any_damage = damaged = True
            continue
        behind_a_hole = times.jumps_over_a_hole(packet)
        if times.went_back:  # files joined into one
            broken_at = -math.inf
        frames, is_whole = ([], False) if is_corrupt or (checks and checks.is_damaged(bytes(packet))) else _decoded(packet, stream)
        if behind_a_hole or not is_whole:
            any_damage = damaged = True
            at = -math.inf if packet.pts is None else float(packet.pts)
            broken_at = max(broken_at, at if not is_whole else at - 1)
        for frame in frames:
            begins_anew = frame.key_frame and (frame.pts is None or frame.pts > broken_at)
            damaged = frame.is_corrupt or (damaged and not begins_anew)
            any_damage = any_damage or damaged
            if not damaged:
                num_whole += 1
                tally.klv = metadata.of(frame.time)
                yield frame
    tally.num_lost = times.num_lost(num_whole, any_damage=any_damage)


def _decoded(packet: Any, stream: Any) -> tuple[list[Any], bool]:
    """Frames that come out when a packet goes in, and whether it was whole."""
    import av

    try:
        return list(stream.decode(packet)), True
    except EOFError:
        return [], True
    except av.FFmpegError:
        return [], False


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any] | None]:
    """Container and first video of a file; None of one that has none."""
    import av

    av.logging.set_level(None)  # what it has to say is counted
    try:
        container: Any = av.open(str(path), metadata_errors="replace")
    except (av.FFmpegError, OSError):
        yield None
        return
    with container:
        stream = next((each for each in container.streams.video if is_moving(each)), None)
        if stream is None:
            yield None
            return
        stream.codec_context.options = dict(_STRICT)
        yield container, stream


def _deep(frame: Any, bits: int) -> NDArray[np.uint16]:
    """Counts of a grey frame of 9 to 16 bits, whatever the order of their bytes."""
    if not _INTEGERS.fullmatch(frame.format.name) or frame.format.components[0].bits != bits:  # floats; or it changes on the way
        raise _too_deep(frame.format.components[0].bits)
    plane = frame.planes[0]
    order = ">" if frame.format.is_big_endian else "<"
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : 2 * frame.width]
    return _upright(np.ascontiguousarray(rows).view(order + "u2").astype(np.uint16), frame)


def _too_deep(bits: int) -> RejectRecord:
    expected = "a video of 8 bits, or a grey one of 9 to 16 (FFV1 or raw: gray10, gray12, gray14, gray16)"
    got = f"{bits} bits a sample in colour, of which 8 would be kept; save its frames as PNG or TIFF of 16 bits"
    return RejectRecord(RejectReason.UNSUPPORTED_PIXELS, expected=expected, got=got)


def _luma(frame: Any) -> NDArray[np.uint8]:
    import cv2

    deepest = max((component.bits for component in frame.format.components), default=8)
    if deepest > 8:  # it changes on the way
        raise _too_deep(deepest)
    if frame.format.name == "gray":
        return _upright(np.asarray(frame.to_ndarray(), np.uint8), frame)
    # The weights of luma sum to one exactly: grey stored as colour comes back unchanged.
    return _upright(np.asarray(cv2.cvtColor(frame.to_ndarray(format="bgr24"), cv2.COLOR_BGR2GRAY), np.uint8), frame)


def _upright(counts_HW: _G, frame: Any) -> _G:
    """Counts turned as the file says that they are shown, by quarters."""
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(counts_HW, quarters)) if quarters else counts_HW
