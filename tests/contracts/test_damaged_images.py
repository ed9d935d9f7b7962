"""Damage that a later stage would notice by chance, or not at all: each check of the readers is asked for by itself."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.codecs import decode_pixels
from contracts.errors import RejectReason, RejectRecord
from contracts.frame import ContentType
from contracts.headers import Headers
from tests.contracts.test_codecs import LIMITS, meta_of
from tests.image_builders import PNG_SIGNATURE, chunk, counts, ihdr, npy, npy_header, png, png_annotations, rows, tiff


def refusal(value: bytes, content_type: ContentType) -> RejectRecord:
    with pytest.raises(RejectRecord) as caught:
        decode_pixels(value, meta_of(content_type), LIMITS)
    return caught.value


def chunks_of(value: bytes) -> list[tuple[bytes, int, int]]:
    """Kind, begin and end of every chunk."""
    found, at = [], len(PNG_SIGNATURE)
    while at < len(value):
        end = at + 12 + struct.unpack_from(">I", value, at)[0]
        found.append((value[at + 4 : at + 8], at, end))
        at = end
    return found


def test_a_wrong_checksum_of_any_png_chunk_is_told_by_its_name() -> None:
    pixels_HW = counts()
    value = png(ihdr(pixels_HW.shape[1], pixels_HW.shape[0]), rows(pixels_HW), before=png_annotations())
    kinds = []
    for kind, _, end in chunks_of(value)[1:]:
        damaged = bytearray(value)
        damaged[end - 1] ^= 1  # the pixels themselves are whole
        reject = refusal(bytes(damaged), ContentType.PNG)
        assert reject.reason is RejectReason.CORRUPT_IMAGE
        assert f"got a damaged {kind.decode()}" in reject.detail
        kinds.append(kind)
    assert kinds == [b"gAMA", b"sBIT", b"tEXt", b"IDAT", b"IEND"]


@pytest.mark.parametrize("bits", [0, 1, 2, 3, 4, 7, 9, 17, 32])
def test_a_png_of_any_other_width_is_unsupported(bits: int) -> None:
    """Also of those that the standard does not have: the reason is a public word, and the whole header is intact."""
    reject = refusal(png(ihdr(32, 24, bits=bits), b""), ContentType.PNG)
    assert reject.reason is RejectReason.UNSUPPORTED_PIXELS
    assert f"expected 8 or 16 bits per sample, got {bits}" in reject.detail.replace(";", ",")


def test_a_png_that_ends_early_is_told_as_truncated() -> None:
    pixels_HW = counts()
    value = png(ihdr(pixels_HW.shape[1], pixels_HW.shape[0]), rows(pixels_HW))
    _, start, end = chunks_of(value)[-1]
    for length in (start, start + 1, start + 7, start + 8, end - 4, end - 1):
        reject = refusal(value[:length], ContentType.PNG)
        assert (reject.reason, f"got a truncated one: {length} bytes" in reject.detail) == (RejectReason.CORRUPT_IMAGE, True)


@pytest.mark.parametrize(("padding", "is_read"), [(4096 - 10 - 1, True), (4096 - 10, False)])
def test_an_npy_header_may_be_large_but_not_huge(padding: int, is_read: bool) -> None:
    """Ten bytes before the text, one line feed after it: 4096 in all."""
    pixels_HW = counts()
    value = npy(pixels_HW, header=npy_header().ljust(padding))
    if is_read:
        np.testing.assert_array_equal(decode_pixels(value, meta_of(ContentType.NPY), LIMITS)[0], pixels_HW)
    else:
        assert "of at most 4096 bytes; got one that ends at byte 4097" in refusal(value, ContentType.NPY).detail


def test_an_npy_header_beyond_the_message_is_told_as_such() -> None:
    value = npy(counts(), header=npy_header())
    assert f"got one that ends at byte {10 + len(npy_header()) + 1}" in refusal(value[:40], ContentType.NPY).detail


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1)])
def test_frames_of_one_row_or_column_are_too_small_and_no_mistake_of_the_format(shape: tuple[int, int]) -> None:
    pixels_HW = np.full(shape, 7, np.uint16)
    assert refusal(npy(pixels_HW), ContentType.NPY).reason is RejectReason.TOO_SMALL
    smallest = LIMITS.model_copy(update={"min_side_px": 1})
    np.testing.assert_array_equal(decode_pixels(npy(pixels_HW), meta_of(ContentType.NPY), smallest)[0], pixels_HW)


@pytest.mark.parametrize(("photometric", "num_colours", "opacity"), [("minisblack", 1, 1), ("rgb", 3, 0), ("rgb", 3, 1)])
def test_grey_stored_as_colour_or_with_opacity_in_a_tiff_is_read(photometric: str, num_colours: int, opacity: int) -> None:
    pixels_HW = counts("uint16")
    samples_HWC = np.repeat(pixels_HW[..., None], num_colours + opacity, axis=2)
    samples_HWC[..., num_colours:] = 65_535
    options: dict[str, Any] = {"photometric": photometric, "extrasamples": ["unassalpha"] * opacity, "planarconfig": "contig"}
    value = tiff(samples_HWC, **options)
    np.testing.assert_array_equal(decode_pixels(value, meta_of(ContentType.TIFF), LIMITS)[0], pixels_HW)
    if opacity:
        samples_HWC[3, 4, -1] = 9
        assert refusal(tiff(samples_HWC, **options), ContentType.TIFF).got == "an image with transparency"


def test_a_palette_of_greys_is_read() -> None:
    pixels_HW = counts()
    palette = chunk(b"PLTE", bytes(value for count in range(256) for value in (255 - count,) * 3))
    value = png(ihdr(pixels_HW.shape[1], pixels_HW.shape[0], colour=3), rows(pixels_HW), before=palette)
    np.testing.assert_array_equal(decode_pixels(value, meta_of(ContentType.PNG), LIMITS)[0], 255 - pixels_HW)


def jpeg_of(pixels_HW: NDArray[np.uint8], *options: int) -> bytes:
    done, encoded = cv2.imencode(".jpg", pixels_HW, options)
    assert done
    return encoded.tobytes()


def test_progressive_jpegs_and_fill_bytes_before_a_marker_change_nothing() -> None:
    pixels_HW = counts(side_px=64)
    plain = jpeg_of(pixels_HW)
    progressive = jpeg_of(pixels_HW, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert b"\xff\xc2" in progressive
    filled = plain[:2] + b"\xff" * 5 + plain[2:]
    expected, _ = decode_pixels(plain, meta_of(ContentType.JPEG), LIMITS)
    for value in (progressive, filled):
        np.testing.assert_array_equal(decode_pixels(value, meta_of(ContentType.JPEG), LIMITS)[0], expected)


@pytest.mark.parametrize(("num_scans", "reason"), [(128, RejectReason.CORRUPT_IMAGE), (129, RejectReason.TOO_LARGE)])
def test_a_jpeg_of_too_many_scans_is_not_even_decoded(num_scans: int, reason: RejectReason) -> None:
    value = jpeg_of(counts(side_px=64))
    scan = value[value.index(b"\xff\xda") : -2]
    assert refusal(value[:-2] + scan * (num_scans - 1) + b"\xff\xd9", ContentType.JPEG).reason is reason


@pytest.mark.parametrize("name", ["ir_width", "ir_height"])
@pytest.mark.parametrize("side", [b"0", b"-1", b"2147483648"])
def test_a_declared_side_is_a_count_of_pixels(name: str, side: bytes) -> None:
    with pytest.raises(RejectRecord) as caught:
        Headers.read([(name, side)], LIMITS).raw_layout()
    assert caught.value.reason is RejectReason.HEADER_INVALID
    assert name in caught.value.detail
