"""Frame message v1 on the wire: key and headers to `FrameMeta` and back (docs/frame-message.md).

Header names and values are read without regard to case; a header with an empty value counts as missing, and what is
missing is filled in: `ce_id` from the position, `ce_time` from Kafka's timestamp, `content-type` from the file signature.
Whatever contradicts the contract or itself is a `RejectRecord`, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import TypeVar

from contracts.errors import RejectReason, RejectRecord
from contracts.frame import EVENT_TYPE, Band, ContentType, FrameMeta, Platform, RawLayout, RawRecord
from contracts.limits import InputLimits as InputLimits
from contracts.probes import sniff

CONTRACT_HEADERS = (
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_time",
    "content-type",
    "ir_platform",
    "ir_band",
    "ir_frame",
    "ir_bit_depth",
    "ir_width",
    "ir_height",
    "ir_dtype",
)
SPEC_VERSION = "1.0"
RAW_DTYPES = ("uint8", "uint16", "float32")
BIT_DEPTHS = (*range(8, 17), 32)
_MAX_FRAME_NUMBER = 2**63 - 1
_MAX_SIDE_PX = 2**31 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Times a row can hold: pandas' nanoseconds end in 2262, and nobody recorded infrared frames before 1970.
_EARLIEST, _LATEST = _EPOCH, datetime(2200, 1, 1, tzinfo=UTC)
_CASE_KEPT = ("ce_id", "ce_source")
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,12}))?(?:(Z)|([+-])(\d\d):(\d\d))", re.ASCII | re.IGNORECASE
)
_Word = TypeVar("_Word", bound=StrEnum)


def parse_record(record: RawRecord, limits: InputLimits) -> FrameMeta:
    """Read key, headers, file signature and size of a message; the image itself is not decoded.

    Args:
        record: the message as the broker gave it.
        limits: sizes of key, headers and value that are still read.

    Raises:
        RejectRecord: with the reason that becomes the row's.
    """
    sensor_id = _read_key(record.key, limits)
    headers = _Headers.read(record.headers, limits)
    headers.check_event()
    value = _read_value(record.value, limits)
    layout = headers.raw_layout()
    return FrameMeta(
        sensor_id=sensor_id,
        frame_id=headers.text("ce_id") or str(record.position),
        frame_number=headers.integer("ir_frame", 0, _MAX_FRAME_NUMBER),
        captured_at=headers.moment("ce_time") or kafka_moment(record.timestamp_ms),
        platform=headers.word("ir_platform", Platform) or Platform.UNKNOWN,
        band=headers.word("ir_band", Band) or Band.UNKNOWN,
        bit_depth=headers.bit_depth(),
        content_type=_content_type(headers, layout, value),
        raw_layout=layout,
        headers=headers.kept,
    )


def kafka_moment(timestamp_ms: int) -> datetime:
    """Kafka's timestamp as a moment, held within 1970 to 2199 (a producer may set anything, -1 means none)."""
    return _EPOCH + timedelta(milliseconds=min(max(timestamp_ms, 0), (_LATEST - _EPOCH) // timedelta(milliseconds=1) - 1))


def encode_message(meta: FrameMeta, payload: bytes, *, source: str = "irstream") -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of the message that `parse_record` reads back as `meta`.

    Args:
        meta: what the frame is; `headers` are sent along, `ce_source` among them wins over `source`.
        payload: the encoded image (`contracts.codecs.encode_pixels`).
        source: CloudEvents source, a URI reference naming the producer.
    """
    layout = meta.raw_layout or RawLayout()
    fields: dict[str, object] = {
        "ce_specversion": SPEC_VERSION,
        "ce_id": meta.frame_id,
        "ce_source": source,
        "ce_type": EVENT_TYPE,
        "ce_time": meta.captured_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "content-type": meta.content_type,
        "ir_platform": meta.platform,
        "ir_band": meta.band,
        "ir_frame": meta.frame_number,
        "ir_bit_depth": meta.bit_depth,
        "ir_width": layout.width_px,
        "ir_height": layout.height_px,
        "ir_dtype": layout.dtype,
    }
    fields |= meta.headers
    return meta.sensor_id.encode(), payload, [(name, str(value).encode()) for name, value in fields.items() if value is not None]


@dataclass(frozen=True, slots=True)
class Readable:
    """What could be read of a message that is rejected: fields of its `DeadLetter`."""

    sensor_id: str | None = None
    frame_id: str | None = None
    frame_number: int | None = None
    captured_at: datetime | None = None
    platform: Platform = Platform.UNKNOWN
    band: Band = Band.UNKNOWN
    headers: dict[str, str] = field(default_factory=dict)


def read_what_is_readable(record: RawRecord, limits: InputLimits) -> Readable:
    """Read each field by itself and leave out those that are wrong; never raises."""
    try:
        headers = _Headers.read(record.headers, limits)
    except RejectRecord:
        headers = _Headers()
    readers: dict[str, Callable[[], object]] = {
        "sensor_id": lambda: _read_key(record.key, limits),
        "frame_id": lambda: headers.text("ce_id"),
        "frame_number": lambda: headers.integer("ir_frame", 0, _MAX_FRAME_NUMBER),
        "captured_at": lambda: headers.moment("ce_time"),
        "platform": lambda: headers.word("ir_platform", Platform) or Platform.UNKNOWN,
        "band": lambda: headers.word("ir_band", Band) or Band.UNKNOWN,
        "headers": lambda: headers.kept,
    }
    found: dict[str, object] = {}
    for name, read in readers.items():
        try:
            found[name] = read()
        except RejectRecord:
            continue
    return Readable(**found)  # type: ignore[arg-type]  # a table of readers, one per field


@dataclass(frozen=True, slots=True)
class _Headers:
    """Headers sorted into those of the contract (by lower-case name, all their values) and those kept for the row."""

    contract: dict[str, list[bytes]] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, headers: Iterable[tuple[str, bytes | None]], limits: InputLimits) -> _Headers:
        contract: dict[str, list[bytes]] = {}
        others: dict[str, list[str]] = {}
        num_bytes = 0
        for num, (name, raw) in enumerate(headers, start=1):
            value = raw or b""  # Kafka knows headers without a value
            num_bytes += len(name) + len(value)
            if num > limits.max_headers or num_bytes > limits.max_header_bytes:
                expected = f"at most {limits.max_headers} headers and {limits.max_header_bytes} bytes of them"
                raise RejectRecord(RejectReason.TOO_LARGE, expected=expected, got="more")
            if (lowered := name.lower()) in CONTRACT_HEADERS:
                contract.setdefault(lowered, []).append(value)
            else:
                others.setdefault(name, []).append(value.decode("utf-8", "backslashreplace"))
        # Repeated names are joined as HTTP does it: a map holds one value per name, and none may be lost.
        kept = {name: ", ".join(values) for name, values in others.items()}
        if "ce_source" in contract:
            kept["ce_source"] = ", ".join(value.decode("utf-8", "backslashreplace") for value in contract["ce_source"])
        return cls(contract, kept)

    def text(self, name: str) -> str | None:
        """One header's value, None when missing or empty; lower case except for ids."""
        raw = self.contract.get(name)
        if raw is None:
            return None
        values = set()
        for value in raw:
            try:
                text = value.decode("utf-8").strip()
            except UnicodeDecodeError as error:
                raise _invalid(name, "UTF-8", repr(value[:80])) from error
            values.add(text if name in _CASE_KEPT else text.lower())
        if len(values) > 1:
            got = ", ".join(sorted(repr(value[:80]) for value in values))
            raise RejectRecord(RejectReason.HEADER_CONTRADICTION, expected=f"one value of {name}", got=got)
        return values.pop() or None

    def integer(self, name: str, lowest: int, highest: int) -> int | None:
        """A decimal number in `[lowest, highest]`."""
        text = self.text(name)
        if text is None:
            return None
        # `int()` alone would take "1_000", "+5" and the digits of every script.
        if not (text.isascii() and text.isdigit() and len(text) <= 20 and lowest <= int(text) <= highest):
            raise _invalid(name, f"an integer in [{lowest}, {highest}]", repr(text[:80]))
        return int(text)

    def word(self, name: str, words: type[_Word]) -> _Word | None:
        """A word of a closed list; one outside it contradicts the contract and is not taken for `unknown`."""
        text = self.text(name)
        if text is None:
            return None
        if text not in list(words):
            raise _invalid(name, " | ".join(words), repr(text[:80]))
        return words(text)

    def moment(self, name: str) -> datetime | None:
        """An RFC 3339 time with its zone, as UTC with microseconds."""
        text = self.text(name)
        if text is None:
            return None
        expected = "an RFC 3339 time with zone between 1970 and 2199, such as 2026-03-01T12:00:00.25Z"
        try:
            moment = _rfc3339(text)
        except (ValueError, OverflowError) as error:
            raise _invalid(name, expected, repr(text[:80])) from error
        if not _EARLIEST <= moment < _LATEST:
            raise _invalid(name, expected, repr(text[:80]))
        return moment

    def bit_depth(self) -> int | None:
        """`ir_bit_depth`; whether it fits the pixels is seen when they are decoded."""
        bit_depth = self.integer("ir_bit_depth", 0, _MAX_FRAME_NUMBER)
        if bit_depth is not None and bit_depth not in BIT_DEPTHS:
            expected = "ir_bit_depth 8 to 16, or 32 for float32"
            raise RejectRecord(RejectReason.BIT_DEPTH_CONTRADICTION, expected=expected, got=f"{bit_depth}")
        return bit_depth

    def raw_layout(self) -> RawLayout | None:
        """`ir_width ir_height ir_dtype`, as far as given."""
        width_px = self.integer("ir_width", 1, _MAX_SIDE_PX)
        height_px = self.integer("ir_height", 1, _MAX_SIDE_PX)
        dtype = self.text("ir_dtype")
        if dtype is not None and dtype not in RAW_DTYPES:
            raise _invalid("ir_dtype", " | ".join(RAW_DTYPES), repr(dtype[:80]))
        if (width_px, height_px, dtype) == (None, None, None):
            return None
        return RawLayout(width_px=width_px, height_px=height_px, dtype=dtype)

    def check_event(self) -> None:
        """Refuse what says that it is another kind of event."""
        for name, wanted in (("ce_specversion", SPEC_VERSION), ("ce_type", EVENT_TYPE)):
            found = self.text(name)
            if found not in (None, wanted):
                raise RejectRecord(RejectReason.UNSUPPORTED_EVENT, expected=f"{name} {wanted}", got=repr(found))
        if (self.text("content-type") or "").startswith("application/cloudevents"):
            got = "structured mode (content-type application/cloudevents)"
            raise RejectRecord(RejectReason.UNSUPPORTED_EVENT, expected="a CloudEvent in binary mode", got=got)


def _invalid(name: str, expected: str, got: str) -> RejectRecord:
    return RejectRecord(RejectReason.HEADER_INVALID, expected=f"{name}: {expected}", got=got)


def _rfc3339(text: str) -> datetime:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not RFC 3339")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    micros = int((match[7] or "").ljust(6, "0")[:6])
    offset = timedelta() if match[8] else timedelta(hours=int(match[10]), minutes=int(match[11]))
    zone = timezone(-offset if match[9] == "-" else offset)
    leap = second == 60  # RFC 3339 §5.7 allows it; it becomes the first second of the next minute
    moment = datetime(year, month, day, hour, minute, 59 if leap else second, micros, tzinfo=zone)
    return (moment + timedelta(seconds=int(leap))).astimezone(UTC)


def _read_key(key: bytes | None, limits: InputLimits) -> str:
    if not (key or b"").strip():
        got = "no key" if key is None else "an empty key"
        raise RejectRecord(RejectReason.KEY_MISSING, expected="the sensor's id as key", got=got)
    assert key is not None
    if len(key) > limits.max_header_bytes:
        raise RejectRecord(RejectReason.TOO_LARGE, expected=f"a key of at most {limits.max_header_bytes} bytes", got=f"{len(key)}")
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RejectRecord(RejectReason.KEY_NOT_UTF8, expected="a key in UTF-8", got=repr(key[:80])) from error


def _read_value(value: bytes | None, limits: InputLimits) -> bytes:
    if value is None:
        raise RejectRecord(RejectReason.TOMBSTONE, expected="an image as value", got="no value (a tombstone)")
    if not value:
        raise RejectRecord(RejectReason.EMPTY_VALUE, expected="an image as value", got="zero bytes")
    if len(value) > limits.max_bytes:
        raise RejectRecord(RejectReason.TOO_LARGE, expected=f"a value of at most {limits.max_bytes} bytes", got=f"{len(value)}")
    return value


def _content_type(headers: _Headers, layout: RawLayout | None, value: bytes) -> ContentType:
    """The stated codec, checked against the file signature; parameters after `;` say nothing about pixels."""
    stated = (headers.text("content-type") or "").partition(";")[0].strip()
    found = sniff(value)
    complete = layout is not None and None not in (layout.width_px, layout.height_px, layout.dtype)
    if not stated:
        if found is None and not complete:
            got = f"neither, value begins with {value[:8].hex(' ')}"
            raise RejectRecord(RejectReason.UNSUPPORTED_CODEC, expected="a content-type or a known file signature", got=got)
        return found or ContentType.RAW
    if stated not in list(ContentType):
        raise RejectRecord(RejectReason.UNSUPPORTED_CODEC, expected=" | ".join(ContentType), got=repr(stated[:80]))
    # Raw counts may begin with any bytes, so a signature in them contradicts only where the layout is missing.
    if found != stated and not (stated == ContentType.RAW and (found is None or complete)):
        got = f"the signature of {found}" if found else f"no known signature ({value[:8].hex(' ')})"
        raise RejectRecord(RejectReason.SIGNATURE_MISMATCH, expected=f"a value of content-type {stated}", got=got)
    return ContentType(stated)
