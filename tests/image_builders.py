"""Images made by other libraries or byte by byte, so that a mistake in our own encoders cannot hide itself."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def counts(dtype: str = "uint8", side_px: int = 24, most: int = 250) -> NDArray[Any]:
    """A frame of random counts."""
    return np.random.default_rng(7).integers(0, most, (side_px, side_px + 8)).astype(dtype)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk with its right checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(ihdr: bytes, rows: bytes, *, before: bytes = b"") -> bytes:
    """A PNG with every checksum right, whatever it says."""
    return PNG_SIGNATURE + chunk(b"IHDR", ihdr) + before + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png_bomb(side_px: int) -> bytes:
    """A black PNG of that side, all of it really there, made without holding it in memory."""
    compressor = zlib.compressobj(9)
    row = bytes(side_px + 1)
    data = b"".join(compressor.compress(row) for _ in range(side_px)) + compressor.flush()
    return PNG_SIGNATURE + chunk(b"IHDR", ihdr(side_px, side_px)) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def ihdr(width: int, height: int, bits: int = 8, colour: int = 0, interlace: int = 0) -> bytes:
    """Body of an IHDR chunk."""
    return struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)


def rows(pixels_HWC: NDArray[Any]) -> bytes:
    """PNG rows without filter; 16-bit samples big endian."""
    big = pixels_HWC.astype(pixels_HWC.dtype.newbyteorder(">"))
    return b"".join(b"\0" + row.tobytes() for row in big)


def cv2_image(extension: str, pixels: NDArray[Any]) -> bytes:
    """What OpenCV writes."""
    done, encoded = cv2.imencode(extension, pixels)
    assert done
    return encoded.tobytes()


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    """What tifffile writes."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **{"photometric": "minisblack", "metadata": None, **options})
    return stream.getvalue()


def edited_tiff(image: bytes, tag: int, value: int | None = None, *, kind: int | None = None, new_tag: int | None = None) -> bytes:
    """A little-endian classic TIFF with one field of its directory changed in place: its value, its type or its name."""
    damaged = bytearray(image)
    at = struct.unpack_from("<I", damaged, 4)[0]
    for entry in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", damaged, at)[0], 12):
        if struct.unpack_from("<H", damaged, entry)[0] == tag:
            struct.pack_into("<H", damaged, entry, new_tag or tag)
            if kind is not None:
                struct.pack_into("<H", damaged, entry + 2, kind)
            if value is not None:
                is_short = struct.unpack_from("<H", damaged, entry + 2)[0] == 3
                struct.pack_into("<H" if is_short else "<I", damaged, entry + 8, value)
            return bytes(damaged)
    raise AssertionError(f"no tag {tag}")


def npy(array: NDArray[Any], *, header: str | None = None) -> bytes:
    """What numpy writes, or the same data behind a header of one's own."""
    if header is not None:
        text = header.encode() + b"\n"
        return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + array.tobytes()
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_header(descr: str = "'|u1'", order: str = "False", shape: str = "(24, 32)") -> str:
    """The text of an NPY header."""
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def resized_jpeg(image: bytes, width: int, height: int) -> bytes:
    """A JPEG whose frame header lies about its size."""
    at = image.index(b"\xff\xc0")
    return image[: at + 5] + struct.pack(">HH", height, width) + image[at + 9 :]


def with_one(pixels_HW: NDArray[Any], value: float) -> NDArray[Any]:
    """A copy with one pixel set."""
    changed = pixels_HW.copy()
    changed[5, 5] = value
    return changed


def interlaced_png(pixels_HW: NDArray[Any]) -> bytes:
    """Adam7, as cameras never and web tools sometimes write it."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    data = b"".join(rows(pixels_HW[row::row_step, column::column_step]) for column, row, column_step, row_step in passes)
    height, width = pixels_HW.shape
    return png(ihdr(width, height, interlace=1), data)


def split_png(pixels_HW: NDArray[Any]) -> bytes:
    """A PNG whose data are spread over chunks of seven bytes."""
    height, width = pixels_HW.shape
    data = zlib.compress(rows(pixels_HW))
    parts = b"".join(chunk(b"IDAT", data[start : start + 7]) for start in range(0, len(data), 7))
    return PNG_SIGNATURE + chunk(b"IHDR", ihdr(width, height)) + parts + chunk(b"IEND", b"")


def png_annotations() -> bytes:
    return chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"sBIT", b"\x0c") + chunk(b"tEXt", b"Comment\0thermal")
