"""Video files as pictures: grey frames, encoded for the message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from contracts.codecs import encode_pixels
from contracts.frame import Band, ContentType, Platform
from contracts.video_files import VIDEO_SUFFIXES, grey_frames, rate_and_length
from pipeline.inputs.images import natural_key
from pipeline.inputs.pictures import Picture, Unusable
from pipeline.inputs.raw_layout import layout_of


def list_videos(folder: Path) -> list[Path]:
    """Video files directly in a folder, in natural order."""
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()), key=natural_key)


class VideoFile:
    """One video, frame after frame."""

    def __init__(self, path: Path, platform: Platform, band: Band, content_type: ContentType) -> None:
        """Remember the file; length and rate are asked for once, when first needed."""
        self.name = path.stem
        self._path, self._platform, self._band, self._content_type = path, platform, band, content_type
        self._asked: tuple[float | None, int | None] | None = None

    @property
    def fps(self) -> float | None:
        """As the file says."""
        return self._ask()[0]

    @property
    def num_pictures(self) -> int | None:
        """As the file says; containers may be a few frames off."""
        return self._ask()[1]

    def pictures(self) -> Iterator[Picture | Unusable]:
        """Each frame once."""
        sent = 0
        for number, pixels_HW in grey_frames(self._path):
            yield Picture(
                encode_pixels(pixels_HW, self._content_type),
                self._content_type,
                self._platform,
                self._band,
                8,
                layout_of(pixels_HW, self._content_type),
                {"item": f"{self.name}/{number}"},
            )
            sent += 1
        if sent == 0:
            yield Unusable(str(self._path), "expected a video with at least one frame, got none that could be decoded")

    def _ask(self) -> tuple[float | None, int | None]:
        if self._asked is None:
            self._asked = rate_and_length(self._path)
        return self._asked
