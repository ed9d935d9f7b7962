"""Frames of video files as grey counts: the one way for publishing and training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv"})


def grey_frames(path: Path, wanted: Callable[[int], bool] | None = None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The frames of a video up to the first that cannot be read.

    Args:
        path: the file; one that is no video has no frames.
        wanted: whether the frame of a number is to be decoded to pixels; None for all.

    Yields:
        Number from 0, and luma `(height, width)` of 8 bits.
    """
    import cv2

    capture = cv2.VideoCapture(str(path))
    number = 0
    try:
        while capture.grab():
            if wanted is None or wanted(number):
                found, image = capture.retrieve()
                if not found:
                    break
                yield number, _luma(image)
            number += 1
    finally:
        capture.release()


def rate_and_length(path: Path) -> tuple[float | None, int | None]:
    """Frames per second and number of frames as the file says (it may be a few frames off); None where it does not."""
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        fps, num = float(capture.get(cv2.CAP_PROP_FPS)), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        capture.release()
    return fps if 0 < fps <= 1000 else None, num if num > 0 else None


def _luma(image: Any) -> NDArray[np.uint8]:
    import cv2

    # The weights of luma sum to one exactly: grey stored as colour comes back unchanged.
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image, np.uint8)
