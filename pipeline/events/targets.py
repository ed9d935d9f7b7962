"""Messages about targets: one when it appears, one every so often while it stays, one when it has left."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from contracts.position import KafkaPosition
from contracts.text import well_formed
from pipeline.tracks.track import Best
from pipeline.tracks.tracker import Change, TargetEvent

TARGET_TYPES = {change: f"irstream.{change}.v1" for change in Change}


class BestSight(BaseModel):
    """The picture to look at: the frame in which the target had its highest score so far."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(description="`topic/partition/offset` of the frame: its row in the table, its message in Kafka")
    offset: int = Field(ge=0)
    captured_at: datetime
    score: float
    x_min_px: float
    y_min_px: float
    x_max_px: float
    y_max_px: float


class TargetMessage(BaseModel):
    """An event of one target. Key: the sensor id. Numbers are those of its last sight unless they say otherwise."""

    model_config = ConfigDict(frozen=True, extra="ignore", title="irstream target event, v1")

    id: str = Field(description="the same event has the same id; after a crash it may come twice, and says the same")
    event: Change = Field(description="also in header `ce_type`, as `irstream.target.appeared.v1`")
    run_id: str = Field(description="run that made it")
    track_id: str = Field(description="as in column `detection_track_id`: position and index of the first sight")
    sensor_id: str
    topic: str = Field(description="topic of the frames")
    partition: int = Field(ge=0)
    offset: int = Field(ge=0, description="of the frame with which it became known; for `target.left` the target is not in it")
    label: str = Field(description="vote of all sights; `target` where none is sure")
    label_score: float | None = Field(description="mean class score of the label, null for `target`")
    score: float = Field(description="probability that it is a target")
    first_seen_at: datetime = Field(description="capture time, UTC")
    last_seen_at: datetime = Field(description="capture time, UTC")
    last_offset: int = Field(ge=0, description="offset of the frame of the last sight")
    age_s: float = Field(ge=0, description="between the two, seconds")
    num_seen: int = Field(ge=1, description="frames it was seen in")
    x_min_px: float
    y_min_px: float
    x_max_px: float
    y_max_px: float
    centroid_x_px: float
    centroid_y_px: float
    speed_px_s: float | None = Field(description="in the picture, pixels a second; null in its first tenth of a second")
    speed_m_s: float | None = Field(description="on the ground, metres a second; null where its place is not known")
    latitude: float | None = Field(description="degrees, WGS 84; null where its place is not known")
    longitude: float | None
    best: BestSight


def target_message(event: TargetEvent, run_id: str) -> TargetMessage:
    """The message for one event."""
    track, position = event.track, event.position
    last, memory = track.last, track.memory
    name = f"{run_id}/{track.track_id}/{event.change.removeprefix('target.')}"
    names = ("score", "label_score", "x_min_px", "y_min_px", "x_max_px", "y_max_px", "centroid_x_px", "centroid_y_px")
    return TargetMessage(
        id=f"{name}/{position.offset}" if event.change is Change.UPDATED else name,
        event=event.change,
        run_id=run_id,
        track_id=track.track_id,
        sensor_id=well_formed(track.sensor_id),
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
        label=well_formed(last.label),
        first_seen_at=memory.first_seen_at,
        last_seen_at=track.last_seen_at,
        last_offset=track.last_offset,
        age_s=max(0.0, (track.last_seen_at - memory.first_seen_at).total_seconds()),
        num_seen=memory.num_seen,
        speed_px_s=last.speed_px_s,
        speed_m_s=last.speed_m_s,
        latitude=last.latitude,
        longitude=last.longitude,
        best=_best(memory.best, position),
        **{name: getattr(last, name) for name in names},
    )


def _best(best: Best, position: KafkaPosition) -> BestSight:
    x_min, y_min, x_max, y_max = best.box_px
    return BestSight(
        id=str(KafkaPosition(position.topic, position.partition, best.offset)),
        offset=best.offset,
        captured_at=best.captured_at,
        score=best.score,
        x_min_px=x_min,
        y_min_px=y_min,
        x_max_px=x_max,
        y_max_px=y_max,
    )
