"""The headers of frame message v1, read one by one (docs/frame-message.md).

What a header says about the frame (platform, band, number, time, void values) is no reason to lose it: a value that cannot be understood
counts as missing and stays, as it came, among the headers of the row. What says how the bytes are to be read must be right.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

from contracts.errors import RejectReason, RejectRecord
from contracts.frame import EVENT_TYPE, RawLayout
from contracts.klv import packet_bytes
from contracts.limits import InputLimits
from contracts.nodata import nodata_values
from contracts.words import DTYPE_WORDS, meaning

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
    "ir_nodata",
    "ir_klv",
)
SPEC_VERSION = "1.0"
BIT_DEPTHS = (*range(8, 17), 32)
MAX_FRAME_NUMBER = 2**63 - 1
MAX_SIDE_PX = 2**31 - 1
# Times a row can hold: pandas' nanoseconds end in 2262, and nobody recorded infrared frames before 1970.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_CASE_KEPT = ("ce_id", "ce_source")
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,12}))?(?:(Z)|([+-])(\d\d):(\d\d))", re.ASCII | re.IGNORECASE
)
_WHOLE = re.compile(r"\+?(\d{1,20})(?:\.0*)?", re.ASCII)
_BITS = re.compile(r"(\d{1,20})(?:\.0*)?[ _-]?(?:bits?)?", re.ASCII)
_NO_VALUES = ("none", "null", "n/a", "off")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Headers:
    """Headers sorted into those of the contract (by lower-case name, all their values) and those kept for the row."""

    contract: dict[str, list[bytes]] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, headers: Iterable[tuple[str, bytes | None]], limits: InputLimits) -> Headers:
        """Sort the headers of a message.

        Raises:
            RejectRecord: too many, or too many bytes of them.
        """
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
        try:
            values = {value.decode("utf-8").strip() for value in raw}
        except UnicodeDecodeError as error:
            raise _invalid(name, "UTF-8", repr(error.object[:80])) from error
        if name not in _CASE_KEPT:
            values = {value.lower() for value in values}
        if len(values) > 1:
            got = ", ".join(sorted(repr(value[:80]) for value in values))
            raise RejectRecord(RejectReason.HEADER_CONTRADICTION, expected=f"one value of {name}", got=got)
        return values.pop() or None

    def understood(self, name: str, read: Callable[[], _T]) -> _T | None:
        """The value `read` reads from a header, None where its value cannot be understood: then it is kept for the row as it came.

        Raises:
            RejectRecord: the header contradicts itself or the contract (two values, 7 bits).
        """
        try:
            return read()
        except RejectRecord as error:
            if error.reason is not RejectReason.HEADER_INVALID:
                raise
            self.keep(name)
            return None

    def keep(self, name: str) -> None:
        """Put a header of the contract among those kept for the row: its value was not understood."""
        self.kept[name] = ", ".join(value.decode("utf-8", "backslashreplace") for value in self.contract[name])

    def integer(self, name: str, lowest: int, highest: int) -> int | None:
        """A whole decimal number in `[lowest, highest]`; `17.0` and `+17` are 17."""
        text = self.text(name)
        if text is None:
            return None
        # `int()` alone would take "1_000" and the digits of every script.
        found = _WHOLE.fullmatch(text)
        if found is None or not lowest <= int(found[1]) <= highest:
            raise _invalid(name, f"an integer in [{lowest}, {highest}]", repr(text[:80]))
        return int(found[1])

    def word(self, name: str, words: Mapping[str, _T]) -> _T | None:
        """The meaning of a word of a table."""
        text = self.text(name)
        if text is None:
            return None
        if (found := meaning(words, text)) is None:
            raise _invalid(name, " | ".join(dict.fromkeys(map(str, words.values()))), repr(text[:80]))
        return found

    def moment(self, name: str) -> datetime | None:
        """A time with its zone (RFC 3339 or ISO 8601), as UTC with microseconds."""
        text = self.text(name)
        if text is None:
            return None
        expected = "an RFC 3339 time with zone between 1970 and 2199, such as 2026-03-01T12:00:00.25Z"
        try:
            moment = _rfc3339(text)
        except (ValueError, OverflowError) as error:
            raise _invalid(name, expected, repr(text[:80])) from error
        if not EARLIEST <= moment < LATEST:
            raise _invalid(name, expected, repr(text[:80]))
        return moment

    def bit_depth(self) -> int | None:
        """`ir_bit_depth`, also as `14 bit`; whether it fits the pixels is seen when they are decoded."""
        text = self.text("ir_bit_depth")
        if text is None:
            return None
        if (found := _BITS.fullmatch(text)) is None:
            raise _invalid("ir_bit_depth", "a number of bits", repr(text[:80]))
        bit_depth = int(found[1])
        if bit_depth not in BIT_DEPTHS:
            expected = "ir_bit_depth 8 to 16, or 32 for float32"
            raise RejectRecord(RejectReason.BIT_DEPTH_CONTRADICTION, expected=expected, got=f"{bit_depth}")
        return bit_depth

    def nodata(self) -> tuple[float, ...]:
        """`ir_nodata`: values that are no measurement."""
        text = self.text("ir_nodata")
        try:
            return () if text is None or text in _NO_VALUES else nodata_values(text)
        except ValueError as error:
            raise _invalid("ir_nodata", str(error), repr((text or "")[:80])) from error

    def klv(self) -> str | None:
        """`ir_klv`: a MISB ST 0601 packet, as base64."""
        found = set(self.contract.get("ir_klv", ()))
        if len(found) > 1:
            raise RejectRecord(RejectReason.HEADER_CONTRADICTION, expected="one value of ir_klv", got=f"{len(found)}")
        value = found.pop() if found else b""
        try:
            return base64.b64encode(packet_bytes(value)).decode() if value.strip() else None
        except ValueError as error:
            raise _invalid("ir_klv", str(error), repr(value[:80])) from error

    def raw_layout(self) -> RawLayout | None:
        """`ir_width ir_height ir_dtype` of raw pixels, as far as given: each must be understood."""
        return self._layout(lambda name, read: read())

    def image_layout(self) -> RawLayout | None:
        """The same of an encoded image, which is read without it: what cannot be understood counts as missing."""
        return self._layout(self.understood)

    def _layout(self, reading: Callable[[str, Callable[[], Any]], Any]) -> RawLayout | None:
        width_px = reading("ir_width", lambda: self.integer("ir_width", 1, MAX_SIDE_PX))
        height_px = reading("ir_height", lambda: self.integer("ir_height", 1, MAX_SIDE_PX))
        dtype = reading("ir_dtype", lambda: self.word("ir_dtype", DTYPE_WORDS))
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
        return _iso8601(text)
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    micros = int((match[7] or "").ljust(6, "0")[:6])
    offset = timedelta() if match[8] else timedelta(hours=int(match[10]), minutes=int(match[11]))
    zone = timezone(-offset if match[9] == "-" else offset)
    leap = second == 60  # RFC 3339 §5.7 allows it; it becomes the first second of the next minute
    moment = datetime(year, month, day, hour, minute, 59 if leap else second, micros, tzinfo=zone)
    return (moment + timedelta(seconds=int(leap))).astimezone(UTC)


def _iso8601(text: str) -> datetime:
    moment = datetime.fromisoformat(text.upper()) if text.isascii() else None
    if moment is None or moment.tzinfo is None:
        raise ValueError("no time with a zone")
    return moment.astimezone(UTC)
