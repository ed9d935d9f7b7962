"""Frame message v1 on the wire: key and headers to `FrameMeta` and back (docs/frame-message.md).

Header names and values are read without regard to case; a header with an empty value counts as missing, and what is
missing is filled in: `ce_id` from the position, `ce_time` from Kafka's timestamp, `content-type` from the file signature.
A description that cannot be understood counts as missing, too, and is kept in `FrameMeta.headers` under its name.
Whatever contradicts the bytes or itself is a `RejectRecord`, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from contracts.errors import RejectReason, RejectRecord
from contracts.frame import EVENT_TYPE, Band, ContentType, FrameMeta, Platform, RawLayout, RawRecord
from contracts.headers import EARLIEST, LATEST, MAX_FRAME_NUMBER, SPEC_VERSION, Headers
from contracts.limits import InputLimits as InputLimits
from contracts.nodata import nodata_text
from contracts.probes import sniff
from contracts.text import well_formed
from contracts.words import BAND_WORDS, CONTENT_TYPE_WORDS, PLATFORM_WORDS, meaning


def parse_record(record: RawRecord, limits: InputLimits) -> FrameMeta:
    """Read key, headers, file signature and size of a message; the image itself is not decoded.

    Args:
        record: the message as the broker gave it.
        limits: sizes of key, headers and value that are still read.

    Raises:
        RejectRecord: with the reason that becomes the row's.
    """
    sensor_id = _read_key(record.key, limits)
    headers = Headers.read(record.headers, limits)
    headers.check_event()
    value = _read_value(record.value, limits)
    layout = headers.image_layout()
    content_type = _content_type(headers, layout, value)
    if content_type is ContentType.RAW:
        layout = headers.raw_layout()
    return FrameMeta(
        sensor_id=sensor_id,
        frame_id=headers.text("ce_id") or str(record.position),
        frame_number=_frame_number(headers),
        captured_at=_captured_at(headers, record),
        platform=_platform(headers),
        band=_band(headers),
        bit_depth=headers.understood("ir_bit_depth", headers.bit_depth),
        content_type=content_type,
        raw_layout=layout,
        nodata=headers.understood("ir_nodata", headers.nodata) or (),
        klv=headers.understood("ir_klv", headers.klv),
        headers=headers.kept,
    )


def _frame_number(headers: Headers) -> int | None:
    return headers.understood("ir_frame", lambda: headers.integer("ir_frame", 0, MAX_FRAME_NUMBER))


def _captured_at(headers: Headers, record: RawRecord) -> datetime:
    return headers.understood("ce_time", lambda: headers.moment("ce_time")) or kafka_moment(record.timestamp_ms)


def _platform(headers: Headers) -> Platform:
    return headers.understood("ir_platform", lambda: headers.word("ir_platform", PLATFORM_WORDS)) or Platform.UNKNOWN


def _band(headers: Headers) -> Band:
    return headers.understood("ir_band", lambda: headers.word("ir_band", BAND_WORDS)) or Band.UNKNOWN


def kafka_moment(timestamp_ms: int) -> datetime:
    """Kafka's timestamp as a moment, held within 1970 to 2199 (a producer may set anything, -1 means none)."""
    return EARLIEST + timedelta(milliseconds=min(max(timestamp_ms, 0), (LATEST - EARLIEST) // timedelta(milliseconds=1) - 1))


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
        "ir_nodata": nodata_text(meta.nodata) or None,
        "ir_klv": meta.klv,
    }
    fields |= meta.headers
    # A file name that is no UTF-8 arrives here with lone surrogates.
    headers = [(name, well_formed(str(value)).encode()) for name, value in fields.items() if value is not None]
    return well_formed(meta.sensor_id).encode(), payload, headers


@dataclass(frozen=True, slots=True)
class Readable:
    """The readable fields of a message that is rejected, for its `DeadLetter`."""

    sensor_id: str | None = None
    frame_id: str | None = None
    frame_number: int | None = None
    captured_at: datetime | None = None
    platform: Platform = Platform.UNKNOWN
    band: Band = Band.UNKNOWN
    headers: dict[str, str] = field(default_factory=dict)


def read_what_is_readable(record: RawRecord, limits: InputLimits) -> Readable:
    """Read each field by itself, fill in what is missing as `parse_record` does, leave out what is wrong; never raises."""
    try:
        headers = Headers.read(record.headers, limits)
    except RejectRecord:
        headers = Headers()
    readers: dict[str, Callable[[], object]] = {
        "sensor_id": lambda: _read_key(record.key, limits),
        "frame_id": lambda: headers.text("ce_id") or str(record.position),
        "frame_number": lambda: _frame_number(headers),
        "captured_at": lambda: _captured_at(headers, record),
        "platform": lambda: _platform(headers),
        "band": lambda: _band(headers),
        "headers": lambda: headers.kept,
    }
    found: dict[str, object] = {}
    for name, read in readers.items():
        try:
            found[name] = read()
        except RejectRecord:
            continue
    return Readable(**found)  # type: ignore[arg-type]  # a table of readers, one per field


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


def _content_type(headers: Headers, layout: RawLayout | None, value: bytes) -> ContentType:
    """The stated codec, checked against the file signature; parameters after `;` say nothing about pixels.

    A word that names no codec of ours counts as missing where the signature is known.
    """
    stated = (headers.text("content-type") or "").partition(";")[0].strip()
    found = sniff(value)
    complete = layout is not None and None not in (layout.width_px, layout.height_px, layout.dtype)
    if not stated:
        if found is None and not complete:
            got = f"neither, value begins with {value[:8].hex(' ')}"
            raise RejectRecord(RejectReason.UNSUPPORTED_CODEC, expected="a content-type or a known file signature", got=got)
        return found or ContentType.RAW
    kind = meaning(CONTENT_TYPE_WORDS, stated)
    if kind is None and found is not None:
        headers.keep("content-type")
        return found
    if kind is None:
        raise RejectRecord(RejectReason.UNSUPPORTED_CODEC, expected=" | ".join(ContentType), got=repr(stated[:80]))
    # Raw counts may begin with any bytes, so a signature in them contradicts only where the layout is missing.
    if found != kind and not (kind is ContentType.RAW and (found is None or complete)):
        got = f"the signature of {found}" if found else f"no known signature ({value[:8].hex(' ')})"
        raise RejectRecord(RejectReason.SIGNATURE_MISMATCH, expected=f"a value of content-type {kind}", got=got)
    return kind
