"""The public description of the frame message is true: schema, tables and the producer's example."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator
from kafka import KafkaConsumer, TopicPartition

from contracts.errors import RejectReason
from contracts.frame import ContentType, Frame, FrameMeta, RawRecord
from contracts.headers import CONTRACT_HEADERS
from contracts.limits import InputLimits
from contracts.message import encode_message, parse_record
from contracts.position import KafkaPosition
from contracts.schema import frame_message_schema
from pipeline.ingest.decode import decode_record
from tests.bad_inputs import BAD, GOOD, Message
from tests.conftest import RealKafka
from tests.contracts.strategies import metas
from tests.pinned import DOCS, assert_pinned

PAGE = (DOCS / "frame-message.md").read_text(encoding="utf-8")
VALIDATOR = Draft202012Validator(frame_message_schema())


def as_json(key: bytes, headers: tuple[tuple[str, bytes], ...]) -> dict[str, object]:
    """A message as the schema describes it; a producer has lower-cased what the contract lets be of any case."""
    text = {}
    for name, value in headers:
        lowered = name.lower()
        kept = lowered in ("ce_id", "ce_source", "ir_klv") or lowered not in CONTRACT_HEADERS
        text[lowered if lowered in CONTRACT_HEADERS else name] = value.decode() if kept else value.decode().lower().strip()
    return {"key": key.decode(), "headers": {name: value for name, value in text.items() if value or name not in CONTRACT_HEADERS}}


def misfits(key: bytes, headers: tuple[tuple[str, bytes], ...]) -> list[str]:
    """Errors of a message by the schema."""
    return [error.message for error in VALIDATOR.iter_errors(as_json(key, headers))]


def test_schema_file_is_the_schema_of_the_code() -> None:
    Draft202012Validator.check_schema(frame_message_schema())
    assert_pinned("frame-message.schema.json", json.dumps(frame_message_schema(), indent=2) + "\n")


@given(meta=metas())
def test_what_we_send_fits_the_schema(meta: FrameMeta) -> None:
    key, _, headers = encode_message(meta, b"")
    assert misfits(key, tuple(headers)) == []


def _decodable(message: Message) -> bool:
    return all(b"\xff" not in value for _, value in message.headers)


_SAID_OTHERWISE = {"frame number with fraction", "nodata in words"}  # understood, and yet not how a producer should write it


def _as_described(message: Message) -> bool:
    record = RawRecord(KafkaPosition("frames", 0, 0), message.key, message.value, message.headers, 0)
    return message.name not in _SAID_OTHERWISE and not set(parse_record(record, InputLimits()).headers).intersection(
        set(CONTRACT_HEADERS) - {"ce_source"}
    )


@pytest.mark.parametrize(
    "message", [message for message in GOOD if _decodable(message) and _as_described(message)], ids=lambda message: message.name
)
def test_surprising_messages_fit_the_schema(message: Message) -> None:
    assert message.key is not None
    assert misfits(message.key, message.headers) == []


_SCHEMA_SEES = {RejectReason.HEADER_INVALID, RejectReason.UNSUPPORTED_EVENT, RejectReason.BIT_DEPTH_CONTRADICTION}
# A schema of text sees neither bytes and pixels nor calendars and 64-bit integers.
_BEYOND_A_SCHEMA = {
    "id not UTF-8",
    "month 13",
    "year 1",
    "year 9999",
    "frame number beyond int64",
    "12-bit counts called 10-bit",
    "8-bit image called 14-bit",
    "integers called 32-bit",
    "floats called 14-bit",
}
_MISFITS = [message for message in BAD if message.reason in _SCHEMA_SEES and message.name not in _BEYOND_A_SCHEMA]


@pytest.mark.parametrize("message", _MISFITS, ids=lambda message: message.name)
def test_contradictions_a_schema_can_see_do_not_fit_it(message: Message) -> None:
    assert message.key is not None
    assert not VALIDATOR.is_valid(as_json(message.key, message.headers))


def test_page_names_every_header_codec_and_reason() -> None:
    for name in (*CONTRACT_HEADERS, *ContentType, *RejectReason):
        assert f"`{name}`" in PAGE, name


def test_page_states_the_limits_of_the_code() -> None:
    limits = InputLimits()
    assert (limits.max_bytes, limits.max_pixels, limits.max_headers, limits.max_header_bytes) == (80 * 2**20, 64_000_000, 256, 64 * 2**10)
    assert (limits.min_side_px, limits.max_side_px, limits.max_decompression_ratio, limits.ratio_free_bytes) == (
        8,
        16_384,
        1000,
        32 * 2**20,
    )
    for text in ("80 MiB a message", "64 million pixels", "sides of 8 to 16384 px", "1000:1 decompression above\n  32 MiB"):
        assert text in PAGE


@pytest.mark.broker
def test_the_producers_example_is_accepted(kafka: RealKafka) -> None:
    """The snippet of the page, run as it stands against a real broker, arrives with every count and header."""
    topic = kafka.new_topic(partitions=1)
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(snippet.replace("127.0.0.1:9092", kafka.bootstrap_servers).replace('"frames"', f'"{topic}"'), "page", "exec"), names)
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest", consumer_timeout_ms=120_000)
    consumer.assign([TopicPartition(topic, 0)])
    sent = next(consumer)
    consumer.close()
    record = RawRecord(KafkaPosition(topic, 0, sent.offset), sent.key, sent.value, tuple(sent.headers), sent.timestamp)
    frame = decode_record(record, InputLimits())
    assert isinstance(frame, Frame), frame
    np.testing.assert_array_equal(frame.pixels_HW, np.asarray(names["counts"]))
    assert (frame.meta.sensor_id, frame.meta.frame_number, frame.bit_depth) == ("roof-north", 17, 14)
    assert frame.meta.headers == {"lens": "50 mm", "ce_source": "//site-7/roof-north"}
