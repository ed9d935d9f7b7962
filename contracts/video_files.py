"""Frames of video files as grey counts: the one way for publishing and training.

A video is decoded with its bits or refused, and what cannot be read is counted: a reader that ends early is no end of the video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import RejectReason, RejectRecord

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv", ".ts", ".m2ts", ".mts", ".3gp", ".flv", ".mjpg", ".mjpeg"}
)
# Their headers count frames; of the others a length in time is divided by the rate, which may be one frame off.
_COUNTING = frozenset({".mp4", ".avi", ".mov", ".m4v", ".3gp"})
_MOST_FAILURES = 1000
_GREY_BITS = 16
_MOST_BITS = 32

Grey = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Facts that a video states about itself.

    Attributes:
        fps: frames per second; None where it does not say.
        num_frames: number of frames; None likewise.
        uncertain_frames: by how many fewer it may have.
        bits: of a sample.
        is_grey: whether it has one channel of more than 8 bits.
    """

    fps: float | None
    num_frames: int | None
    uncertain_frames: int
    bits: int
    is_grey: bool

    def missing(self, num_read: int) -> int:
        """Frames that the video promised and that could not be read."""
        promised = (self.num_frames or 0) - self.uncertain_frames
        return (self.num_frames or 0) - num_read if num_read < promised else 0


def video_info(path: Path) -> VideoInfo:
    """Rate, length and depth as the file says; nothing of one that is no video."""
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        fps, num = float(capture.get(cv2.CAP_PROP_FPS)), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        bits, is_grey = _depth(int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT)))
    finally:
        capture.release()
    uncertain = 0 if path.suffix.lower() in _COUNTING else 1
    return VideoInfo(fps if 0 < fps <= 1000 else None, num if num > 0 else None, uncertain, bits, is_grey)


def count_frames(path: Path) -> int:
    """Number of frames of a video, those that cannot be read included where its header counts them; at least one.

    The video is read through: a header may count fewer than there are (a recorder that was cut off writes it late), or none.
    """
    info = video_info(path)
    num = 0

    def count(_: int) -> bool:
        nonlocal num
        num += 1
        return False

    try:
        for _ in grey_frames(path, count):
            pass
    except RejectRecord:  # a form that is not decoded: as many as the header counts cannot be used
        return max(1, info.num_frames or 0)
    return max(1, num + info.missing(num))


def grey_frames(path: Path, wanted: Callable[[int], bool] | None = None) -> Iterator[tuple[int, Grey]]:
    """The frames of a video that can be read, also behind some that cannot.

    Args:
        path: the file; one that is no video has no frames.
        wanted: whether the frame of a number is to be decoded to pixels; None for all.

    Yields:
        Number from 0 among those that can be read, and luma `(height, width)` of 8 bits, or grey of 16 bits as stored.

    Raises:
        RejectRecord: more than 8 bits in a form whose bits the decoder does not give.
    """
    import cv2

    info = video_info(path)
    deep = info.bits > 8
    if deep and not (info.is_grey and info.bits == _GREY_BITS):
        raise _too_deep(info.bits)
    capture = cv2.VideoCapture(str(path))
    if deep:
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    number = failures = 0
    try:
        while True:
            if not capture.grab():
                # Damage ends a packet, not the video; without a promise of more the first failure is the end.
                failures += 1
                if number + failures > (info.num_frames or 0) or failures > _MOST_FAILURES:
                    return
                continue
            if wanted is None or wanted(number):
                found, image = capture.retrieve()
                if not found:
                    continue
                yield number, _deep(image) if deep else _luma(image)
            number += 1
    finally:
        capture.release()


def _depth(tag: int) -> tuple[int, bool]:
    """Bits of a sample by the decoder's name for the layout, and whether it is grey; 8 where it has none.

    FFmpeg writes the bits as a number at the end of the name, or at its beginning for big endian (libavcodec/raw.c).
    """
    name = (tag & 0xFFFFFFFF).to_bytes(4, "little")
    if name[0] < 0x20 < name[3]:
        name = name[::-1]
    if name[:1] in (b"Y", b"G") and name[1:2].isdigit() and name[2] < 0x20 and 8 < name[3] <= _MOST_BITS:
        return name[3], name[:2] == b"Y1" and name[2] == 0
    if name[:3] in (b"RGB", b"BGR", b"RBA", b"BRA", b"XYZ") and name[3] in (36, 48, 64):
        return 16, False
    if name[:1] == b"P" and name[2:] in (b"10", b"12", b"16"):
        return int(name[2:]), False
    return 8, False


def _deep(image: Any) -> NDArray[np.uint16]:
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim != 2 or image.dtype != np.uint16:
        raise _too_deep(_GREY_BITS)
    return np.asarray(image, np.uint16)


def _too_deep(bits: int) -> RejectRecord:
    expected = "a video of 8 bits, or of 16 bits grey, little endian (FFV1, gray16le)"
    got = f"{bits} bits a sample, of which the decoder would keep 8; save its frames as PNG or TIFF of 16 bits"
    return RejectRecord(RejectReason.UNSUPPORTED_PIXELS, expected=expected, got=got)


def _luma(image: Any) -> NDArray[np.uint8]:
    import cv2

    # The weights of luma sum to one exactly: grey stored as colour comes back unchanged.
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image, np.uint8)
