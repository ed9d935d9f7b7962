"""MISB ST 0601 metadata packets ("KLV"): where a camera was and what it looked at, as drones and aircraft send it beside their frames.

A packet is a 16-byte key, a length and a list of (tag, length, value), with a checksum over all of it. Only the tags of `TAGS` and
`TEXTS` are read; others are stepped over. Whatever the bytes are, reading ends after one pass over them and never fails for what is inside:
what is damaged is missing.

Source: MISB ST 0601 (UAS Datalink Local Set), ST 0107 (BER lengths, BER-OID tags), SMPTE ST 336.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

UAS_LOCAL_SET = bytes.fromhex("060e2b34020b01010e01030101000000")
_CHECKSUM = 1
_TIME = 2
_TIME_NAME = "precision_time_stamp"
_MAX_TEXT = 127
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Number:
    """A tag whose value is an integer that stands for a number.

    Attributes:
        name: in the results table.
        num_bytes: of the integer, big endian.
        low: the number that its smallest value stands for.
        high: the number that its largest value stands for.
        signed: two's complement, from `-high` to `high`; its least value means "out of range" and counts as missing.
    """

    name: str
    num_bytes: int
    low: float
    high: float
    signed: bool = False

    def read(self, value: bytes) -> float | None:
        """The number; None where the value is too short, too large or says that it has none.

        Real encoders send some values in more bytes than the standard has (the target width in four): the same integer.
        """
        if not self.num_bytes <= len(value) <= 8:
            return None
        count = int.from_bytes(value, "big", signed=self.signed)
        most = (1 << (8 * self.num_bytes - self.signed)) - 1
        if not (-most if self.signed else 0) <= count <= most:
            return None
        return count / most * self.high if self.signed else self.low + count / most * (self.high - self.low)


def _signed(name: str, num_bytes: int, high: float) -> Number:
    return Number(name, num_bytes, -high, high, signed=True)


_OFFSETS = {
    26 + 2 * corner + axis: _signed(f"offset_corner_{axis_name}_point_{corner + 1}", 2, 0.075)
    for corner in range(4)
    for axis, axis_name in enumerate(("latitude", "longitude"))
}
_CORNERS = {
    82 + 2 * corner + axis: _signed(f"corner_{axis_name}_point_{corner + 1}", 4, high)
    for corner in range(4)
    for axis, (axis_name, high) in enumerate((("latitude", 90.0), ("longitude", 180.0)))
}
TAGS: Mapping[int, Number] = MappingProxyType(
    {
        5: Number("platform_heading_deg", 2, 0, 360),
        6: _signed("platform_pitch_deg", 2, 20),
        7: _signed("platform_roll_deg", 2, 50),
        13: _signed("sensor_latitude", 4, 90),
        14: _signed("sensor_longitude", 4, 180),
        15: Number("sensor_altitude_m", 2, -900, 19_000),
        16: Number("sensor_horizontal_fov_deg", 2, 0, 180),
        17: Number("sensor_vertical_fov_deg", 2, 0, 180),
        18: Number("sensor_relative_azimuth_deg", 4, 0, 360),
        19: _signed("sensor_relative_elevation_deg", 4, 180),
        20: Number("sensor_relative_roll_deg", 4, 0, 360),
        21: Number("slant_range_m", 4, 0, 5_000_000),
        22: Number("target_width_m", 2, 0, 10_000),
        23: _signed("frame_center_latitude", 4, 90),
        24: _signed("frame_center_longitude", 4, 180),
        25: Number("frame_center_elevation_m", 2, -900, 19_000),
        **_OFFSETS,
        40: _signed("target_latitude", 4, 90),
        41: _signed("target_longitude", 4, 180),
        42: Number("target_elevation_m", 2, -900, 19_000),
        56: Number("platform_ground_speed_m_s", 1, 0, 255),
        57: Number("ground_range_m", 4, 0, 5_000_000),
        65: Number("st0601_version", 1, 0, 255),
        75: Number("sensor_ellipsoid_height_m", 2, -900, 19_000),
        78: Number("frame_center_ellipsoid_height_m", 2, -900, 19_000),
        **_CORNERS,
        90: _signed("platform_pitch_full_deg", 4, 90),
        91: _signed("platform_roll_full_deg", 4, 90),
    }
)
TEXTS: Mapping[int, str] = MappingProxyType(
    {
        3: "mission_id",
        4: "platform_tail_number",
        10: "platform_designation",
        11: "image_source_sensor",
        12: "image_coordinate_system",
        59: "platform_call_sign",
    }
)


class Checksum(StrEnum):
    """State of a packet: as it was sent, or not."""

    OK = "ok"
    WRONG = "wrong"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class KlvPacket:
    """Values of a packet.

    Attributes:
        numbers: by name of `TAGS`; angles in degrees, lengths in metres. Tags that are missing, damaged or "out of range" are not in it.
        texts: by name of `TEXTS`.
        taken_at: tag 2, UTC.
        checksum: whether it verifies.
        truncated: the packet ends before its length says, or inside a tag.
    """

    numbers: Mapping[str, float]
    texts: Mapping[str, str]
    taken_at: datetime | None
    checksum: Checksum
    truncated: bool

    def as_text(self) -> dict[str, str]:
        """Column `klv` of the results table."""
        said = {name: f"{value:.10g}" for name, value in self.numbers.items()} | dict(self.texts)
        if self.taken_at is not None:
            said[_TIME_NAME] = self.taken_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return said | {"checksum": self.checksum.value} | ({"truncated": "true"} if self.truncated else {})


def packet_bytes(value: bytes) -> bytes:
    """The packet in a header: its bytes as they are, or as base64 (also its form for URLs).

    Raises:
        ValueError: neither; or a key of another standard.
    """
    if not value.startswith(UAS_LOCAL_SET):
        text = b"".join(value.split()).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
        try:
            value = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
        except binascii.Error as error:
            raise ValueError("a MISB ST 0601 packet, as bytes or base64") from error
    if not value.startswith(UAS_LOCAL_SET):
        raise ValueError("a packet that begins with the key of MISB ST 0601")
    return value


def decode_klv(packet: bytes) -> KlvPacket:
    """Read a packet that begins with `UAS_LOCAL_SET`; bytes behind its end are left alone. Never fails for what is inside."""
    start, size = _length(packet, len(UAS_LOCAL_SET))
    stop = min(start + size, len(packet)) if size >= 0 else start
    numbers: dict[str, float] = {}
    texts: dict[str, str] = {}
    taken_at: datetime | None = None
    summed: tuple[int, bytes] | None = None
    position = start
    for tag, first, last in _items(packet, start, stop):
        value = packet[first:last]
        position = last
        if tag == _CHECKSUM and len(value) == 2:
            summed = first, value
        elif tag == _TIME and len(value) == 8:
            taken_at = _moment(int.from_bytes(value, "big"))
        elif tag in TAGS and (number := TAGS[tag].read(value)) is not None:
            numbers[TAGS[tag].name] = number
        elif tag in TEXTS:
            texts[TEXTS[tag]] = value[:_MAX_TEXT].decode("utf-8", "backslashreplace")
    truncated = size < 0 or start + size > len(packet) or position != stop
    return KlvPacket(numbers, texts, taken_at, _checksum(packet, summed), truncated)


def _checksum(packet: bytes, summed: tuple[int, bytes] | None) -> Checksum:
    """True where the sum of all bytes before its last value is that value."""
    if summed is None:
        return Checksum.MISSING
    first, value = summed
    return Checksum.OK if _sum(packet[:first]) == int.from_bytes(value, "big") else Checksum.WRONG


def _items(packet: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Tag, first and last byte of each value that lies within `[start, stop)`."""
    while start < stop:
        tag, start = _tag(packet, start, stop)
        first, size = _length(packet, start)
        if tag < 0 or size < 0 or first + size > stop:
            return
        yield tag, first, first + size
        start = first + size


def _tag(packet: bytes, start: int, stop: int) -> tuple[int, int]:
    """A BER-OID number and the byte behind it; -1 where it does not end or has more than four bytes."""
    tag = 0
    for index in range(start, min(start + 4, stop)):
        tag = tag << 7 | packet[index] & 0x7F
        if packet[index] < 0x80:
            return tag, index + 1
    return -1, stop


def _length(packet: bytes, start: int) -> tuple[int, int]:
    """The byte behind a BER length and the length; -1 where it is cut, of the indefinite form or longer than eight bytes."""
    if start >= len(packet):
        return start, -1
    first = packet[start]
    if first < 0x80:
        return start + 1, first
    stop = start + 1 + (first & 0x7F)
    if first == 0x80 or stop - start > 9 or stop > len(packet):
        return len(packet), -1
    return stop, int.from_bytes(packet[start + 1 : stop], "big")


def _sum(data: bytes) -> int:
    """Sum of the 16-bit words, modulo 2^16 (ST 0601, tag 1)."""
    return (sum(data[0::2]) * 256 + sum(data[1::2])) % 2**16


def _moment(micros: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return None
