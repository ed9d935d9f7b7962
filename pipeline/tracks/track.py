"""One track as it stands after a sight, and the text from which a stream goes on with it after a restart.

A track changes at its sights only, and every sight is written as text into its row. All numbers are rounded as the text and the table
keep them before anybody goes on with them: what a restart reads is what an uninterrupted stream has.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any, TypeAlias

from pydantic_core import to_json

from contracts.position import KafkaPosition
from contracts.result import Detection
from pipeline.tracks.motion import Motion
from pipeline.tracks.speed import Speed

_VERSION = 2
Gaps: TypeAlias = tuple[float, int, int]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NAMES = tuple(field.name for field in fields(Detection))
_INDICES = {name: index for index, name in enumerate(_NAMES)}
_values = attrgetter(*_NAMES)


@dataclass(frozen=True, slots=True)
class Best:
    """The sight with the highest score: the picture to look at.

    Attributes:
        offset: of its frame, in the partition of the track.
        box_px: x and y of the upper left and of the lower right corner, pixel edges of its frame.
    """

    score: float
    offset: int
    captured_at: datetime
    box_px: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Memory:
    """All of a track that is in no other column of the row of its last sight.

    Attributes:
        first_seen_at: capture time of the first sight.
        num_seen: frames it was seen in.
        seen_bits: its last frames, the newest the lowest bit, 1 where it was seen.
        confirmed: seen often enough to be shown.
        motion: in the picture, pixels and frames.
        speed: in the picture, pixels a second.
        ground: on the ground, metres a second to the east and to the north.
        class_means: mean class scores.
        best: the sight with the highest score.
        reported_at: capture time of the frame of its last event; None before `target.appeared`.
        reported_seen: frames it had been seen in by then.
        gaps: settings that ended tracks when it was last seen, `max_gap_s`, `max_gap_frames` and `look_back`.
    """

    first_seen_at: datetime
    num_seen: int
    seen_bits: int
    confirmed: bool
    motion: Motion
    speed: Speed
    ground: Speed
    class_means: Mapping[str, float]
    best: Best
    reported_at: datetime | None
    reported_seen: int
    gaps: Gaps

    def text(self) -> str:
        """As column `detection_track_state` has it."""
        motion, best = self.motion, self.best
        return to_json(
            [
                _VERSION,
                _micros(self.first_seen_at),
                self.num_seen,
                self.seen_bits,
                int(self.confirmed),
                [motion.x_px, motion.y_px, motion.vx_px, motion.vy_px, motion.var_px2, motion.cov_px2, motion.vel_px2],
                [self.speed.x, self.speed.y, self.speed.weight],
                [self.ground.x, self.ground.y, self.ground.weight],
                dict(self.class_means),
                [best.score, best.offset, _micros(best.captured_at), *best.box_px],
                None if self.reported_at is None else _micros(self.reported_at),
                self.reported_seen,
                self.gaps,
            ]
        ).decode()

    @classmethod
    def of(cls, text: str) -> Memory | None:
        """Read it back; None for text of another version."""
        try:
            version, first, num_seen, bits, confirmed, motion, speed, ground, means, best, reported, seen, gaps = json.loads(text)
            if version != _VERSION:
                return None
            score, offset, captured, *box = best
            return cls(
                _moment(first),
                num_seen,
                bits,
                bool(confirmed),
                Motion(*motion),
                Speed(*speed),
                Speed(*ground),
                means,
                Best(score, offset, _moment(captured), (box[0], box[1], box[2], box[3])),
                None if reported is None else _moment(reported),
                seen,
                (gaps[0], gaps[1], gaps[2]),
            )
        except (ValueError, TypeError, IndexError, OverflowError):
            return None


@dataclass(slots=True, eq=False)
class Track:
    """A target that may be seen again.

    Attributes:
        track_id: position and place in the row of its first sight, `topic/partition/offset#index`.
        first: offset and index of that, to put tracks in order.
        sensor_id: whose frames it is in.
        memory: as its last sight left it.
        last: the detection of its last sight, as its row has it.
        last_seen_at: capture time of that.
        last_offset: offset of that.
        steps: frames of its sensor since then, the present one included.
        is_lost: its memory cannot be read: all that it can do is leave.
    """

    track_id: str
    first: tuple[int, int]
    sensor_id: str
    memory: Memory
    last: Detection
    last_seen_at: datetime
    last_offset: int
    steps: int = 0
    is_lost: bool = False
    _predicted: tuple[int, Motion] | None = None

    @classmethod
    def of_row(cls, detection: Detection, sensor_id: str, captured_at: datetime, offset: int) -> Track | None:
        """The track as a sight left it, from the sight's row alone; None where that has none."""
        if detection.track_id is None or detection.track_state is None:
            return None
        first = _first_of(detection.track_id)
        if first is None:
            return None
        memory = Memory.of(detection.track_state)
        known = memory or _guessed(detection, captured_at, offset)
        return cls(detection.track_id, first, sensor_id, known, detection, captured_at, offset, is_lost=memory is None)

    @property
    def size_px(self) -> float:
        """Longer side of its box."""
        return size_px(self.last)

    def predicted(self) -> Motion:
        """Its expected motion in the present frame."""
        if self._predicted is None or self._predicted[0] != self.steps:
            self._predicted = self.steps, self.memory.motion.predicted(self.steps, self.size_px)
        return self._predicted[1]

    @property
    def unseen(self) -> int:
        """Frames of its sensor since the last sight, without the present one."""
        return max(0, self.steps - 1)


def track_id_of(position: KafkaPosition, index: int) -> str:
    """Id of a track whose first sight is the detection of this index in this row."""
    return f"{position}#{index}"


def size_px(detection: Detection) -> float:
    """Longer side of the box of a detection, one pixel at least."""
    return max(1.0, detection.x_max_px - detection.x_min_px, detection.y_max_px - detection.y_min_px)


def as_float32(*values: float) -> tuple[float, ...]:
    """The values as the table keeps them."""
    form = _floats(len(values))
    return form.unpack(form.pack(*values))


def changed(detection: Detection, **changes: Any) -> Detection:
    """As `dataclasses.replace`, in less than half its time: every sight is made by it."""
    values = list(_values(detection))
    for name, value in changes.items():
        values[_INDICES[name]] = value
    return Detection(*values)


@cache
def _floats(num: int) -> struct.Struct:
    return struct.Struct(f"<{num}f")


def box_px(detection: Detection) -> tuple[float, float, float, float]:
    """The corners of its box, upper left and lower right."""
    return detection.x_min_px, detection.y_min_px, detection.x_max_px, detection.y_max_px


def _guessed(detection: Detection, captured_at: datetime, offset: int) -> Memory:
    """The memory of a track that leaves, from the columns of its last sight alone: that has been seen once, and reported if it is shown."""
    return Memory(
        first_seen_at=captured_at - timedelta(seconds=detection.track_age_s or 0.0),
        num_seen=1,
        seen_bits=1,
        confirmed=True,
        motion=Motion.begun(detection.centroid_x_px, detection.centroid_y_px, size_px(detection)),
        speed=Speed(),
        ground=Speed(),
        class_means={},
        best=Best(detection.score, offset, captured_at, box_px(detection)),
        reported_at=captured_at if detection.suppressed_by is None else None,
        reported_seen=1,
        gaps=(math.inf, 0, 0),
    )


def _first_of(track_id: str) -> tuple[int, int] | None:
    position, _, index = track_id.rpartition("#")
    offset = position.rpartition("/")[2]
    return (int(offset), int(index)) if offset.isdecimal() and index.isdecimal() else None


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(micros: Any) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
