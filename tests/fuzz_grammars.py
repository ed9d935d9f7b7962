"""Images written from the grammar of their format: JPEG segments, TIFF directories, NPY headers, with mistakes that no flip makes."""

from __future__ import annotations

import random
import struct

import cv2
import numpy as np

from contracts.jpeg import Segment, segments

_GREY = np.random.default_rng(5).integers(0, 250, (24, 32)).astype(np.uint8)
_SIZES = (0, 1, 2, 8, 24, 32, 255, 65_535, 2**31 - 1, 2**32 - 1)


def _written(*options: int, colour: bool = False) -> list[Segment]:
    _, encoded = cv2.imencode(".jpg", np.dstack([_GREY, _GREY[::-1], _GREY]) if colour else _GREY, options)
    return list(segments(encoded.tobytes()))


_JPEGS = (_written(), _written(cv2.IMWRITE_JPEG_PROGRESSIVE, 1), _written(cv2.IMWRITE_JPEG_RST_INTERVAL, 2), _written(colour=True))
_MARKERS = (0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC9, 0xCC, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE, 0x01, 0xD3, 0xF0)
_BODIES = (
    b"",
    b"JFIF\0\x02\x01",
    b"Adobe\0\x64\0\0\0\0\x07",
    b"FLIR\0\1\0\0FFF\0",
    b"MPF\0II*\0\x08\0\0\0",
    b"ICC_PROFILE\0\1\1",
    b"\xff\xd9",
)


def jpeg(dice: random.Random) -> bytes:
    """Segments of a real JPEG: some changed, dropped, doubled, moved, joined by others; padded, cut or followed by something."""
    parts = list(dice.choice(_JPEGS))
    for _ in range(dice.choice((0, 1, 1, 2, 3, 6))):
        if parts:
            _change(parts, dice.randrange(len(parts)), dice)
    written = [b"\xff\xd8"]
    for part in parts:
        length = len(part.body) + 2 if dice.random() < 0.95 else dice.choice((0, 1, 2, 65_535, dice.randrange(65_536)))
        fill = b"\xff" * dice.choice((0, 0, 0, 3)) + b"\xff"
        written += [fill, bytes((part.marker,)), struct.pack(">H", min(length, 65_535)), part.body, part.data]
    written += [dice.choice((b"\xff\xd9", b"\xff\xd9", b"", b"\xff\xd9\xff\xd8\xff\xe0" + bytes(40), b"\0" * 7 + b"\xff\xd9"))]
    return b"".join(written)


def _change(parts: list[Segment], at: int, dice: random.Random) -> None:
    part, way = parts[at], dice.randrange(7)
    if way == 0:
        parts.insert(at, Segment(dice.choice(_MARKERS), dice.choice((*_BODIES, dice.randbytes(dice.randrange(200))))))
    elif way == 1:
        del parts[at]
    elif way == 2:
        parts.insert(at, dice.choice(parts))
    elif way == 3:
        parts.insert(dice.randrange(len(parts)), parts.pop(at))
    elif way == 4 and part.body:
        body = bytearray(part.body)
        body[dice.randrange(len(body))] = dice.choice((0, 1, 2, 3, 63, 64, 255, dice.randrange(256)))
        whole = len(body)
        parts[at] = Segment(part.marker, bytes(body[: dice.choice((whole, whole, dice.randrange(whole)))]), part.data)
    elif way == 5:
        parts[at] = Segment(part.marker, part.body, part.data[: dice.randrange(len(part.data) + 1)])
    else:
        filling = dice.choice((bytes(9), b"\xff" * 3, b"\xff\xd0" * 4, b"\1\2"))
        parts[at] = Segment(part.marker, part.body, part.data + filling)


_TAGS = (254, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 330, 338, 339, 32_997, 42_113)
_KINDS = {1: "B", 3: "H", 4: "I", 16: "Q", 2: "B", 6: "b", 12: "d", 99: "I"}


