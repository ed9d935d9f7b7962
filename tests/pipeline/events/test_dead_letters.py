"""Dead letters: the published message."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from jsonschema import Draft202012Validator

from contracts.result import DeadLetter
from pipeline.events.dead_letters import DeadLetterMessage, DeadLetterPublisher, dead_letter_message
from tests import outcomes as make
from tests.outcomes import letter
from tests.pinned import assert_pinned
from tests.pipeline.fakes import MemoryProducer

VALIDATOR = Draft202012Validator(DeadLetterMessage.model_json_schema(mode="serialization"))


def test_the_message_as_a_consumer_sees_it() -> None:
    producer = MemoryProducer(instant=True)
    DeadLetterPublisher(producer, "frames.dead", "live").send([letter(5, partition=1), letter(6, sensor_id=None)])
    first, second = producer.log
    assert (first.position.topic, first.key, second.key) == ("frames.dead", b"cam-1", None)
    assert dict(first.headers) | {"ce_type": b"irstream.dead_letter.v1", "ce_id": b"frames/1/5"} == dict(first.headers)
    assert json.loads(first.value or b"") == {
        "id": "frames/1/5",
        "run_id": "live",
        "topic": "frames",
        "partition": 1,
        "offset": 5,
        "sensor_id": "cam-1",
        "frame_id": None,
        "frame_number": None,
        "platform": "unknown",
        "band": "unknown",
        "captured_at": None,
        "ingested_at": "2026-03-01T12:00:00Z",
        "finished_at": "2026-03-01T12:00:00Z",
        "reason": "corrupt_image",
        "detail": "expected a PNG image; got 3 bytes",
    }
    assert json.loads(second.value or b"")["sensor_id"] is None


@settings(deadline=None)
@given(make.dead_letters)
def test_every_rejection_fits_the_schema_and_reads_back(rejected: DeadLetter) -> None:
    text = dead_letter_message(rejected, "live").model_dump_json()
    VALIDATOR.validate(json.loads(text))
    back = DeadLetterMessage.model_validate_json(text)
    assert (back.reason, back.detail, back.captured_at) == (rejected.reason, rejected.detail, rejected.captured_at)


def test_hostile_text_cannot_stop_its_own_dead_letter() -> None:
    producer = MemoryProducer(instant=True)
    hostile = replace(letter(0, sensor_id="cam\udcff"), detail="got \ud800", frame_id="\udc80")
    DeadLetterPublisher(producer, "frames.dead", "live").send([hostile])
    body = json.loads(producer.log[0].value or b"")
    assert (producer.log[0].key, body["detail"], body["frame_id"]) == (b"cam\\udcff", "got \\ud800", "\\udc80")


def test_schema_is_published() -> None:
    assert_pinned("dead-letters.schema.json", json.dumps(DeadLetterMessage.model_json_schema(mode="serialization"), indent=2) + "\n")
