"""PNM (`.pgm`, `.ppm`, `.pbm`): counts as stored. OpenCV stretches those of 10 to 14 bits to 16, and of several images it shows the first.

Source: Netpbm formats, pgm(5), ppm(5), pbm(5).
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import RejectReason, RejectRecord
from contracts.frame import Pixels
from contracts.limits import InputLimits
from contracts.probes import corrupt, unsupported

SIGNATURES = tuple(b"P%d" % kind for kind in range(1, 7))
_GAP = rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])+"
_SIZES = {kind: re.compile(rb"P." + (_GAP + rb"(\d{1,9})") * (2 if kind in b"14" else 3) + rb"[ \t\r\n\v\f]") for kind in b"123456"}
_COMMENT = re.compile(rb"#[^\r\n]*")
_HEADER_BYTES = 4096


def decode_pnm(value: bytes, limits: InputLimits) -> Pixels:
    """Samples `(H, W)` or `(H, W, 3)`, uint8 or uint16; of a bitmap, ink is 0 and blank is 255.

    Raises:
        RejectRecord: damaged, truncated, several images, beyond the limits, a sample above the stated largest.
    """
    kind = value[1]
    found = _SIZES[kind].match(value[:_HEADER_BYTES])
    if found is None:
        raise corrupt("a PNM header with size and largest count", repr(value[:20]))
    width_px, height_px, most = int(found[1]), int(found[2]), 1 if kind in b"14" else int(found[3])
    if not width_px or not height_px or not 0 < most < 2**16:
        raise corrupt("a PNM of at least one pixel and counts up to 65535", f"{width_px}x{height_px} px, counts up to {most}")
    num_channels = 3 if kind in b"36" else 1
    dtype: Any = np.uint8 if most < 2**8 else np.dtype(">u2")
    num = width_px * height_px * num_channels
    limits.check_size(width_px, height_px, num * dtype(0).itemsize if dtype is np.uint8 else num * 2, len(value))
    body = value[found.end() :]
    if kind in b"123":
        samples = _from_text(_COMMENT.sub(b"", body), num, bits=kind in b"1")
    elif kind in b"4":
        row_bytes = -(-width_px // 8)
        _check_bytes(len(body), row_bytes * height_px)
        rows = np.frombuffer(body, np.uint8, row_bytes * height_px).reshape(height_px, row_bytes)
        samples = np.unpackbits(rows, axis=1)[:, :width_px]
    else:
        _check_bytes(len(body), num * (1 if most < 2**8 else 2))
        samples = np.frombuffer(body, dtype, num)
    if int(samples.max()) > most:
        raise corrupt(f"counts of at most {most}, as the PNM says", f"{int(samples.max())}")
    pixels: NDArray[Any] = np.asarray(samples, np.uint8 if most < 2**8 else np.uint16).reshape(
        height_px, width_px, *([3] * (num_channels == 3))
    )
    return np.asarray(255 * (1 - pixels), np.uint8) if kind in b"14" else pixels


def _from_text(body: bytes, num: int, *, bits: bool) -> NDArray[Any]:
    words = re.findall(rb"[01]", body) if bits else body.split()
    if len(words) != num:
        raise RejectRecord(RejectReason.SIZE_MISMATCH, expected=f"{num} numbers", got=f"{len(words)}")
    try:
        return np.array([int(word) for word in words], np.int64)
    except (ValueError, OverflowError) as error:
        raise corrupt("a PNM of numbers", str(error)[:80]) from error


def _check_bytes(got: int, expected: int) -> None:
    if got < expected:
        raise RejectRecord(RejectReason.SIZE_MISMATCH, expected=f"{expected} bytes of pixels", got=f"{got}")
    if got > expected + 1:  # one line feed at the end is nothing
        raise unsupported("one image in the PNM", f"{got - expected} bytes behind it")
