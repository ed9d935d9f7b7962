"""Settings of tracks (light import: no scipy)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TrackSettings(BaseModel):
    """Tracks: which detections are one target, and how often it is reported. Every key is also a variable `IRSTREAM_TRACKS__...`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start_score: float = Field(0.4, ge=0, le=1, description="a detection below this score begins no track; it may go on with one")
    max_gap_s: float = Field(2.0, gt=0, description="a target that is not seen for longer, and in three frames, has left")
    max_gap_frames: int = Field(
        60, ge=3, description="a target that is not seen in more frames of its sensor has left, whatever their times"
    )
    look_back: int = Field(
        10_000,
        ge=1,
        description="a target that was not seen within so many offsets of its partition has left; a start reads so many rows: more "
        "where a slow camera shares a partition with fast ones",
    )
    update_s: float = Field(
        10.0, gt=0, description="`target.updated` is sent this long after the last event of a target, seconds of capture time"
    )
