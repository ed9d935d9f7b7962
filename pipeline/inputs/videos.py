"""Video files as pictures: decoded by OpenCV, grey, encoded for the message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contracts.codecs import encode_pixels
from contracts.frame import Band, ContentType, Platform
from pipeline.inputs.images import natural_key
from pipeline.inputs.pictures import Picture, Unusable
from pipeline.inputs.raw_layout import layout_of

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv"})


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
        import cv2

        capture = cv2.VideoCapture(str(self._path))
        number = 0
        try:
            while capture.isOpened():
                read, colour_HWC = capture.read()
                if not read:
                    break
                # The weights of luma sum to one exactly: grey stored as colour comes back unchanged.
                pixels_HW: Any = cv2.cvtColor(colour_HWC, cv2.COLOR_BGR2GRAY) if colour_HWC.ndim == 3 else colour_HWC
                yield Picture(
                    encode_pixels(pixels_HW, self._content_type),
                    self._content_type,
                    self._platform,
                    self._band,
                    8,
                    layout_of(pixels_HW, self._content_type),
                    {"item": f"{self.name}/{number}"},
                )
                number += 1
        finally:
            capture.release()
        if number == 0:
            yield Unusable(str(self._path), "expected a video with at least one frame, got none that could be decoded")

    def _ask(self) -> tuple[float | None, int | None]:
        import cv2

        if self._asked is None:
            capture = cv2.VideoCapture(str(self._path))
            fps, count = float(capture.get(cv2.CAP_PROP_FPS)), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            capture.release()
            self._asked = (fps if 0 < fps <= 1000 else None, count if count > 0 else None)
        return self._asked
