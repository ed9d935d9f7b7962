"""Frame message v1: what a producer writes is what a consumer reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import RejectReason, RejectRecord
from contracts.frame import Band, ContentType, FrameMeta, Platform, RawLayout, RawRecord
from contracts.headers import CONTRACT_HEADERS
from contracts.klv import UAS_LOCAL_SET
from contracts.limits import InputLimits
from contracts.message import Readable, encode_message, parse_record, read_what_is_readable
from contracts.position import KafkaPosition
from tests.contracts.strategies import MICROSECOND, ZONES, metas

LIMITS = InputLimits()
SIGNATURES = {
    ContentType.PNG: b"\x89PNG\r\n\x1a\n",
    ContentType.JPEG: b"\xff\xd8\xff\xe0",
    ContentType.TIFF: b"MM\0*",
    ContentType.NPY: b"\x93NUMPY\x01\0",
    ContentType.RAW: b"\0\1\2\3",
}


def raw(headers: list[tuple[str, bytes]], value: bytes = SIGNATURES[ContentType.PNG], key: bytes = b"cam-1") -> RawRecord:
    return RawRecord(KafkaPosition("frames", 0, 17), key, value, tuple(headers), 1_772_366_400_250)


def parse(*headers: tuple[str, bytes]) -> FrameMeta:
    return parse_record(raw(list(headers)), LIMITS)


@given(meta=metas())
def test_round_trip(meta: FrameMeta) -> None:
    key, value, headers = encode_message(meta, SIGNATURES[meta.content_type])
    assert parse_record(raw(headers, value, key), LIMITS) == meta
    assert value is SIGNATURES[meta.content_type]


@given(meta=metas(), seed=st.randoms(use_true_random=False))
def test_case_and_order_do_not_matter(meta: FrameMeta, seed: object) -> None:
    key, value, headers = encode_message(meta, SIGNATURES[meta.content_type])
    contract = [(name, body) for name, body in headers if name in CONTRACT_HEADERS]
    others = [(name, body) for name, body in headers if name not in CONTRACT_HEADERS]
    shouted = [(name.upper(), body if name in ("ce_id", "ce_source", "ir_klv") else body.upper()) for name, body in contract]
    assert parse_record(raw(list(reversed(shouted + others)), value, key), LIMITS) == meta


@given(meta=metas())
def test_what_a_good_message_says_is_readable_of_a_bad_one_too(meta: FrameMeta) -> None:
    key, _, headers = encode_message(meta, b"")
    readable = read_what_is_readable(raw(headers, b"", key), LIMITS)
    for name in Readable.__dataclass_fields__:
        assert getattr(readable, name) == getattr(meta, name), name


@given(moment=MICROSECOND, zone=ZONES)
def test_times_of_any_zone_become_utc(moment: datetime, zone: timezone) -> None:
    if moment - datetime(1970, 1, 1, tzinfo=UTC) < timedelta(days=1):
        moment += timedelta(days=1)
    got = parse(("ce_time", moment.astimezone(zone).isoformat().encode())).captured_at
    assert got == moment
    assert got.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01t12:00:00z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01 12:00:00+00:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00.5-07:00", datetime(2026, 3, 1, 19, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-03-01T12:00:00.123456789Z", datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_rfc3339(text: str, expected: datetime) -> None:
    assert parse(("ce_time", text.encode())).captured_at == expected


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01",
        "2026-03-01T12:00:00",
        "1772366400",
        "2026-02-30T12:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:00:00+24:00",
        "1969-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "\u0662026-03-01T12:00:00Z",
    ],
)
def test_a_time_that_is_none_is_kept_and_kafkas_taken(text: str) -> None:
    meta = parse(("ce_time", text.encode()))
    assert (meta.captured_at, meta.headers) == (datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC), {"ce_time": text})


@pytest.mark.parametrize("text", ["2026-03-01T12:00Z", "20260301T120000Z", "2026-W09-7T12:00:00Z", "2026-03-01T17:30:00+0530"])
def test_iso_times_with_a_zone_are_taken_too(text: str) -> None:
    meta = parse(("ce_time", text.encode()))
    assert (meta.captured_at, meta.headers) == (datetime(2026, 3, 1, 12, tzinfo=UTC), {})


def test_a_message_without_headers_is_complete() -> None:
    assert parse() == FrameMeta(
        sensor_id="cam-1",
        frame_id="frames/0/17",
        captured_at=datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC),
        content_type=ContentType.PNG,
    )


def test_empty_values_count_as_missing() -> None:
    assert parse(*((name, b" ") for name in CONTRACT_HEADERS if name != "ce_source")) == parse()


@pytest.mark.parametrize("content_type", [kind for kind in ContentType if kind is not ContentType.RAW], ids=str)
def test_signature_decides_where_content_type_is_missing(content_type: ContentType) -> None:
    assert parse_record(raw([], SIGNATURES[content_type]), LIMITS).content_type is content_type


@pytest.mark.parametrize("said", [kind for kind in ContentType if kind is not ContentType.RAW], ids=str)
@pytest.mark.parametrize("found", ContentType, ids=str)
def test_signature_must_agree_with_content_type(said: ContentType, found: ContentType) -> None:
    record = raw([("content-type", said.encode())], SIGNATURES[found])
    if said is found:
        assert parse_record(record, LIMITS).content_type is said
    else:
        with pytest.raises(RejectRecord) as caught:
            parse_record(record, LIMITS)
        assert caught.value.reason is RejectReason.SIGNATURE_MISMATCH


def test_other_headers_are_kept_as_text() -> None:
    meta = parse(
        ("lens", b"50 mm"),
        ("Lens", b"100 mm"),
        ("note", "heiß".encode()),
        ("blob", b"\xff\x00A"),
        ("twice", b"a"),
        ("twice", b"b"),
        ("ce_source", b"//Cam/7"),
        ("ce_subject", b"roof"),
    )
    assert meta.headers == {
        "lens": "50 mm",
        "Lens": "100 mm",
        "note": "heiß",
        "blob": "\\xff\x00A",
        "twice": "a, b",
        "ce_source": "//Cam/7",
        "ce_subject": "roof",
    }


def test_a_header_without_value_is_no_crash() -> None:
    """kafka-python hands over None for a null header value."""
    headers: list[tuple[str, bytes]] = [("note", None), ("ir_band", None)]  # type: ignore[list-item]  # what the wire allows
    meta = parse_record(raw(headers), LIMITS)
    assert (meta.headers, meta.band) == ({"note": ""}, Band.UNKNOWN)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("-9999", "-9999.0"),
        (" -3.4028235e+38 , NaN", "-3.4028235e+38 nan"),
        ("-nan,nan", "nan"),
        ("inf,-Inf, +0.5,.5,5.", "inf -inf 0.5 5.0"),
        ("1e400", "inf"),
    ],
)
def test_nodata_is_a_list_of_numbers(text: str, values: str) -> None:
    assert " ".join(map(str, parse(("ir_nodata", text.encode())).nodata)) == values


@pytest.mark.parametrize(
    "text", ["nothing", "-9999;0", "1_000", "0x10", "1,,2", ",", "nan(0)", "infinity", "\u0661", ",".join("123456789"), "1e"]
)
def test_other_nodata_is_kept_and_names_nothing(text: str) -> None:
    meta = parse(("ir_nodata", text.encode()))
    assert (meta.nodata, meta.headers) == ((), {"ir_nodata": text})


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("ir_platform", "UAV", "platform", Platform.AIR),
        ("ir_platform", " air-craft ", "platform", Platform.AIR),
        ("ir_platform", "Ship", "platform", Platform.LAND),
        ("ir_platform", "n/a", "platform", Platform.UNKNOWN),
        ("ir_band", "Long-Wave Infrared", "band", Band.LWIR),
        ("ir_band", "MID_WAVE", "band", Band.MWIR),
        ("ir_frame", "17.0", "frame_number", 17),
        ("ir_frame", "+017", "frame_number", 17),
        ("ir_bit_depth", "14 bit", "bit_depth", 14),
        ("ir_bit_depth", "14-bits", "bit_depth", 14),
        ("ir_nodata", "None", "nodata", ()),
        ("content-type", "Image/X-PNG", "content_type", ContentType.PNG),
    ],
)
def test_words_that_we_know_under_another_name_are_mapped(name: str, text: str, field: str, value: object) -> None:
    meta = parse((name, text.encode()))
    assert (getattr(meta, field), meta.headers) == (value, {})


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("ir_platform", "submarine", "platform", Platform.UNKNOWN),
        ("IR_Platform", "Submarine", "platform", Platform.UNKNOWN),
        ("ir_platform", "\\xff\\xfe", "platform", Platform.UNKNOWN),
        ("ir_band", "x-ray", "band", Band.UNKNOWN),
        ("ir_band", "thermal", "band", Band.UNKNOWN),
        ("ir_frame", "seventeen", "frame_number", None),
        ("ir_frame", "-1", "frame_number", None),
        ("ir_frame", "9" * 5000, "frame_number", None),
        ("ir_bit_depth", "fourteen", "bit_depth", None),
        ("ir_width", "640 px", "raw_layout", None),
        ("ir_dtype", "int12", "raw_layout", None),
        ("content-type", "image/*", "content_type", ContentType.PNG),
        ("content-type", "application/json", "content_type", ContentType.PNG),
    ],
)
def test_any_other_word_counts_as_missing_and_is_kept_as_it_came(name: str, text: str, field: str, value: object) -> None:
    raw_text = b"\xff\xfe" if text.startswith("\\xff") else text.encode()
    meta = parse((name, raw_text))
    assert (getattr(meta, field), meta.headers) == (value, {name.lower(): text})
    assert getattr(meta, field) == getattr(parse(), field)


@pytest.mark.parametrize("name", ["ir_width", "ir_height", "ir_dtype"])
def test_how_raw_bytes_are_to_be_read_must_be_understood(name: str) -> None:
    layout = {"content-type": b"application/octet-stream", "ir_width": b"4", "ir_height": b"2", "ir_dtype": b"uint8"}
    with pytest.raises(RejectRecord, match=rf"header_invalid.*{name}"):
        parse_record(raw([*(layout | {name: b"some"}).items()], bytes(8)), LIMITS)
    assert parse_record(raw([*(layout | {"ir_dtype": b"Mono8"}).items()], bytes(8)), LIMITS).raw_layout == RawLayout(
        width_px=4, height_px=2, dtype="uint8"
    )


@pytest.mark.parametrize("word", [*Platform, *(word.upper() for word in Platform), "Land"])
def test_platform_words(word: str) -> None:
    assert parse(("ir_platform", word.encode())).platform == word.lower()


@pytest.mark.parametrize("name", [name for name in CONTRACT_HEADERS if name != "ce_source"])
def test_contract_headers_may_repeat_but_not_differ(name: str) -> None:
    with pytest.raises(RejectRecord) as caught:
        parse((name, b"8"), (name.upper(), b"9"))
    assert caught.value.reason is RejectReason.HEADER_CONTRADICTION
    good = {"ce_specversion": b"1.0", "ce_type": b"irstream.frame.v1", "ce_time": b"2026-03-01T12:00:00Z", "content-type": b"image/png"}
    good |= {"ir_platform": b"air", "ir_band": b"lwir", "ir_dtype": b"uint8", "ir_klv": UAS_LOCAL_SET}
    value = good.get(name, b"8")
    assert parse((name, value), (name, value)) == parse((name, value))


def test_source_is_sent_unless_the_frame_has_its_own() -> None:
    meta = parse()
    assert ("ce_source", b"irstream") in encode_message(meta, b"")[2]
    assert ("ce_source", b"//lab") in encode_message(meta, b"", source="//lab")[2]
    own = meta.model_copy(update={"headers": {"ce_source": "//cam"}})
    assert [value for name, value in encode_message(own, b"", source="//lab")[2] if name == "ce_source"] == [b"//cam"]
