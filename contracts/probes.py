"""Probes: size and kind of an encoded image, read from its first bytes without decoding or allocating anything.

Pure Python over `bytes`: no C library sees a message before its promised size has been checked.
Sources: ITU-T T.81 annex B; NumPy's NEP 1. PNG and TIFF have files of their own.
"""

from __future__ import annotations

import ast
import struct
from dataclasses import dataclass

import numpy as np

from contracts.errors import RejectReason, RejectRecord
from contracts.frame import ContentType

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = (
    (PNG_SIGNATURE, ContentType.PNG),
    (b"\xff\xd8\xff", ContentType.JPEG),
    (b"II*\0", ContentType.TIFF),
    (b"MM\0*", ContentType.TIFF),
    (b"II+\0", ContentType.TIFF),
    (b"MM\0+", ContentType.TIFF),
    (b"\x93NUMPY", ContentType.NPY),
)
_NPY_HEADER_BYTES = 4096  # numpy writes 128; a header far beyond it is an attack on the parser
_NPY_DTYPES = {"u1": "uint8", "u2": "uint16", "f4": "float32"}


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Size and kind of the pixels an encoded image promises.

    Attributes:
        dtype: `uint8`, `uint16` or `float32` of one sample.
        num_channels: samples per pixel after decoding.
        data_start: for NPY, where the pixels begin.
        big_endian: for NPY, the byte order of the pixels.
        column_major: for NPY, Fortran order.
        white_is_zero: for TIFF, the highest count is the darkest.
        nodata: for TIFF, values that are no measurement (GDAL's tag).
    """

    width_px: int
    height_px: int
    dtype: str
    num_channels: int = 1
    data_start: int = 0
    big_endian: bool = False
    column_major: bool = False
    white_is_zero: bool = False
    nodata: tuple[float, ...] = ()

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the decoded samples."""
        return self.width_px * self.height_px * self.num_channels * np.dtype(self.dtype).itemsize


def sniff(value: bytes) -> ContentType | None:
    """The codec by the file signature, or None (raw pixels have none)."""
    for signature, content_type in _SIGNATURES:
        if value.startswith(signature):
            return content_type
    return None


def corrupt(expected: str, got: str) -> RejectRecord:
    """The image's own structure does not hold."""
    return RejectRecord(RejectReason.CORRUPT_IMAGE, expected=expected, got=got)


def unsupported(expected: str, got: str) -> RejectRecord:
    """A valid image, but none that holds one frame of counts."""
    return RejectRecord(RejectReason.UNSUPPORTED_PIXELS, expected=expected, got=got)


def probe_jpeg(value: bytes) -> ImageHeader:
    """Walk the marker segments up to the frame header.

    Raises:
        RejectRecord: no intact frame header, or a process other than 8-bit Huffman-coded DCT.
    """
    at = 2
    while at + 4 <= len(value):
        if value[at] != 0xFF:
            break
        marker = value[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        length = int.from_bytes(value[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _jpeg_frame(marker, value[at + 4 : at + 2 + length])
        if length < 2 or marker in (0xD9, 0xDA):
            break
        at += 2 + length
    raise corrupt("a JPEG with a frame header before its first scan", "none")


def _jpeg_frame(marker: int, segment: bytes) -> ImageHeader:
    if len(segment) < 6:
        raise corrupt("a whole JPEG frame header", f"{len(segment)} bytes of it")
    bits, height_px, width_px, num_channels = struct.unpack(">BHHB", segment[:6])
    if marker > 0xC2 or bits != 8:
        raise unsupported("baseline or progressive JPEG of 8 bits", f"process {marker - 0xC0} of {bits} bits")
    if num_channels not in (1, 3):
        raise unsupported("a JPEG of 1 or 3 components", f"{num_channels}")
    if not width_px or not height_px:
        raise corrupt("a JPEG that states its size", f"{width_px}x{height_px} px")
    return ImageHeader(width_px, height_px, "uint8", num_channels)


def probe_npy(value: bytes) -> ImageHeader:
    """Read the header of a `.npy` file (version 1 or 2): a Python literal, so nothing is evaluated or unpickled.

    Raises:
        RejectRecord: no intact header, not two axes, or a type other than uint8, uint16 and float32.
    """
    if len(value) < 12 or value[6:8] not in (b"\x01\0", b"\x02\0"):
        raise unsupported("NPY version 1.0 or 2.0", value[6:8].hex(" ") or "nothing")
    length_start, length_end = 8, 10 if value[6] == 1 else 12
    start = length_end + int.from_bytes(value[length_start:length_end], "little")
    if start > min(len(value), _NPY_HEADER_BYTES):
        raise corrupt(f"an NPY header inside the message and of at most {_NPY_HEADER_BYTES} bytes", f"one that ends at byte {start}")
    try:
        fields = ast.literal_eval(value[length_end:start].decode("latin-1").strip())
        descr, column_major, shape = (fields[name] for name in ("descr", "fortran_order", "shape"))
    # What the parser of Python literals lets out on hostile text, and what a literal of another kind does.
    except (ValueError, SyntaxError, TypeError, KeyError, IndexError, RecursionError, MemoryError) as error:
        raise corrupt("an intact NPY header", f"{type(error).__name__}: {error}"[:200]) from error
    if not isinstance(descr, str) or (dtype := _NPY_DTYPES.get(descr.lstrip("<>=|"))) is None:
        raise unsupported("uint8, uint16 or float32", repr(descr)[:80])
    if not isinstance(column_major, bool):
        raise corrupt("fortran_order True or False", repr(column_major)[:80])
    if not isinstance(shape, tuple) or len(shape) != 2 or any(type(side) is not int or side <= 0 for side in shape):
        raise unsupported("an array of height x width", f"shape {shape}"[:80])
    return ImageHeader(shape[1], shape[0], dtype, 1, start, descr.startswith(">"), column_major)
