"""Frames with what was found in them as a video: boxes, masks, labels, and the way of each track."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from contracts.errors import SettingsError
from contracts.frame import Frame
from contracts.result import FrameResult
from deploy.predicting.picture import COLOURS, annotated
from evaluation.drawing import WORDS_PX, Picture, draw_words

_TAIL_FRAMES = 60
_LEAST_FPS, _MOST_FPS, _DEFAULT_FPS = 1.0, 60.0, 10.0
_TAIL = COLOURS["detector", "segmenter"]


def pace_of(rows: Sequence[FrameResult]) -> float:
    """Frames per second as they were taken, between 1 and 60; 10 where that is not known."""
    steps_s = np.diff(sorted(row.captured_at.timestamp() for row in rows))
    typical_s = float(np.median(steps_s)) if len(steps_s) else 0.0
    return float(np.clip(1 / typical_s, _LEAST_FPS, _MOST_FPS)) if typical_s > 0 else _DEFAULT_FPS


def pictures_of(frames: Iterator[tuple[FrameResult, Frame]]) -> Iterator[Picture]:
    """A picture of each frame under a line with sensor and time; tracks draw a tail of their last places."""
    tails: dict[str, deque[tuple[float, float]]] = {}
    for row, frame in frames:
        picture = annotated(frame.pixels_HW, row.detections)
        times = picture.shape[0] / frame.height_px
        seen = {found.track_id: found for found in row.shown if found.track_id is not None}
        for track_id in [each for each in tails if each not in seen]:
            tails[track_id].popleft()  # a track that is not seen fades
            if not tails[track_id]:
                del tails[track_id]
        for track_id, found in seen.items():
            tails.setdefault(track_id, deque(maxlen=_TAIL_FRAMES)).append((found.centroid_x_px * times, found.centroid_y_px * times))
        for tail in tails.values():
            cv2.polylines(picture, [np.round(np.array(tail)).astype(np.int32)], False, _TAIL, 1, cv2.LINE_AA)
        head: Picture = np.zeros((WORDS_PX, picture.shape[1], 3), np.uint8)
        draw_words(head, f"{row.sensor_id}  {row.captured_at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + f"  {row.position}")
        yield np.concatenate([head, picture])


class ClipWriter:
    """An MP4 file; a context manager. All frames get the size of the first one."""

    def __init__(self, path: Path, fps: float) -> None:
        """Nothing is written before the first frame."""
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self.num_frames = 0

    def __enter__(self) -> Self:
        """Make the folder."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the file: what was written can be played."""
        if self._writer is not None:
            self._writer.release()

    def add(self, picture: Picture) -> None:
        """Write a frame.

        Raises:
            SettingsError: the file cannot be written.
        """
        if self._writer is None:
            height_px, width_px = picture.shape[:2]
            self._size = (width_px + width_px % 2, height_px + height_px % 2)  # the codec wants even sides
            self._writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._fps, self._size)
            if not self._writer.isOpened():
                raise SettingsError(
                    expected="a video file that can be written", got=str(self._path), where="--clip", action="Name another file, OUT.mp4."
                )
        canvas: Picture = np.zeros((self._size[1], self._size[0], 3), np.uint8)
        part = picture[: self._size[1], : self._size[0]]
        canvas[: part.shape[0], : part.shape[1]] = part
        self._writer.write(np.ascontiguousarray(canvas[:, :, ::-1]))
        self.num_frames += 1