def tiff(dice: random.Random) -> bytes:
    """One to four directories, of which each may be right, lack a field, hold one twice or with absurd values, or point to another."""
    order, big = dice.choice("<>"), dice.random() < 0.3
    offset = "Q" if big else "I"
    start = struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 16) if big else (42, 8)))
    image = bytearray((b"II" if order == "<" else b"MM") + start)
    pixels_at = len(image) + 4000
    for number in range(num := dice.choice((1, 1, 1, 2, 4))):
        fields = {254: (4, [dice.choice((0, 0, 0, 1, 2, 4))]), 256: (3, [32]), 257: (3, [24]), 258: (3, [8]), 259: (3, [1])}
        fields |= {262: (3, [dice.choice((1, 1, 1, 0))]), 273: (4, [pixels_at]), 277: (3, [1]), 278: (3, [24]), 279: (4, [_GREY.size])}
        entries = list(fields.items())
        for _ in range(dice.choice((0, 0, 1, 1, 2, 4))):
            at = dice.randrange(len(entries))
            values = [dice.choice((*_SIZES, 3, 5, 8, 16)) for _ in range(dice.choice((1, 1, 2, 3, 70)))]
            made = (dice.choice(_TAGS), (dice.choice(tuple(_KINDS)), values))
            if dice.random() < 0.2:
                del entries[at]
            elif dice.random() < 0.5:
                entries[at] = made
            else:
                entries.append(made)
        entries.sort(key=lambda entry: entry[0])
        image += _directory(order, offset, entries, len(image), number + 1 < num, dice)
    image += bytes(max(pixels_at - len(image), 0))
    return bytes(image + _GREY.tobytes())


def _directory(
    order: str, offset: str, entries: list[tuple[int, tuple[int, list[int]]]], at: int, more: bool, dice: random.Random
) -> bytes:
    width = struct.calcsize(offset)
    count = "Q" if offset == "Q" else "H"
    num = len(entries) if dice.random() < 0.97 else dice.choice((0, 1, 200, 65_535))
    head, tail = struct.pack(order + count, num), b""
    end = at + len(head) + len(entries) * (4 + 2 * width) + width
    for tag, (kind, values) in entries:
        code = _KINDS[kind]
        most = 2 ** (8 * struct.calcsize(code)) - 1 if code in "BHIQ" else 100
        body = struct.pack(f"{order}{len(values)}{code}", *(min(value, most) for value in values))
        num_values = len(values) if dice.random() < 0.97 else dice.choice(_SIZES)
        if len(body) <= width:
            place = body.ljust(width, b"\0")
        else:
            place, tail = struct.pack(order + offset, end + len(tail)), tail + body
        head += struct.pack(order + "HH" + offset, tag, kind, num_values) + place
    following = end + len(tail) if more else 0
    if dice.random() < 0.03:
        following = dice.choice((8, 16, at, end, 2**31))
    return head + struct.pack(order + offset, following) + tail


def npy(dice: random.Random) -> bytes:
    """A header put together from right and wrong words, in any order, version and length."""
    right = ("'|u1'", "'<u2'", "'>u2'", "'<f4'", "'u1'", "'uint8'", "'B'")
    descr = dice.choice(right[:1] if dice.random() < 0.7 else (*right, "'<f8'", "'?'", "'O'", "'<U9'", "'u1,u2'", "b'|u1'", "'('"))
    sides = (
        ["24", "32"]
        if dice.random() < 0.75
        else [
            f"{dice.choice((24, 24, 24, 32, 1, 0, -1, 10**9, 10**30))}{dice.choice(('', '', '', 'L', 'LL', '.0', 'j'))}"
            for _ in range(dice.choice((0, 1, 2, 2, 2, 3)))
        ]
    )
    shape = f"({', '.join(sides)}{dice.choice(('', ','))})"
    fields = [f"'descr': {descr}", f"'fortran_order': {dice.choice(('False', 'False', 'True', '0', 'None'))}", f"'shape': {shape}"]
    if dice.random() < 0.3:
        dice.shuffle(fields)
    if dice.random() < 0.1:
        fields.append(dice.choice(("'descr': '|u1'", "'more': [[[[1]]]]", "**{}", "'x': 1 if 1 else 2")))
    text = f"{{{', '.join(fields)}{dice.choice((', ', ''))}}}".encode()
    text += dice.choice((b"\n", b" " * 60 + b"\n", b"", b"\0", "é\n".encode()))
    version = dice.choice((1, 1, 1, 2, 3, 4, 0))
    length = struct.pack("<H" if version == 1 else "<I", len(text) if dice.random() < 0.95 else dice.randrange(65_536))
    return b"\x93NUMPY" + bytes((version, 0)) + length + text + _GREY.tobytes() * dice.choice((1, 1, 1, 2, 4))


GRAMMARS = {"jpeg": jpeg, "tiff": tiff, "npy": npy}
