"""MISB ST 0601 packets: read as another reader reads them, and never a crash."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import RejectReason, RejectRecord
from contracts.frame import RawRecord
from contracts.klv import TAGS, TEXTS, UAS_LOCAL_SET, Checksum, decode_klv
from contracts.limits import InputLimits
from contracts.message import parse_record
from contracts.position import KafkaPosition
from tests.bad_inputs import GOOD_PNG
from tests.klv_packets import item, packet

SENSOR = {"sensor_latitude": 54.68, "sensor_longitude": -110.17, "sensor_altitude_m": 1532.0}


@pytest.fixture
def samples(shared_data: Path) -> Path:
    return shared_data / "misb-klv"


def packets(content: bytes) -> Iterator[bytes]:
    """Each packet of a file; none where it holds other sets (ST 0903)."""
    starts = [index for index in range(len(content)) if content.startswith(UAS_LOCAL_SET, index)]
    for start, stop in zip(starts, [*starts, len(content)][1:], strict=True):
        yield content[start:stop]


def test_what_another_reader_finds_in_real_packets(samples: Path) -> None:
    num, sums = 0, []
    expected: dict[str, list[dict[str, dict[str, str]]]] = {}
    for line in (samples / "expected.jsonl").read_text().splitlines():
        found = json.loads(line)
        expected.setdefault(found["file"], []).append(found["tags"])
    for name, readings in expected.items():
        for content, tags in zip(packets((samples / name).read_bytes()), readings, strict=False):
            read = decode_klv(content)
            for tag, theirs in ((int(tag), found["value"]) for tag, found in tags.items()):
                if tag in TAGS:
                    assert read.numbers[TAGS[tag].name] == pytest.approx(float(theirs), rel=1e-12, abs=1e-9), (name, tag)
                elif tag in TEXTS:
                    assert read.texts[TEXTS[tag]] == theirs
                elif tag == 2:
                    assert read.taken_at == datetime.fromisoformat(theirs)
            assert not read.truncated
            sums.append((name, read.checksum))
            num += 1
    assert num == 26
    assert [name for name, checksum in sums if checksum is not Checksum.OK] == ["DynamicConstantMISMMSPacketData.bin"]


def test_a_packet_of_our_own() -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    said = packet(SENSOR, before=item(2, int(moment.timestamp() * 1e6).to_bytes(8, "big")), behind=item(3, b"Mission \xff"))
    read = decode_klv(said + b"the next packet")
    assert (read.taken_at, read.checksum, read.truncated) == (moment, Checksum.OK, False)
    assert read.texts == {"mission_id": "Mission \\xff"}
    assert read.numbers == pytest.approx(SENSOR, abs=0.2)
    assert read.as_text()["precision_time_stamp"] == "2026-03-01T12:00:00.250000Z"


@pytest.mark.parametrize(
    ("tag", "value", "number"),
    [
        (13, b"\x80\x00\x00\x00", None),  # "out of range"
        (13, b"\x7f\xff\xff\xff", 90.0),
        (13, b"\x80\x00\x00\x01", -90.0),
        (13, b"\x7f\xff", None),
        (13, b"", None),
        (22, b"\x00\x00\x01\xc9", 457 / 65535 * 10_000),  # real encoders send the target width in four bytes
        (22, b"\x01\x00\x00\x00", None),
        (15, b"\x00\x00", -900.0),
        (15, b"\xff\xff", 19_000.0),
        (89, b"\x40\x00\x00\x00", 180.0 * 2**30 / (2**31 - 1)),
    ],
)
def test_a_value_is_its_number_or_missing(tag: int, value: bytes, number: float | None) -> None:
    assert decode_klv(packet({}, behind=item(tag, value))).numbers.get(TAGS[tag].name) == number


def test_unknown_tags_are_stepped_over() -> None:
    unknown = item(48, bytes(200)) + item(94, b"x") + item(3000, b"y")
    read = decode_klv(packet(SENSOR, before=unknown))
    assert read.numbers.keys() == SENSOR.keys()
    assert read.checksum is Checksum.OK


def test_a_flipped_bit_is_seen_and_the_values_are_kept() -> None:
    said = bytearray(packet(SENSOR))
    said[20] ^= 1
    read = decode_klv(bytes(said))
    assert read.checksum is Checksum.WRONG
    assert read.as_text()["checksum"] == "wrong"
    assert read.numbers.keys() == SENSOR.keys()


def test_a_packet_that_is_cut_keeps_what_came_before() -> None:
    said = packet(SENSOR)
    kept = [len(decode_klv(said[:stop]).numbers) for stop in range(len(said))]
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (0, 3)
    assert all(decode_klv(said[:stop]).truncated for stop in range(len(said)))


def parse(value: bytes) -> tuple[str | None, dict[str, str]]:
    record = RawRecord(KafkaPosition("frames", 0, 1), b"cam-1", GOOD_PNG, (("IR_KLV", value),), 0)
    meta = parse_record(record, InputLimits())
    return meta.klv, meta.headers


def test_the_header_takes_bytes_and_both_kinds_of_base64() -> None:
    said = packet(SENSOR)
    text = base64.b64encode(said)
    for form in (said, text, text.rstrip(b"="), base64.urlsafe_b64encode(said), base64.encodebytes(said), b" " + text + b"\n"):
        assert parse(form) == (text.decode(), {})


@pytest.mark.parametrize("value", [b"no packet", b"6e6f", base64.b64encode(b"another key" * 4), b"\xff\xfe", "ä".encode()])
def test_a_header_that_is_no_packet_is_kept_and_the_frame_is_taken(value: bytes) -> None:
    assert parse(value) == (None, {"ir_klv": value.decode("utf-8", "backslashreplace")})


def test_two_packets_contradict_each_other() -> None:
    headers = (("ir_klv", packet(SENSOR)), ("ir_klv", packet({})))
    with pytest.raises(RejectRecord) as caught:
        parse_record(RawRecord(KafkaPosition("frames", 0, 1), b"cam-1", GOOD_PNG, headers, 0), InputLimits())
    assert caught.value.reason is RejectReason.HEADER_CONTRADICTION


def is_harmless(content: bytes) -> bool:
    """True where reading ends with numbers in their ranges, whatever the bytes are."""
    read = decode_klv(content)
    ranges = {number.name: (number.low, number.high) for number in TAGS.values()}
    in_range = all(ranges[name][0] <= value <= ranges[name][1] for name, value in read.numbers.items())
    return in_range and all(len(text) <= 127 * 4 for text in read.texts.values()) and bool(json.dumps(read.as_text()))


@given(st.binary(max_size=300))
def test_any_bytes_behind_the_key_are_harmless(content: bytes) -> None:
    assert is_harmless(UAS_LOCAL_SET + content)


def test_five_thousand_damaged_packets_are_harmless() -> None:
    draw = random.Random(601)
    good = packet(SENSOR, before=item(2, bytes(8)) + item(48, bytes(130)), behind=item(3, b"Mission"))
    for _ in range(5000):
        content = bytearray(good)
        for _ in range(draw.randint(1, 6)):
            where = draw.randrange(len(UAS_LOCAL_SET), len(content))
            how = draw.randrange(4)
            if how == 0:
                content[where] = draw.choice([0, 1, 0x7F, 0x80, 0x81, 0x84, 0x88, 0x89, 0xFF, draw.randrange(256)])
            elif how == 1:
                content[where:where] = draw.randbytes(draw.randrange(9))
            elif how == 2 and len(content) > 30:
                del content[where : where + draw.randrange(9)]
            else:
                content = content[: max(17, where)]
        assert is_harmless(bytes(content))


def test_the_time_to_read_grows_with_the_bytes_alone() -> None:
    content = UAS_LOCAL_SET + b"\x84\xff\xff\xff\xff" + b"\x01\x00" * 500_000
    began_s = time.process_time()
    assert decode_klv(content).truncated
    assert time.process_time() - began_s < 5
    small = packet({}, before=b"\x01\x02\x00\x00" * 8000)
    began_s = time.process_time()
    decode_klv(small)
    assert time.process_time() - began_s < 0.5, "a checksum in every item must not sum the packet again each time"
