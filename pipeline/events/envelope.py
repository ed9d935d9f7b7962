"""Envelope of every message about a finished frame: CloudEvents headers, and the origin of the frame."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from contracts.frame import Band, Platform
from contracts.headers import SPEC_VERSION
from contracts.result import DeadLetter, FrameResult
from contracts.text import well_formed


class OutcomeEvent(BaseModel):
    """The fields that alerts and dead letters share."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(description="`topic/partition/offset` of the frame; the same message may come twice after a crash")
    run_id: str = Field(description="run that made it")
    topic: str = Field(description="topic of the frame")
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    sensor_id: str | None = Field(description="key of the frame's message, null where it could not be read")
    frame_id: str | None = Field(description="header `ce_id`, else the position; null where it could not be read")
    frame_number: int | None = Field(description="header `ir_frame`")
    platform: Platform
    band: Band
    captured_at: datetime | None = Field(description="header `ce_time`, else Kafka's timestamp, in UTC; null where it could not be read")
    ingested_at: datetime = Field(description="Kafka's timestamp of the message")
    finished_at: datetime = Field(description="when the outcome was known")


def shared_fields(outcome: FrameResult | DeadLetter, run_id: str) -> dict[str, Any]:
    """Values of the fields of `OutcomeEvent`."""
    return {
        "id": str(outcome.position),
        "run_id": run_id,
        "topic": outcome.position.topic,
        "partition": outcome.position.partition,
        "offset": outcome.position.offset,
        "sensor_id": None if outcome.sensor_id is None else well_formed(outcome.sensor_id),
        "frame_id": None if outcome.frame_id is None else well_formed(outcome.frame_id),
        "frame_number": outcome.frame_number,
        "platform": outcome.platform,
        "band": outcome.band,
        "captured_at": outcome.captured_at,
        "ingested_at": outcome.ingested_at,
        "finished_at": outcome.finished_at,
    }


def event_headers(event_type: str, event_id: str, run_id: str) -> list[tuple[str, bytes]]:
    """CloudEvents headers (Kafka binding, binary mode) of a JSON message."""
    values = {
        "ce_specversion": SPEC_VERSION,
        "ce_type": event_type,
        "ce_id": event_id,
        "ce_source": f"irstream/{run_id}",
        "content-type": "application/json",
    }
    return [(name, value.encode()) for name, value in values.items()]
