"""Dead letters on Kafka: what cannot be used, by reference (the payload stays where it is, named by its position)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ConfigDict, Field

from contracts.errors import RejectReason
from contracts.result import DeadLetter
from contracts.text import well_formed
from pipeline.events.envelope import OutcomeEvent, event_headers, shared_fields
from pipeline.kafka.interfaces import Producer

DEAD_LETTER_TYPE = "irstream.dead_letter.v1"


class DeadLetterMessage(OutcomeEvent):
    """One message that could not be used. Key: the sensor id (none where it could not be read)."""

    model_config = ConfigDict(title="irstream dead letter, v1")

    reason: RejectReason = Field(description="name of the rejection, as in column `reason`")
    detail: str = Field(description="what was expected, what came")


def dead_letter_message(letter: DeadLetter, run_id: str) -> DeadLetterMessage:
    """The message for one rejection."""
    return DeadLetterMessage(**shared_fields(letter, run_id), reason=letter.reason, detail=well_formed(letter.detail))


def send_dead_letters(producer: Producer, topic: str, letters: Sequence[DeadLetter], run_id: str) -> None:
    """Hand rejections to the producer, whose `flush` says when they are acknowledged.

    Raises:
        RetryLater: the broker has been away for too long to take more.
    """
    for letter in letters:
        message = dead_letter_message(letter, run_id)
        key = None if message.sensor_id is None else message.sensor_id.encode()
        producer.send(topic, key, message.model_dump_json().encode(), event_headers(DEAD_LETTER_TYPE, message.id, run_id))
