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


class DeadLetterPublisher:
    """Sends rejections through a producer that others use too."""

    def __init__(self, producer: Producer, topic: str, run_id: str) -> None:
        """Nothing is sent yet.

        Args:
            producer: connected.
            topic: where dead letters go.
            run_id: named in every message.
        """
        self._producer = producer
        self._topic = topic
        self._run_id = run_id

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Hand rejections to the producer; `flush` returns when they are acknowledged.

        Raises:
            RetryLater: the broker has been away for too long to take more.
        """
        for letter in letters:
            message = dead_letter_message(letter, self._run_id)
            key = None if message.sensor_id is None else message.sensor_id.encode()
            headers = event_headers(DEAD_LETTER_TYPE, message.id, self._run_id)
            self._producer.send(self._topic, key, message.model_dump_json().encode(), headers)

    def flush(self, timeout_s: float) -> None:
        """Return when everything sent is acknowledged.

        Raises:
            RetryLater: it is not within the time.
        """
        self._producer.flush(timeout_s)
