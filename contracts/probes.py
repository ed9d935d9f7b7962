"""Probes: size and kind of an encoded image, read from its first bytes without decoding or allocating anything.

Pure Python over `bytes`: no C library sees a message before its promised size has been checked.
Source: NumPy's NEP 1. PNG, JPEG and TIFF have files of their own.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

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
_NPY_VERSIONS = {b"\x01\0": (2, "latin-1"), b"\x02\0": (4, "latin-1"), b"\x03\0": (4, "utf-8")}  # bytes of the length, encoding
_NPY_DTYPES = frozenset({"uint8", "uint16", "float32"})
_NPY_DTYPE_CHARACTERS = 16
_PYTHON_2_LONG = re.compile(r"(?<=\d)L\b")


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
        page: for TIFF, number of the directory.
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
    page: int = 0

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


def probe_npy(value: bytes) -> ImageHeader:
    """Read the header of a `.npy` file (versions 1 to 3): a Python literal, so nothing is evaluated or unpickled.

    Raises:
        RejectRecord: no intact header, not two axes, or a type other than uint8, uint16 and float32.
    """
    if len(value) < 12 or (version := _NPY_VERSIONS.get(value[6:8])) is None:
        raise unsupported("NPY version 1.0, 2.0 or 3.0", value[6:8].hex(" ") or "nothing")
    num_bytes, encoding = version
    text_start = 8 + num_bytes
    start = text_start + int.from_bytes(value[8:text_start], "little")
    if start > min(len(value), _NPY_HEADER_BYTES):
        raise corrupt(f"an NPY header inside the message and of at most {_NPY_HEADER_BYTES} bytes", f"one that ends at byte {start}")
    try:
        # Python 2 wrote whole numbers of 64 bits as 96L; numpy reads them too.
        fields = ast.literal_eval(_PYTHON_2_LONG.sub("", value[text_start:start].decode(encoding)).strip())
        descr, column_major, shape = (fields[name] for name in ("descr", "fortran_order", "shape"))
    # What the parser of Python literals lets out on hostile text, and what a literal of another kind does.
    except (ValueError, SyntaxError, TypeError, KeyError, IndexError, RecursionError, MemoryError) as error:
        raise corrupt("an intact NPY header", f"{type(error).__name__}: {error}"[:200]) from error
    dtype = _npy_dtype(descr)
    if not isinstance(column_major, bool):
        raise corrupt("fortran_order True or False", repr(column_major)[:80])
    if isinstance(shape, tuple) and len(shape) == 3 and 1 in (shape[0], shape[2]):
        shape = shape[1:] if shape[0] == 1 else shape[:2]  # one frame, whatever the name of its third axis
    if not isinstance(shape, tuple) or len(shape) != 2 or any(type(side) is not int or side <= 0 for side in shape):
        raise unsupported("an array of height x width", f"shape {shape}"[:80])
    return ImageHeader(shape[1], shape[0], dtype.name, 1, start, dtype.byteorder == ">", column_major)


def _npy_dtype(descr: object) -> np.dtype[Any]:
    """The type as numpy understands its name."""
    if isinstance(descr, str) and len(descr) <= _NPY_DTYPE_CHARACTERS:
        try:
            dtype = np.dtype(descr)
        except (TypeError, ValueError, SyntaxError):
            pass
        else:
            if dtype.name in _NPY_DTYPES and dtype.shape == ():
                return dtype
    raise unsupported("uint8, uint16 or float32", repr(descr)[:80])
