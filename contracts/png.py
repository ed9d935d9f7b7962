"""PNG: its header, and a decoder that believes nothing.

Source: PNG 3rd edition (W3C 2025), §5 (chunks), §8.1 (Adam7), §11.2 (IHDR).
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from contracts.errors import RejectReason, RejectRecord
from contracts.frame import Pixels
from contracts.probes import PNG_SIGNATURE, ImageHeader, corrupt, unsupported

_MAX_CHUNKS = 100_000
_PALETTE = 3
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # colour type -> channels after decoding
# Adam7: first column, first row, column step, row step of each pass.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> samples per pixel as stored
_BITS = (1, 2, 4, 8, 16)
_IEND = b"\0\0\0\0IEND\xaeB`\x82"


def probe_png(value: bytes, least_bits: int = 8) -> ImageHeader:
    """Read IHDR.

    Args:
        value: the PNG.
        least_bits: fewest bits per sample that are taken; samples of 1, 2 or 4 bits are decoded to the whole range of 8.

    Raises:
        RejectRecord: no intact IHDR, or samples of fewer bits or of a width that the standard does not have.
    """
    if len(value) < 33 or value[8:16] != b"\0\0\0\rIHDR" or zlib.crc32(value[12:29]) != int.from_bytes(value[29:33], "big"):
        raise corrupt("a PNG that begins with an intact IHDR", "a damaged or missing IHDR")
    width_px, height_px, bits, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", value[16:29])
    if colour not in _CHANNELS or compression or filtering or interlace > 1 or not width_px or not height_px:
        raise corrupt("an IHDR with values of the PNG standard", f"{width_px}x{height_px}, colour type {colour}, interlace {interlace}")
    if colour == _PALETTE:
        bits = 8  # of the palette's entries, whatever the width of the index
    taken = [str(each) for each in _BITS if each >= least_bits]
    if str(bits) not in taken:  # widths that the standard does not have too: to a camera that is one mistake with one reason
        raise unsupported(f"{', '.join(taken[:-1])} or {taken[-1]} bits per sample", f"{bits}")
    return ImageHeader(width_px, height_px, f"uint{max(bits, 8)}", _CHANNELS[colour])


def decode_png(value: bytes, header: ImageHeader) -> Pixels:
    """Decode a PNG whose header has been probed and whose size has been accepted.

    libpng draws a picture from data that is longer than its header promises, so the data are inflated here to exactly the
    promised size, and libpng only undoes the row filters of a stored copy. Together that costs what libpng alone costs.
    Every annotation (gamma, significant bits, transparent colour) is left out: the counts are taken as stored.

    Returns:
        `(H, W)`, or `(H, W, channels)` for grey stored in another way.

    Raises:
        RejectRecord: damaged, truncated, an animation, or more or less data than promised.
    """
    import imagecodecs

    ihdr = value[16:29]
    palette, compressed = _chunks(value)
    promised = _data_bytes(header, bits=ihdr[8], colour=ihdr[9], interlaced=bool(ihdr[12]))
    try:
        data = imagecodecs.deflate_decode(compressed, out=promised)
    except imagecodecs.DeflateError as error:
        if "INSUFFICIENT_SPACE" in str(error):
            raise RejectRecord(RejectReason.SIZE_MISMATCH, expected=f"{promised} bytes as IHDR says", got="more pixel data") from error
        raise corrupt("intact PNG pixel data", str(error)) from error
    if len(data) != promised:
        raise RejectRecord(RejectReason.SIZE_MISMATCH, expected=f"{promised} bytes as IHDR says", got=f"{len(data)}")
    stored = b"".join((PNG_SIGNATURE, *_chunk(b"IHDR", ihdr), palette, *_chunk(b"IDAT", zlib.compress(data, 0)), _IEND))
    try:
        pixels: Pixels = imagecodecs.png_decode(stored)
    except (RuntimeError, ValueError) as error:
        raise corrupt("PNG rows with filters of the standard", str(error)) from error
    return pixels


def palette_of(value: bytes) -> NDArray[np.uint8] | None:
    """The colours of a PNG with a palette, `(n, 3)`; None where it has none, or one of greys alone.

    Raises:
        RejectRecord: damaged.
    """
    if value[25:26] != bytes((_PALETTE,)):
        return None
    body = _chunks(value)[0][8:-4]
    palette_N3 = np.frombuffer(body[: len(body) // 3 * 3], np.uint8).reshape(-1, 3)
    greys = (palette_N3[:, :1] == palette_N3).all()
    return None if greys or not len(palette_N3) else palette_N3


def decode_numbers(value: bytes) -> Pixels:
    """The numbers into the palette, `(H, W)` uint8, of a PNG that has one; its size has been accepted.

    Raises:
        RejectRecord: as `decode_png`.
    """
    bits = value[24]
    as_grey = value[16:25] + b"\0" + value[26:29]
    data = _chunks(value)[1]
    grey = b"".join((PNG_SIGNATURE, *_chunk(b"IHDR", as_grey), *_chunk(b"IDAT", data), _IEND))
    pixels = decode_png(grey, probe_png(grey, least_bits=1))
    return np.asarray(pixels // (255 // (2**bits - 1)), np.uint8)


def _chunks(value: bytes) -> tuple[bytes, bytes]:
    """The PLTE chunk (or nothing) and the joined IDAT data; every checksum has been checked, IEND has been seen."""
    palette, data, at = b"", [], 8
    for _ in range(_MAX_CHUNKS):
        head = value[at : at + 8]
        body_end = at + 8 + int.from_bytes(head[:4], "big")
        if len(head) < 8 or body_end + 4 > len(value):
            raise corrupt("a PNG that ends with IEND", f"a truncated one: {len(value)} bytes")
        kind = head[4:]
        if zlib.crc32(memoryview(value)[at + 4 : body_end]) != int.from_bytes(value[body_end : body_end + 4], "big"):
            raise corrupt("PNG chunks with the right checksum", f"a damaged {kind.decode('ascii', 'backslashreplace')}")
        if kind == b"IDAT":
            data.append(value[at + 8 : body_end])
        elif kind == b"PLTE":
            palette = value[at : body_end + 4]
        elif kind == b"acTL":
            raise unsupported("one image in the PNG", "an animation")
        elif kind == b"IEND":
            return palette, data[0] if len(data) == 1 else b"".join(data)
        at = body_end + 4
    raise corrupt(f"at most {_MAX_CHUNKS} PNG chunks", "more")


def _data_bytes(header: ImageHeader, *, bits: int, colour: int, interlaced: bool) -> int:
    """Bytes of the inflated rows, each with its filter byte."""
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for first_column, first_row, column_step, row_step in passes:
        columns = -(-(header.width_px - first_column) // column_step)
        rows = -(-(header.height_px - first_row) // row_step)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits * _SAMPLES[colour] + 7) // 8)
    return total


def _chunk(kind: bytes, body: bytes) -> tuple[bytes, ...]:
    """The parts of a chunk, to be joined once: the body may be large."""
    return struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))
