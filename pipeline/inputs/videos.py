"""Video files as pictures: grey frames, encoded for the message."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from contracts.codecs import check_counts, encode_pixels
from contracts.errors import RejectReason, RejectRecord
from contracts.frame import Band, ContentType, Platform
from contracts.text import counted
from contracts.video_files import VIDEO_SUFFIXES, Grey, VideoInfo, count_frames, grey_frames, video_info
from contracts.video_packets import Tally
from pipeline.inputs.pictures import Picture, Unusable
from pipeline.inputs.raw_layout import layout_of

_CONTAINER_BITS = 16


def is_video(path: Path) -> bool:
    """True where the name is that of a video file."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


class VideoFile:
    """One video, frame after frame."""

    def __init__(self, path: Path, platform: Platform, band: Band, content_type: ContentType, bit_depth: int | None = None) -> None:
        """Remember the file; length, rate and depth are asked for once, when first needed."""
        self.name = path.stem
        self.path = path
        self.from_beginning = True
        self._platform, self._band, self._content_type, self._bit_depth = platform, band, content_type, bit_depth

    @property
    def fps(self) -> float | None:
        """As the file says."""
        return self._info.fps

    @property
    def num_pictures(self) -> int | None:
        """As the file says; some containers may be a frame off."""
        return self._info.num_frames

    def files(self) -> Iterator[VideoFile]:
        """See `FileSequence`: itself."""
        yield self

    @property
    def labels(self) -> str:
        """See `InputFile`."""
        return repr((str(self._platform), str(self._band), self._bit_depth))

    def count(self) -> int:
        """See `InputFile`: by a pass over the file."""
        return count_frames(self.path)

    def pictures(self, first: int = 0) -> Iterator[Picture | Unusable]:
        """Each frame once, from the `first` on; at the end a word about those that could not be read, and about further videos."""
        sent, tally = first, Tally()
        try:
            for number, pixels_HW in grey_frames(self.path, lambda number: number >= first, tally):
                yield self._picture(number, pixels_HW, tally.klv)
                sent += 1
        except RejectRecord as error:
            yield Unusable(str(self.path), error.detail, max((self._info.num_frames or 0) - sent, 1))
            return
        missing = tally.num_lost
        if sent == 0:
            yield Unusable(str(self.path), "expected a video with at least one frame, got none that could be decoded", max(missing, 1))
        elif missing:
            why = f"expected {counted(sent + missing, 'whole frame')} in the file, got {sent}: it is damaged or ends early"
            yield Unusable(str(self.path), why, missing)
        for stream, num in tally.beside.items():
            why = f"expected one video in the file, got another one, {stream}: save it as a file of its own (ffmpeg -map)"
            yield Unusable(str(self.path), why, num)

    @property
    def unread(self) -> tuple[str, ...]:
        """Streams that hold neither frames nor sound, and are not read."""
        return self._info.unread

    def _picture(self, number: int, pixels_HW: Grey, klv: bytes | None) -> Picture:
        deep = pixels_HW.dtype == np.uint16
        stated = self._bit_depth or (self._info.bits if self._info.bits < _CONTAINER_BITS else None)
        if deep and self._content_type is ContentType.JPEG:
            raise RejectRecord(RejectReason.UNSUPPORTED_PIXELS, expected="a codec that holds 16 bit", got="jpeg: `codec` may be png")
        bit_depth = check_counts(pixels_HW, stated) if deep else 8
        return Picture(
            encode_pixels(pixels_HW, self._content_type),
            self._content_type,
            self._platform,
            self._band,
            bit_depth,
            layout_of(pixels_HW, self._content_type),
            {"item": f"{self.name}/{number}"},
            klv=None if klv is None else b64encode(klv).decode(),
        )

    @cached_property
    def _info(self) -> VideoInfo:
        return video_info(self.path)
