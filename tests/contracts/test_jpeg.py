"""JPEG as cameras write it: what touches no pixel is no reason to lose a frame, what touches one always is."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.codecs import decode_pixels
from contracts.errors import RejectReason, RejectRecord
from contracts.frame import ContentType, Pixels
from contracts.jpeg import Segment, end_of, segments
from contracts.mpf import further_pictures
from tests.contracts.test_codecs import LIMITS, meta_of
from tests.image_builders import counts

GREY = counts(side_px=64)


def written(pixels: NDArray[Any] = GREY, *options: int) -> bytes:
    done, encoded = cv2.imencode(".jpg", pixels, options)
    assert done
    return encoded.tobytes()


PLAIN = written()
PROGRESSIVE = written(GREY, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
COLOUR = written(np.dstack([GREY, GREY[::-1], GREY[:, ::-1]]))


def joined(parts: Iterable[Segment], end: bytes = b"\xff\xd9") -> bytes:
    return (
        b"\xff\xd8"
        + b"".join(b"\xff" + bytes((part.marker,)) + struct.pack(">H", len(part.body) + 2) + part.body + part.data for part in parts)
        + end
    )


def decoded(value: bytes) -> Pixels:
    return decode_pixels(value, meta_of(ContentType.JPEG), LIMITS)[0]


def with_segment(value: bytes, marker: int, body: bytes) -> bytes:
    return value[:2] + b"\xff" + bytes((marker,)) + struct.pack(">H", len(body) + 2) + body + value[2:]


def with_scans(value: bytes, change: Callable[[Segment], Segment]) -> bytes:
    return joined(change(part) if part.marker == 0xDA else part for part in segments(value))


def odd_scan(part: Segment) -> Segment:
    return Segment(part.marker, part.body[:-3] + b"\x05\x07\x21", part.data)


def padded(filling: bytes) -> Callable[[Segment], Segment]:
    return lambda part: Segment(part.marker, part.body, part.data + filling)


_ENTRIES = struct.pack(">IIIHH", 0x030000, 9, 0, 0, 0) + struct.pack(">IIIHH", 0x020002, 9, 99, 0, 0)
MPF_OF_TWO = b"MPF\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHII", 0xB002, 7, 32, 26) + bytes(4) + _ENTRIES


@pytest.mark.parametrize("plain", [PLAIN, PROGRESSIVE, COLOUR], ids=["baseline", "progressive", "colour"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda value: value[:-2], id="no end marker"),
        pytest.param(lambda value: value[:-1], id="half an end marker"),
        pytest.param(lambda value: with_segment(value, 0xE3, b"\xff\xda" * 30_000), id="a raster that looks like scans"),
        pytest.param(lambda value: value + b"\xff\xda" * 500, id="a raster behind the end marker"),
        pytest.param(lambda value: value + value, id="another picture behind the end marker"),
        pytest.param(lambda value: with_segment(value, 0xE1, b"Exif\0\0" + PLAIN), id="a preview"),
        pytest.param(lambda value: value.replace(b"JFIF\0\x01", b"JFIF\0\x07"), id="an unknown revision of JFIF"),
        pytest.param(lambda value: with_segment(value, 0xE2, b"ICC_PROFILE\0\x09\x02junk"), id="a broken colour profile"),
        pytest.param(lambda value: with_segment(value, 0xFE, b""), id="an empty comment"),
        pytest.param(lambda value: value[:2] + b"abc" + value[2:], id="bytes between segments"),
        pytest.param(lambda value: with_scans(value, padded(bytes(7))), id="zeros behind a scan"),
        pytest.param(lambda value: with_scans(value, padded(b"\xff" * 9)), id="fill bytes behind a scan"),
        pytest.param(lambda value: with_scans(value, padded(b"\xaa" * 12)), id="padding behind a scan"),
    ],
)
def test_what_touches_no_pixel_is_no_reason_to_lose_a_frame(plain: bytes, change: Callable[[bytes], bytes]) -> None:
    np.testing.assert_array_equal(read(change(plain)), read(plain))


def read(value: bytes) -> NDArray[Any]:
    """As `decoded`, of colour too (its luma)."""
    from contracts.jpeg import decode_jpeg, probe_jpeg

    return decode_jpeg(value, probe_jpeg(value))


@pytest.mark.parametrize("plain", [PLAIN, COLOUR], ids=["grey", "colour"])
def test_scan_parameters_mean_nothing_in_a_sequential_jpeg(plain: bytes) -> None:
    np.testing.assert_array_equal(read(with_scans(plain, odd_scan)), read(plain))


def test_no_cut_of_a_progressive_jpeg_goes_unnoticed_not_even_between_its_scans() -> None:
    parts = list(segments(PROGRESSIVE))
    scans = [index for index, part in enumerate(parts) if part.marker == 0xDA]
    assert len(scans) > 4
    for index in scans:
        for end in (b"\xff\xd9", b""):
            with pytest.raises(RejectRecord) as caught:
                decoded(joined(parts[:index], end))
            assert caught.value.reason is RejectReason.CORRUPT_IMAGE
    for cut in range(600, len(PROGRESSIVE) - 2, 50):
        with pytest.raises(RejectRecord):
            decoded(PROGRESSIVE[:cut])


def test_the_height_may_be_stated_behind_the_first_scan() -> None:
    parts = list(segments(PLAIN))
    at = next(number for number, part in enumerate(parts) if part.marker == 0xC0)
    frame = parts[at]
    unknown = [*parts[:at], Segment(0xC0, frame.body[:1] + b"\0\0" + frame.body[3:]), *parts[at + 1 :]]
    np.testing.assert_array_equal(decoded(joined([*unknown, Segment(0xDC, frame.body[1:3])])), decoded(PLAIN))
    for lines in (b"", b"\0\0", b"\0\x20", b"\0\x60"):  # none, and not as many as there are
        with pytest.raises(RejectRecord) as refused:
            decoded(joined([*unknown, Segment(0xDC, lines)] if lines else unknown))
        assert refused.value.reason is RejectReason.CORRUPT_IMAGE


def test_lost_bytes_of_a_scan_are_damage_wherever_they_are() -> None:
    start = PLAIN.index(b"\xff\xda") + 10
    for at in range(start, len(PLAIN) - 40, 150):
        for changed in (PLAIN[:at] + b"\xff\xd9", PLAIN[:at], PLAIN[:at] + bytes(9) + b"\xff\xd9"):
            with pytest.raises(RejectRecord) as caught:
                decoded(changed)
            assert caught.value.reason is RejectReason.CORRUPT_IMAGE


def test_a_multi_picture_file_is_no_single_frame_but_one_with_a_preview_is() -> None:
    assert further_pictures([MPF_OF_TWO]) == 1
    with pytest.raises(RejectRecord, match="one picture in the JPEG; got 2"):
        decoded(with_segment(PLAIN, 0xE2, MPF_OF_TWO) + PLAIN)
    preview = MPF_OF_TWO.replace(struct.pack(">I", 0x020002), struct.pack(">I", 0x010001))
    np.testing.assert_array_equal(decoded(with_segment(PLAIN, 0xE2, preview) + PLAIN), decoded(PLAIN))


def test_the_end_is_found_by_walking() -> None:
    value = with_segment(PLAIN, 0xE3, b"\xff\xd9" * 50)
    assert end_of(value + b"more") == len(value)
    assert end_of(b"??" + value + b"more", 2) == len(value) + 2
    assert end_of(value[:-2]) == len(value) - 2


def test_walking_takes_no_longer_than_the_bytes_ask_for() -> None:
    """Markers everywhere, where a search that begins anew at each would be quadratic."""
    dice = random.Random(1)
    for value in (b"\xff\xd8" + b"\xff" * 2_000_000, b"\xff\xd8" + b"\xff\x01" * 500_000, b"\xff\xd8" + dice.randbytes(1_000_000)):
        with pytest.raises(RejectRecord):
            decoded(value)
        assert 0 < end_of(value) <= len(value)
