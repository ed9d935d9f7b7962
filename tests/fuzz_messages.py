"""Messages nobody would send on purpose: by a seed (fast, repeatable) and by hypothesis (shrinks what it finds).

Both draw from the catalogue of `tests.bad_inputs` and from pictures whose headers promise absurd things with every checksum right.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from hypothesis import strategies as st

from contracts.frame import RawRecord
from contracts.position import KafkaPosition
from tests import fuzz_grammars
from tests.bad_inputs import BAD, FLOATS, GOOD, GOOD_JPEG, GOOD_PNG, GREY, GREY16, TYPES
from tests.image_builders import chunk, edited_tiff, ihdr, npy, npy_header, png, png_bomb, resized_jpeg, rows, tiff, with_one

# What our own broker takes with its headers; larger ones are refused by every producer.
MAX_VALUE_BYTES = 400_000
_NAMES = ("ce_id", "ce_time", "ce_type", "ce_specversion", "content-type", "ir_platform", "ir_band", "ir_frame", "ir_bit_depth")
_LAYOUT_NAMES = ("ir_width", "ir_height", "ir_dtype")
_SIZES = (0, 1, 2, 7, 8, 24, 32, 33, 255, 256, 4095, 16_384, 16_385, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_WORDS = (
    b"",
    b" ",
    b"\0",
    b"mwir",
    b"air",
    b"unknown",
    b"image/png",
    b"8",
    b"16",
    b"-1",
    b"1e9",
    b"\xff\xfe",
    b"9" * 400,
    b"null",
    b"uint8",
)
_TIFFS = tuple(
    tiff(counts, **options)
    for counts in (GREY, GREY16, FLOATS)
    for options in ({}, {"compression": "zlib"}, {"compression": "lzw"}, {"tile": (16, 16)}, {"bigtiff": True}, {"byteorder": ">"})
)
_TIFF_TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 284, 296, 305, 317, 320, 322, 323, 324, 325, 338, 339, 530)
_VALUES = tuple({message.value for message in (*BAD, *GOOD) if message.value and len(message.value) < MAX_VALUE_BYTES})
_IMAGES = tuple(message.value for message in GOOD if message.value and len(message.value) < MAX_VALUE_BYTES)

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True)
class Fuzz:
    """Key, value and headers as they go to the broker."""

    key: bytes | None
    value: bytes | None
    headers: Headers

    def record(self, offset: int = 0, partition: int = 0, timestamp_ms: int = 1_772_366_400_000) -> RawRecord:
        # Kafka knows headers without a value, whatever the type says.
        return RawRecord(KafkaPosition("frames", partition, offset), self.key, self.value, cast(Any, self.headers), timestamp_ms)

    def sendable(self) -> Fuzz:
        """As a producer will send it: headers have a value, and either key or value is there. The rest is for tests in memory."""
        key = b"" if self.key is None and self.value is None else self.key
        return Fuzz(key, self.value, tuple((name, value or b"") for name, value in self.headers))


def seeded(num: int, seed: int) -> list[Fuzz]:
    """`num` messages; the same ones for the same seed."""
    return [fuzz(random.Random(seed * 1_000_003 + index)) for index in range(num)]


def fuzz(dice: random.Random) -> Fuzz:
    """One message: one time in three only the value is hostile, so that headers do not hide the decoders."""
    value = _value(dice)
    if dice.random() < 0.6:
        return Fuzz(b"cam-1", value, _matching(value, dice))
    return Fuzz(_key(dice), dice.choice((value, value, value, None, b"", dice.randbytes(dice.randrange(300)))), _headers(dice))


def _key(dice: random.Random) -> bytes | None:
    return dice.choice(
        (b"cam-1", b"cam-2", None, b"", b"\xff\xfe\x00", b" \t", b"k" * 70_000, dice.randbytes(dice.randrange(40)), "红外".encode())
    )


def _matching(value: bytes, dice: random.Random) -> Headers:
    """No headers, the right type, or a raw layout: what lets the value reach a decoder."""
    kind = next((TYPES[name] for name, start in _STARTS.items() if value.startswith(start)), None)
    if kind is not None:
        return () if dice.random() < 0.5 else (("content-type", kind),)
    side = max(1, int(len(value) ** 0.5))
    width, height = (32, len(value) // 32) if dice.random() < 0.7 else (side, dice.choice(_SIZES))
    layout = (("ir_width", str(width).encode()), ("ir_height", str(height).encode()))
    return (("content-type", TYPES["raw"]), *layout, ("ir_dtype", dice.choice((b"uint8", b"uint16", b"float32"))))


_STARTS: dict[str, bytes | tuple[bytes, ...]] = {"png": b"\x89PNG", "jpeg": b"\xff\xd8\xff", "tiff": (b"II", b"MM"), "npy": b"\x93NUMPY"}


def _headers(dice: random.Random) -> Headers:
    found: list[tuple[str, bytes | None]] = []
    for _ in range(dice.choice((0, 1, 2, 3, 5, 8, 30, 300))):
        name = dice.choice((*_NAMES, *_LAYOUT_NAMES, "note", "NOTE", "", "é" * dice.randrange(40), "x" * dice.randrange(300)))
        number = str(dice.choice((*_SIZES, 2**63 - 1, 2**63, -1))).encode()
        value = dice.choice((*_WORDS, number, None, dice.randbytes(dice.randrange(60)), b"n" * dice.choice((10, 70_000)), *TYPES.values()))
        found.append((name, value))
        if dice.random() < 0.15:
            found.append((name, dice.choice(_WORDS)))
    return tuple(found)


def _value(dice: random.Random) -> bytes:
    made = dice.choice(_MAKERS)(dice)
    for _ in range(dice.choice((0, 0, 1, 1, 1, 2, 4))):
        made = dice.choice(_DAMAGES)(made, dice)
    return made[:MAX_VALUE_BYTES]


def _absurd_png(dice: random.Random) -> bytes:
    bits, colour = dice.choice((1, 2, 4, 8, 8, 8, 16, 16, 3, 255)), dice.choice((0, 0, 0, 2, 3, 4, 6, 1, 7))
    header = ihdr(dice.choice((32, 32, *_SIZES)), dice.choice((24, 24, *_SIZES)), bits, colour, dice.choice((0, 0, 0, 1, 2)))
    extra = dice.choice(
        (b"", b"", chunk(b"PLTE", dice.randbytes(dice.choice((0, 3, 768, 769)))), chunk(b"tRNS", b"\0" * dice.randrange(9)))
    )
    return png(header, dice.choice((rows(GREY), rows(GREY16), dice.randbytes(800), bytes(100_000))), before=extra)


def _absurd_zlib(dice: random.Random) -> bytes:
    """A PNG whose data are no zlib, cut zlib, two streams, or far more than promised."""
    data = zlib.compress(rows(GREY))
    data = dice.choice(
        (data[:-4], data + data, zlib.compress(bytes(5_000_000), 9), b"\x78\x9c", dice.randbytes(50), data[: dice.randrange(len(data))])
    )
    return GOOD_PNG[:8] + chunk(b"IHDR", ihdr(32, 24)) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _absurd_jpeg(dice: random.Random) -> bytes:
    sized = resized_jpeg(GOOD_JPEG, dice.choice(_SIZES) % 65_536, dice.choice(_SIZES) % 65_536)
    return dice.choice((sized, sized.replace(b"\xff\xc0", bytes((0xFF, dice.randrange(0xC0, 0xD0))))))


def _absurd_tiff(dice: random.Random) -> bytes:
    image = dice.choice(_TIFFS)
    for _ in range(dice.choice((1, 1, 2, 3))):
        try:
            value = dice.choice((None, *_SIZES))
            new_tag, kind = dice.choice((None, None, *_TIFF_TAGS)), dice.choice((None, None, 1, 3, 4, 5, 13, 16, 18))
            image = edited_tiff(image, dice.choice(_TIFF_TAGS), value, kind=kind, new_tag=new_tag)
        except (AssertionError, struct.error):  # no such tag here, or BigTIFF, or a value too large for it
            continue
    return image


def _absurd_npy(dice: random.Random) -> bytes:
    shape = f"({dice.choice(_SIZES)}, {dice.choice(_SIZES)}{dice.choice(('', ',', ', 1'))})"
    shape = dice.choice((shape, "(24, 32)", "(True, 768)", "(24.0, 32)", "()", "None", "(" * 200, "(10**9, 10**9)", "(-1, 32)"))
    descr = dice.choice(
        ("'|u1'", "'<u2'", "'>u2'", "'<f4'", "'>f4'", "'<f8'", "'|O'", "'V1'", "1", "[('a', 'u1')]", "'" + "<" * 3000 + "u1'")
    )
    order = dice.choice(("False", "True", "0", "'F'"))
    return npy(dice.choice((GREY, GREY16, FLOATS)), header=npy_header(descr, order, shape))


def _not_finite(dice: random.Random) -> bytes:
    pixels = with_one(FLOATS, dice.choice((np.nan, np.inf, -np.inf, 3.4e38, 1e-45)))
    return dice.choice((npy(pixels), tiff(pixels), pixels.astype(np.float32).tobytes()))


_BOMBS = (png_bomb(3000), png_bomb(7000), tiff(np.zeros((4000, 4000), np.uint8), compression="zlib"))
_MAKERS: Sequence[Callable[[random.Random], bytes]] = (
    lambda dice: dice.choice(_IMAGES),
    lambda dice: dice.choice(_IMAGES),
    lambda dice: dice.choice(_VALUES),
    _absurd_png,
    _absurd_zlib,
    _absurd_jpeg,
    _absurd_tiff,
    _absurd_tiff,
    _absurd_npy,
    *fuzz_grammars.GRAMMARS.values(),
    _not_finite,
    lambda dice: dice.randbytes(dice.randrange(1, 1500)),
    lambda dice: GREY.tobytes() if dice.random() < 0.95 else dice.choice(_BOMBS),
)


def _flip(value: bytes, dice: random.Random) -> bytes:
    damaged = bytearray(value)
    for _ in range(dice.choice((1, 1, 3, 20))):
        if damaged:
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
    return bytes(damaged)


def _overwrite(value: bytes, dice: random.Random) -> bytes:
    """Extreme numbers where sizes, offsets and counts tend to be."""
    at = dice.randrange(min(len(value), 300) + 1)
    return value[:at] + (number := struct.pack(dice.choice("<>") + "I", dice.choice(_SIZES))) + value[at + len(number) :]


def _splice(value: bytes, dice: random.Random) -> bytes:
    other = dice.choice(_VALUES)
    return value[: dice.randrange(len(value) + 1)] + other[dice.randrange(len(other)) :]


def _repeat(value: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(value) + 1)
    part = value[start : start + dice.randrange(1, 200)]
    return value[:start] + part * dice.choice((2, 3, 50)) + value[start:]


_DAMAGES: Sequence[Callable[[bytes, random.Random], bytes]] = (
    _flip,
    _flip,
    _overwrite,
    _splice,
    _repeat,
    lambda value, dice: value[: dice.randrange(len(value) + 1)],
    lambda value, dice: value[: (at := dice.randrange(len(value) + 1))] + value[at + dice.randrange(1, 40) :],
    lambda value, dice: value[: (at := dice.randrange(len(value) + 1))] + dice.randbytes(dice.randrange(1, 40)) + value[at:],
)

_names = st.sampled_from((*_NAMES, *_LAYOUT_NAMES)) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_header_values = (
    st.none() | st.sampled_from((*_WORDS, *TYPES.values())) | st.integers(-1, 2**64).map(lambda n: str(n).encode()) | st.binary(max_size=40)
)
_hypothesis_headers: st.SearchStrategy[Any] = st.lists(st.tuples(_names, _header_values), max_size=12).map(tuple)


def _damage(value: bytes, start: int, num: int, instead: bytes) -> bytes:
    at = start % (len(value) + 1)
    return value[:at] + instead + value[at + num :]


_damaged = st.builds(_damage, st.sampled_from(_IMAGES), st.integers(0, 2000), st.integers(0, 200), st.binary(max_size=30))
messages = st.builds(
    Fuzz,
    key=st.none() | st.just(b"cam-1") | st.binary(max_size=30),
    value=st.none() | st.binary(max_size=200) | _damaged | st.randoms(use_true_random=False).map(_value),
    headers=st.just(()) | _hypothesis_headers,
)
