"""One frame's way out: every consumed position ends as exactly one of these outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from contracts.errors import RejectReason
from contracts.frame import Band, Platform
from contracts.position import KafkaPosition
from contracts.quality import Quality

UNNAMED = "target"
"""Label of a target without a sure class."""
CLASS_NAMES = ("person", "car", "bicycle", "other_vehicle", "airplane", "bird", "drone", "helicopter")
"""Classes of targets that data sets label, in the order in which networks answer."""
WEAK = "weak"
"""Word in `suppressed_by` for what the detector alone found below the score from which its card calls it a detection."""
DOUBLE = "double"
"""Word in `suppressed_by` for another box of the detector round or within a target that has one."""
KEPT_BESIDE = frozenset({WEAK, DOUBLE})
"""Words of what rows keep beside their targets, to be measured and to be looked up; nothing shows it."""
CLUTTER = "clutter"
"""Class that a classifier may have for what is no target; never the label of a detection."""


def label_of(class_scores: Mapping[str, float], least: float) -> tuple[str, float | None]:
    """Label of a target by its class scores: the best class and its score, or `target` and None.

    Args:
        class_scores: by class; `clutter` is never a label.
        least: a class that scores lower gives no label.
    """
    targets = {name: score for name, score in class_scores.items() if name != CLUTTER}
    best = max(targets, key=targets.__getitem__, default=None)
    return (UNNAMED, None) if best is None or targets[best] < least else (best, targets[best])


@dataclass(frozen=True, slots=True)
class Detection:
    """One target: one box, one mask, one class, whoever found it.

    Coordinates are pixel edges of the sensor's frame (see `contracts.outputs`). `scr` is the signal-to-clutter ratio of the
    pixels of its mask; None where it has none, or nothing to compare with. `latitude` and `longitude`, degrees WGS 84, are those of its
    centroid on the ground; None where the frame's metadata do not say. `suppressed_by` is the name of the filter that keeps it out of
    alerts; None for a detection that is shown.

    `label_score` is the score of `label`, None for a target without a sure class. Of a detection that is a sight of a track, both are votes
    of all its sights, and `track_id`, `track_age_s`, `speed_px_s` and `speed_m_s` (on the ground) are those of the track; None elsewhere.
    `track_state` is what the stream goes on with after a restart.
    """

    label: str
    score: float
    x_min_px: float
    y_min_px: float
    x_max_px: float
    y_max_px: float
    centroid_x_px: float
    centroid_y_px: float
    area_px: float
    class_scores: dict[str, float]
    mask_rle: str | None
    found_by: tuple[str, ...]
    scr: float | None = None
    latitude: float | None = None
    longitude: float | None = None
    suppressed_by: str | None = None
    label_score: float | None = None
    track_id: str | None = None
    track_age_s: float | None = None
    speed_px_s: float | None = None
    speed_m_s: float | None = None
    track_state: str | None = None

    @property
    def words(self) -> str:
        """Words for pictures: how sure it is that there is a target, and of its class how sure that is, each with a word of its own."""
        named = "" if self.label == UNNAMED else f", {self.label}"
        sure = "" if self.label_score is None else f" {self.label_score:.2f}"
        return f"{UNNAMED} {self.score:.2f}{named}{sure}"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """The weights that made a row: task, registered name, sha256 of the weights file."""

    task: str
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """The batch a frame was computed in: how many items, and why the batch was closed."""

    task: str
    size: int
    closed_by: str


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Milliseconds per stage; `wait` is all queueing between the stages."""

    read: float = 0.0
    decode: float = 0.0
    wait: float = 0.0
    detect: float = 0.0
    segment: float = 0.0
    classify: float = 0.0
    fuse: float = 0.0


@dataclass(frozen=True, slots=True)
class FrameResult:
    """Status `ok`: the networks have seen this frame.

    `weak_left_out` is the number of weak and double detections that the row has no place for.
    """

    position: KafkaPosition
    sensor_id: str
    frame_id: str
    frame_number: int | None
    captured_at: datetime
    ingested_at: datetime
    finished_at: datetime
    width_px: int
    height_px: int
    bit_depth: int
    platform: Platform
    band: Band
    headers: dict[str, str]
    detections: tuple[Detection, ...]
    models: tuple[ModelRef, ...]
    preprocess_version: str
    batch: tuple[BatchInfo, ...]
    stage_ms: StageTimes
    klv: dict[str, str] | None = None
    sensor_latitude: float | None = None
    sensor_longitude: float | None = None
    sensor_altitude_m: float | None = None
    quality: tuple[Quality, ...] = ()
    weak_left_out: int = 0

    @property
    def sure(self) -> tuple[Detection, ...]:
        """The targets: the detections without those weak and double ones that rows keep beside them."""
        return tuple(detection for detection in self.detections if detection.suppressed_by not in KEPT_BESIDE)

    @property
    def shown(self) -> tuple[Detection, ...]:
        """The detections that no filter suppresses."""
        return tuple(detection for detection in self.detections if detection.suppressed_by is None)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Status `rejected`: this message cannot be used, and why. The payload stays in Kafka, named by position."""

    position: KafkaPosition
    reason: RejectReason
    detail: str
    ingested_at: datetime
    finished_at: datetime
    sensor_id: str | None = None
    frame_id: str | None = None
    frame_number: int | None = None
    captured_at: datetime | None = None
    platform: Platform = Platform.UNKNOWN
    band: Band = Band.UNKNOWN
    headers: dict[str, str] = field(default_factory=dict)
    width_px: int | None = None
    height_px: int | None = None
    bit_depth: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Status `gap`: retention passed us by; `[position.offset, stop)` no longer exists."""

    position: KafkaPosition
    stop: int
    detail: str
    ingested_at: datetime
    finished_at: datetime


Outcome = FrameResult | DeadLetter | Gap
