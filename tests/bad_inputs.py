"""Messages that must be rejected, each with its reason, and surprising ones that must be accepted.

Two lists of `Message`, small enough to go through a real broker; used by the unit tests of `decode_record` and by the
integration test of the whole stream. Built without our own encoders where a library or a few bytes by hand will do,
so that a mistake in ours cannot hide itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import RejectReason
from tests.image_builders import (
    PNG_SIGNATURE,
    chunk,
    counts,
    cv2_image,
    edited_tiff,
    ihdr,
    interlaced_png,
    npy,
    npy_header,
    png,
    png_annotations,
    png_bomb,
    resized_jpeg,
    rows,
    split_png,
    tiff,
    with_one,
)

Headers = tuple[tuple[str, bytes], ...]
_CE = (("ce_specversion", b"1.0"), ("ce_type", b"irstream.frame.v1"), ("ce_source", b"test"))


@dataclass(frozen=True)
class Message:
    """One message and what must become of it.

    Attributes:
        name: what is wrong (or surprising) with it.
        reason: why it is rejected; None for a message that must be accepted.
        pixels_HW: for an accepted message, the counts that must arrive.
    """

    name: str
    reason: RejectReason | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    pixels_HW: NDArray[Any] | None = None


GREY = counts()
GREY16 = counts("uint16", most=4096)
FLOATS = counts("float32")
GOOD_PNG = cv2_image(".png", GREY)
GOOD_PNG16 = cv2_image(".png", GREY16)
GOOD_JPEG = cv2_image(".jpg", np.full((24, 32), 99, np.uint8))
# Enough detail that a cut falls into the entropy-coded data.
NOISY_JPEG = cv2_image(".jpg", counts(side_px=64))
GOOD_TIFF = tiff(GREY)
TYPES = {
    "png": b"image/png",
    "jpeg": b"image/jpeg",
    "tiff": b"image/tiff",
    "npy": b"application/x-npy",
    "raw": b"application/octet-stream",
}


def _headers(**values: bytes | None) -> Headers:
    """Headers by name, `_` for the `-` of content-type; None leaves one out."""
    return (*_CE, *((name.replace("content_type", "content-type"), value) for name, value in values.items() if value is not None))


def _layout(width: bytes = b"32", height: bytes = b"24", dtype: bytes = b"uint8") -> dict[str, bytes | None]:
    return {"content_type": TYPES["raw"], "ir_width": width, "ir_height": height, "ir_dtype": dtype}


def _bad(name: str, reason: RejectReason, value: bytes | None = GOOD_PNG, key: bytes | None = b"cam-1", **headers: bytes | None) -> Message:
    return Message(name, reason, key, value, _headers(**headers))


def _bad_keys_and_values() -> Iterator[Message]:
    yield _bad("no key", RejectReason.KEY_MISSING, key=None)
    yield _bad("empty key", RejectReason.KEY_MISSING, key=b"")
    yield _bad("key of blanks", RejectReason.KEY_MISSING, key=b"  \t")
    yield _bad("key not UTF-8", RejectReason.KEY_NOT_UTF8, key=b"cam-\xff\xfe")
    yield _bad("key of 100 kB", RejectReason.TOO_LARGE, key=b"k" * 100_000)
    yield _bad("tombstone", RejectReason.TOMBSTONE, value=None)
    yield _bad("zero bytes", RejectReason.EMPTY_VALUE, value=b"")
    yield _bad("one byte", RejectReason.UNSUPPORTED_CODEC, value=b"\x89")


def _bad_headers() -> Iterator[Message]:
    invalid, contradiction = RejectReason.HEADER_INVALID, RejectReason.HEADER_CONTRADICTION
    yield _bad("two event types", contradiction, ce_type=b"irstream.frame.v2")
    yield Message("next version of the event", RejectReason.UNSUPPORTED_EVENT, b"cam-1", GOOD_PNG, (("ce_type", b"irstream.frame.v2"),))
    yield Message("other event type", RejectReason.UNSUPPORTED_EVENT, b"cam-1", GOOD_PNG, (("ce_type", b"com.example.other"),))
    yield Message("CloudEvents 0.3", RejectReason.UNSUPPORTED_EVENT, b"cam-1", GOOD_PNG, (("ce_specversion", b"0.3"),))
    yield _bad("structured CloudEvent", RejectReason.UNSUPPORTED_EVENT, b'{"id": "1"}', content_type=b"application/cloudevents+json")
    yield _bad("id not UTF-8", invalid, ce_id=b"\xc3\x28")
    yield Message("two ids", contradiction, b"cam-1", GOOD_PNG, (*_CE, ("ce_id", b"a"), ("ce_id", b"b")))
    yield Message("two bands", contradiction, b"cam-1", GOOD_PNG, (("ir_band", b"mwir"), ("ir_band", b"lwir")))
    yield _bad("100 kB of headers", RejectReason.TOO_LARGE, note=b"n" * 100_000)
    yield Message("1,000 headers", RejectReason.TOO_LARGE, b"cam-1", GOOD_PNG, tuple((f"h{index}", b"") for index in range(1000)))


def _bad_codecs() -> Iterator[Message]:
    unsupported, mismatch = RejectReason.UNSUPPORTED_CODEC, RejectReason.SIGNATURE_MISMATCH
    yield _bad("WebP", unsupported, b"RIFF\x24\0\0\0WEBPVP8 ", content_type=b"image/webp")
    yield _bad("no content-type, unknown signature", unsupported, b"BM" + bytes(100))
    yield _bad("JSON without content-type", unsupported, b'{"pixels": [1, 2, 3]}')
    yield _bad("PNG called JPEG", mismatch, content_type=TYPES["jpeg"])
    yield _bad("JPEG called PNG", mismatch, GOOD_JPEG, content_type=TYPES["png"])
    yield _bad("text called PNG", mismatch, b"this is no image at all", content_type=TYPES["png"])
    yield _bad("PNG called raw, without layout", mismatch, content_type=TYPES["raw"])
    yield _bad("PNG in text mode (CR LF lost)", mismatch, GOOD_PNG.replace(b"\r\n", b"\n"), content_type=TYPES["png"])
    yield _bad("pickle called NPY", mismatch, b"\x80\x04\x95\x00cposix\nsystem\n", content_type=TYPES["npy"])


def _bad_png() -> Iterator[Message]:
    corrupt, size = RejectReason.CORRUPT_IMAGE, RejectReason.SIZE_MISMATCH
    data = rows(GREY)
    yield _bad("PNG cut in half", corrupt, GOOD_PNG[: len(GOOD_PNG) // 2])
    yield _bad("PNG without its last byte", corrupt, GOOD_PNG[:-1])
    yield _bad("PNG signature alone", corrupt, PNG_SIGNATURE)
    yield _bad("PNG with a flipped bit", corrupt, GOOD_PNG[:100] + bytes([GOOD_PNG[100] ^ 1]) + GOOD_PNG[101:])
    yield _bad("PNG without IEND", corrupt, GOOD_PNG[:-12])
    yield _bad("PNG without IDAT", corrupt, PNG_SIGNATURE + chunk(b"IHDR", ihdr(32, 24)) + chunk(b"IEND", b""))
    yield _bad("PNG of rubbish rows", corrupt, png(ihdr(32, 24), b"".join(b"\x09" + bytes(32) for _ in range(24))))
    yield _bad("PNG that claims more rows", size, png(ihdr(32, 48), data))
    yield _bad("PNG that claims fewer rows", size, png(ihdr(32, 12), data))
    yield _bad("PNG that claims another width", size, png(ihdr(16, 24), data))
    yield _bad("PNG of no size", corrupt, png(ihdr(0, 24), data))
    yield _bad("PNG bomb: 10,000 x 10,000", RejectReason.TOO_LARGE, png_bomb(10_000))
    yield _bad("PNG that claims 2 billion columns", RejectReason.TOO_LARGE, png(ihdr(2**31 - 1, 2**31 - 1), b"\0"))
    yield _bad("PNG bomb within the pixel limit", RejectReason.TOO_LARGE, png_bomb(7000))
    yield _bad("PNG of 1 bit", RejectReason.UNSUPPORTED_PIXELS, png(ihdr(32, 24, bits=1), bytes(5 * 24)))
    yield _bad("PNG in colour", RejectReason.UNSUPPORTED_PIXELS, cv2_image(".png", np.dstack([GREY, GREY, 255 - GREY])))
    clear = np.dstack([GREY, GREY, GREY, GREY])
    yield _bad("PNG with transparency", RejectReason.UNSUPPORTED_PIXELS, cv2_image(".png", clear))
    yield _bad("animated PNG", RejectReason.UNSUPPORTED_PIXELS, png(ihdr(32, 24), data, before=chunk(b"acTL", struct.pack(">II", 2, 0))))
    yield _bad("PNG of 4 x 4", RejectReason.TOO_SMALL, cv2_image(".png", GREY[:4, :4]))


def _bad_jpeg() -> Iterator[Message]:
    corrupt = RejectReason.CORRUPT_IMAGE
    yield _bad("JPEG cut in half", corrupt, NOISY_JPEG[: len(NOISY_JPEG) // 2])
    yield _bad("JPEG cut in half, end mark put back", corrupt, NOISY_JPEG[: len(NOISY_JPEG) // 2] + b"\xff\xd9")
    yield _bad("JPEG without its last bytes", corrupt, NOISY_JPEG[:-20])
    yield _bad("JPEG signature alone", corrupt, b"\xff\xd8\xff")
    yield _bad("JPEG that claims more rows", corrupt, resized_jpeg(NOISY_JPEG, 72, 640))
    yield _bad("JPEG bomb: 65,000 x 65,000", RejectReason.TOO_LARGE, resized_jpeg(GOOD_JPEG, 65_000, 65_000))
    yield _bad("JPEG of no height", corrupt, resized_jpeg(GOOD_JPEG, 32, 0))
    yield _bad("JPEG of 12 bits", RejectReason.UNSUPPORTED_PIXELS, GOOD_JPEG.replace(b"\xff\xc0\x00\x0b\x08", b"\xff\xc1\x00\x0b\x0c"))
    yield _bad("JPEG, lossless process", RejectReason.UNSUPPORTED_PIXELS, GOOD_JPEG.replace(b"\xff\xc0", b"\xff\xc3"))
    scan = NOISY_JPEG[NOISY_JPEG.index(b"\xff\xda") : -2]
    yield _bad("JPEG of 200 scans", RejectReason.TOO_LARGE, NOISY_JPEG[:-2] + scan * 199 + b"\xff\xd9")


def _bad_tiff() -> Iterator[Message]:
    corrupt, pixels = RejectReason.CORRUPT_IMAGE, RejectReason.UNSUPPORTED_PIXELS
    deflated = tiff(counts("uint16", side_px=64), compression="zlib", rowsperstrip=16)
    yield _bad("TIFF cut in half", corrupt, GOOD_TIFF[: len(GOOD_TIFF) // 2])
    yield _bad("TIFF cut in half, compressed", corrupt, deflated[: len(deflated) // 2])
    yield _bad("TIFF cut in half, tiled", corrupt, tiff(counts(side_px=64), tile=(16, 16))[:2000])
    yield _bad("TIFF header alone", corrupt, b"II*\0\x08\0\0\0")
    yield _bad("TIFF that points outside itself", corrupt, b"MM\0*\xff\xff\xff\xf0" + bytes(64))
    yield _bad("BigTIFF that points beyond memory", corrupt, b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(64))
    strips = struct.pack("<HHHIII", 1, 273, 1, 2**18 + 1, 26, 0) + bytes(2**18 + 1)
    yield _bad("TIFF of a quarter million strips", RejectReason.TOO_LARGE, b"II*\0\x08\0\0\0" + strips)
    yield _bad("TIFF bomb: 60,000 columns", RejectReason.TOO_LARGE, edited_tiff(deflated, 256, 60_000))
    yield _bad("TIFF bomb: 4 billion rows", RejectReason.TOO_LARGE, edited_tiff(deflated, 257, 2**32 - 1))
    yield _bad("TIFF that claims more rows", RejectReason.SIZE_MISMATCH, edited_tiff(GOOD_TIFF, 257, 240))
    yield _bad("TIFF that claims fewer rows", RejectReason.SIZE_MISMATCH, edited_tiff(GOOD_TIFF, 257, 12))
    yield _bad("TIFF that claims 4 billion rows", RejectReason.SIZE_MISMATCH, edited_tiff(GOOD_TIFF, 257, 2**32 - 1))
    yield _bad("TIFF that claims more rows, compressed", corrupt, edited_tiff(deflated, 257, 640))
    bomb = edited_tiff(tiff(counts(side_px=64), tile=(16, 16)), 322, 65_520)
    yield _bad("TIFF with a tile of 65,520 x 65,520", RejectReason.TOO_LARGE, edited_tiff(bomb, 323, 65_520))
    yield _bad("TIFF with a field type of its own", corrupt, edited_tiff(GOOD_TIFF, 278, kind=127))
    yield _bad("TIFF with two heights", corrupt, edited_tiff(deflated, 296, 3000, new_tag=257))
    yield _bad("TIFF of three pages", pixels, tiff(np.stack([GREY] * 3)))
    yield _bad("TIFF of int16", pixels, tiff(GREY.astype(np.int16)))
    yield _bad("TIFF of float64", pixels, tiff(GREY.astype(np.float64)))
    yield _bad("TIFF where white is zero", pixels, tiff(GREY, photometric="miniswhite"))
    yield _bad("TIFF in colour", pixels, tiff(np.dstack([GREY, GREY, 255 - GREY]), photometric="rgb"))
    yield _bad("TIFF compressed as fax", RejectReason.UNSUPPORTED_CODEC, edited_tiff(GOOD_TIFF, 259, 3))
    yield _bad("TIFF of compressed rubbish", corrupt, deflated.replace(b"\x78\xda", b"\x00\x00").replace(b"\x78\x9c", b"\x00\x00"))
    yield _bad("TIFF with a NaN", RejectReason.NOT_FINITE, tiff(with_one(FLOATS, np.nan)))


def _bad_arrays() -> Iterator[Message]:
    corrupt, size, pixels = RejectReason.CORRUPT_IMAGE, RejectReason.SIZE_MISMATCH, RejectReason.UNSUPPORTED_PIXELS
    yield _bad("NPY without its last byte", size, npy(GREY)[:-1])
    yield _bad("NPY with a byte too many", size, npy(GREY) + b"\0")
    yield _bad("NPY cut in its header", corrupt, npy(GREY)[:40])
    yield _bad("NPY that claims a terabyte", RejectReason.TOO_LARGE, npy(GREY, header=npy_header(shape="(1048576, 1048576)")))
    yield _bad("NPY of negative size", pixels, npy(GREY, header=npy_header(shape="(-24, 32)")))
    yield _bad("NPY with code for a header", corrupt, npy(GREY, header="__import__('os').abort()"))
    yield _bad("NPY with a thousand brackets", corrupt, npy(GREY, header="(" * 1000))
    yield _bad("NPY of objects", pixels, npy(GREY, header=npy_header(descr="'|O'")))
    yield _bad("NPY of records", pixels, npy(GREY, header=npy_header(descr="[('a', '|u1')]")))
    yield _bad("NPY of float64", pixels, npy(GREY.astype(np.float64)))
    yield _bad("NPY of bool", pixels, npy(GREY > 5))
    yield _bad("NPY of three axes", pixels, npy(np.stack([GREY, GREY])))
    yield _bad("NPY with a NaN", RejectReason.NOT_FINITE, npy(with_one(FLOATS, np.nan)))
    yield _bad("NPY with an infinity", RejectReason.NOT_FINITE, npy(with_one(FLOATS, -np.inf)))
    raw = GREY.tobytes()
    yield _bad("raw without layout", RejectReason.HEADER_INVALID, raw, content_type=TYPES["raw"])
    yield _bad("raw without dtype", RejectReason.HEADER_INVALID, raw, **(_layout() | {"ir_dtype": None}))
    yield _bad("raw of float64", RejectReason.HEADER_INVALID, raw, **_layout(dtype=b"float64"))
    yield _bad("raw of no width", RejectReason.HEADER_INVALID, raw, **_layout(width=b"0"))
    yield _bad("raw of half the bytes", size, raw[: len(raw) // 2], **_layout())
    yield _bad("raw with a byte too many", size, raw + b"\0", **_layout())
    yield _bad("raw that claims uint16", size, raw, **_layout(dtype=b"uint16"))
    yield _bad("raw that claims 4 billion pixels", RejectReason.TOO_LARGE, raw, **_layout(width=b"65535", height=b"65535"))
    yield _bad("raw of one row", RejectReason.TOO_SMALL, raw, **_layout(width=b"768", height=b"1"))
    floats = with_one(FLOATS, np.inf).tobytes()
    yield _bad("raw with an infinity", RejectReason.NOT_FINITE, floats, **_layout(dtype=b"float32"))


def _contradictions() -> Iterator[Message]:
    depth, header = RejectReason.BIT_DEPTH_CONTRADICTION, RejectReason.HEADER_CONTRADICTION
    yield _bad("12-bit counts called 10-bit", depth, GOOD_PNG16, ir_bit_depth=b"10")
    yield _bad("8-bit image called 14-bit", depth, ir_bit_depth=b"14")
    yield _bad("7 bits", depth, ir_bit_depth=b"7")
    yield _bad("17 bits", depth, GOOD_PNG16, ir_bit_depth=b"17")
    yield _bad("0 bits", depth, ir_bit_depth=b"0")
    yield _bad("integers called 32-bit", depth, GOOD_PNG16, ir_bit_depth=b"32")
    yield _bad("floats called 14-bit", depth, npy(FLOATS), ir_bit_depth=b"14")
    yield _bad("another width than the image's", header, ir_width=b"33")
    yield _bad("another height than the image's", header, GOOD_JPEG, ir_height=b"25")
    yield _bad("another dtype than the image's", header, GOOD_TIFF, ir_dtype=b"uint16")
    yield _bad("sizes swapped", header, npy(GREY), ir_width=b"24", ir_height=b"32")


def _good(name: str, pixels_HW: NDArray[Any], value: bytes, **headers: bytes | None) -> Message:
    return Message(name, None, b"cam-1", value, _headers(**headers), pixels_HW)


def _palette_png() -> bytes:
    palette = bytes(index for entry in range(256) for index in (255 - entry,) * 3)
    return png(ihdr(32, 24, colour=3), rows(255 - GREY), before=chunk(b"PLTE", palette))


def _good_descriptions() -> Iterator[Message]:
    """A word that nobody understands is no reason to lose a frame."""
    yield _good("time without zone", GREY, GOOD_PNG, ce_time=b"2026-03-01T12:00:00")
    yield _good("time in words", GREY, GOOD_PNG, ce_time=b"yesterday at noon")
    yield _good("month 13", GREY, GOOD_PNG, ce_time=b"2026-13-01T12:00:00Z")
    yield _good("year 1", GREY, GOOD_PNG, ce_time=b"0001-01-01T00:00:00+14:00")
    yield _good("year 9999", GREY, GOOD_PNG, ce_time=b"9999-12-31T23:59:59-12:00")
    yield _good("unix seconds as time", GREY, GOOD_PNG, ce_time=b"1772366400")
    yield _good("unknown platform", GREY, GOOD_PNG, ir_platform=b"submarine")
    yield _good("unknown band", GREY, GOOD_PNG, ir_band=b"x-ray")
    yield _good("frame number in words", GREY, GOOD_PNG, ir_frame=b"seventeen")
    yield _good("frame number with fraction", GREY, GOOD_PNG, ir_frame=b"17.0")
    yield _good("negative frame number", GREY, GOOD_PNG, ir_frame=b"-1")
    yield _good("frame number beyond int64", GREY, GOOD_PNG, ir_frame=b"9223372036854775808")
    yield _good("frame number of 10,000 digits", GREY, GOOD_PNG, ir_frame=b"1" * 10_000)
    yield _good("frame number in Arabic digits", GREY, GOOD_PNG, ir_frame="\u0661\u0667".encode())
    yield _good("content-type without meaning", GREY, GOOD_PNG, content_type=b"\x00\x01\x02")
    yield _good("bits in words", GREY, GOOD_PNG, ir_bit_depth=b"eight")
    yield _good("nodata in words", GREY, GOOD_PNG, ir_nodata=b"none")
    yield _good("size in words", GREY, GOOD_PNG, ir_width=b"wide", ir_height=b"-1", ir_dtype=b"int12")


def _good_images() -> Iterator[Message]:
    yield _good("grey stored as RGB", GREY, cv2_image(".png", np.dstack([GREY] * 3)))
    yield _good("grey stored as opaque RGBA", GREY, cv2_image(".png", np.dstack([GREY] * 3 + [np.full_like(GREY, 255)])))
    yield _good("grey with an opaque alpha", GREY, png(ihdr(32, 24, colour=4), rows(np.dstack([GREY, np.full_like(GREY, 255)]))))
    yield _good("16-bit grey stored as RGB", GREY16, png(ihdr(32, 24, 16, 2), rows(np.dstack([GREY16] * 3))))
    yield _good("PNG with a grey palette", GREY, _palette_png())
    yield _good("interlaced PNG", GREY, interlaced_png(GREY))
    yield _good("PNG in many chunks", GREY, split_png(GREY))
    yield _good("PNG with text, gamma and sBIT", GREY16, png(ihdr(32, 24, 16), rows(GREY16), before=png_annotations()))
    yield _good("bytes after the end of the PNG", GREY, GOOD_PNG + b"camera trailer")
    yield _good("bytes after the end of the JPEG", np.full((24, 32), 99, np.uint8), GOOD_JPEG + b"camera trailer")
    yield _good("JPEG without its end marker", np.full((24, 32), 99, np.uint8), GOOD_JPEG[:-2])
    yield _good("big-endian TIFF", GREY16, tiff(GREY16, byteorder=">"))
    yield _good("BigTIFF", GREY16, tiff(GREY16, bigtiff=True))
    yield _good("tiled TIFF", GREY16, tiff(GREY16, tile=(16, 16)))
    yield _good("TIFF, LZW", GREY16, tiff(GREY16, compression="lzw"))
    yield _good("TIFF, Deflate with predictor", FLOATS, tiff(FLOATS, compression="zlib", predictor=True))
    yield _good("TIFF, Zstandard", GREY, tiff(GREY, compression="zstd"))
    yield _good("grey stored as RGB TIFF", GREY, tiff(np.dstack([GREY] * 3), photometric="rgb"))
    yield _good("big-endian NPY", GREY16, npy(GREY16.astype(">u2")))
    yield _good("column-major NPY", FLOATS, npy(np.asfortranarray(FLOATS)))
    yield _good("NPY with a header in another order", GREY, npy(GREY, header="{'shape': (24,32), 'fortran_order': False, 'descr': '<u1'}"))
    python_2 = "{'descr': '|u1', 'fortran_order': False, 'shape': (24L, 32L), }"
    yield _good("NPY as Python 2 writes it", GREY, npy(GREY, header=python_2))
    yield _good("NPY of one frame with three axes", GREY, npy(GREY[..., None]))
    yield _good("negative and huge floats", FLOATS * -1e30, npy((FLOATS * -1e30).astype(np.float32)))
    yield _good("a lens cap: all zero", np.zeros((512, 512), np.uint16), cv2_image(".png", np.zeros((512, 512), np.uint16)))
    yield _good("raw that begins like a PNG", RAW_LIKE_PNG, RAW_LIKE_PNG.tobytes(), **_layout())


def _good_headers() -> Iterator[Message]:
    yield Message("no header at all", None, b"cam-1", GOOD_PNG, (), GREY)
    yield Message("raw without content-type", None, b"cam-1", GREY.tobytes(), _headers(**(_layout() | {"content_type": None})), GREY)
    yield _good("upper case everywhere", GREY, GOOD_PNG, content_type=b"IMAGE/PNG", ir_platform=b"AIR", ir_band=b"LWIR", IR_FRAME=b"5")
    yield _good("content-type with parameters", GREY, GOOD_PNG, content_type=b"image/png; charset=binary")
    yield _good("blanks around values", GREY, GOOD_PNG, ir_platform=b" space ", ir_frame=b" 7 ")
    yield _good("empty optional headers", GREY, GOOD_PNG, ir_platform=b"", ir_frame=b"", ce_id=b"", ce_time=b"", content_type=b"")
    yield _good("time in nanoseconds with an offset", GREY, GOOD_PNG, ce_time=b"2026-03-01T12:00:00.123456789+05:30")
    yield _good("leap second", GREY, GOOD_PNG, ce_time=b"2016-12-31T23:59:60Z")
    yield _good("the largest frame number", GREY, GOOD_PNG, ir_frame=b"9223372036854775807")
    yield _good("true size stated", GREY, GOOD_PNG, ir_width=b"32", ir_height=b"24", ir_dtype=b"uint8")
    yield _good("12 bits in 16", GREY16, GOOD_PNG16, ir_bit_depth=b"12")
    yield _good("floats of 32 bits", FLOATS, npy(FLOATS), ir_bit_depth=b"32")
    same = (*_CE, ("ir_band", b"MWIR"), ("ir_band", b"mwir"), ("note", b"a"), ("note", b"\xff"))
    yield Message("repeated headers that agree", None, b"cam-1", GOOD_PNG, same, GREY)
    yield Message("key in Chinese", None, "红外相机".encode(), GOOD_PNG, _CE, GREY)


RAW_LIKE_PNG = np.frombuffer((PNG_SIGNATURE + bytes(32 * 24))[: 32 * 24], np.uint8).reshape(24, 32)
BAD: tuple[Message, ...] = (
    *_bad_keys_and_values(),
    *_bad_headers(),
    *_bad_codecs(),
    *_bad_png(),
    *_bad_jpeg(),
    *_bad_tiff(),
    *_bad_arrays(),
    *_contradictions(),
)
GOOD: tuple[Message, ...] = (*_good_images(), *_good_headers(), *_good_descriptions())
