"""Dead letters on Kafka: what cannot be used, by reference (the payload stays where it is, named by its position)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from contracts.errors import RejectReason
from contracts.frame import Band, Platform
from contracts.result import DeadLetter
from pipeline.publishing import Producer, event_headers

DEAD_LETTER_TYPE = "irstream.dead_letter.v1"


class DeadLetterMessage(BaseModel):
    """One message that could not be used. Key: the sensor id (none where it could not be read)."""

    model_config = ConfigDict(frozen=True, extra="ignore", title="irstream dead letter, v1")

    id: str = Field(description="`topic/partition/offset` of the message; the same letter may come twice after a crash")
    run_id: str = Field(description="run that rejected it")
    topic: str = Field(description="topic of the message")
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    sensor_id: str | None = Field(description="key of the message, null where it could not be read")
    frame_id: str | None = Field(description="header `ce_id`, null where it could not be read")
    frame_number: int | None = Field(description="header `ir_frame`")
    platform: Platform
    band: Band
    captured_at: datetime | None = Field(description="header `ce_time`, RFC 3339, UTC")
    ingested_at: datetime = Field(description="Kafka's timestamp of the message")
    finished_at: datetime = Field(description="when it was rejected")
    reason: RejectReason = Field(description="name of the rejection, as in column `reason`")
    detail: str = Field(description="what was expected, what came")


def dead_letter_message(letter: DeadLetter, run_id: str) -> DeadLetterMessage:
    """The message for one rejection."""
    return DeadLetterMessage(
        id=str(letter.position),
        run_id=run_id,
        topic=letter.position.topic,
        partition=letter.position.partition,
        offset=letter.position.offset,
        sensor_id=None if letter.sensor_id is None else well_formed(letter.sensor_id),
        frame_id=None if letter.frame_id is None else well_formed(letter.frame_id),
        frame_number=letter.frame_number,
        platform=letter.platform,
        band=letter.band,
        captured_at=letter.captured_at,
        ingested_at=letter.ingested_at,
        finished_at=letter.finished_at,
        reason=letter.reason,
        detail=well_formed(letter.detail),
    )


def publish_dead_letters(producer: Producer, topic: str, letters: Sequence[DeadLetter], run_id: str, timeout_s: float) -> None:
    """Publish rejections; returns when all are acknowledged.

    Raises:
        RetryLater: the broker does not acknowledge them within `timeout_s`.
    """
    for letter in letters:
        message = dead_letter_message(letter, run_id)
        key = None if message.sensor_id is None else message.sensor_id.encode()
        producer.send(topic, key, message.model_dump_json().encode(), event_headers(DEAD_LETTER_TYPE, message.id, run_id))
    if letters:
        producer.flush(timeout_s)


def well_formed(text: str) -> str:
    """The text with lone surrogates escaped: a hostile message must not be able to stop its own dead letter."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
