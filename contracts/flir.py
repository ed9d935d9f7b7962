"""Radiometric JPEG of FLIR cameras: the 16-bit raster and the constants that turn its counts into temperatures.

The picture that everybody sees is a rendering of 8 bits, with scale and logo drawn in. The counts lie beside it, in an FFF file that is cut
into APP1 segments. Its layout is not published; this follows what ExifTool documents (Image::ExifTool::FLIR, "FLIR FFF Tags"), checked on
26 files of 15 cameras.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import RejectReason, RejectRecord
from contracts.frame import Pixels
from contracts.jpeg import segments
from contracts.limits import InputLimits
from contracts.png import decode_png, probe_png
from contracts.probes import PNG_SIGNATURE, corrupt

_APP1, _SIGNATURE, _PART_START = 0xE1, b"FLIR\0", 8
_FFF_HEADER_BYTES, _ENTRY_BYTES, _MOST_RECORDS = 64, 32, 1000
_LIKELY_VERSIONS = range(100, 200)
_RAW_DATA, _CAMERA_INFO = 0x01, 0x20
_RASTER_START = 32
_EMISSIVITY, _R1, _B, _F, _O, _R2 = 0x20, 0x58, 0x5C, 0x60, 0x308, 0x30C
_CONDITIONS = {"distance_m": 0x24, "reflected_k": 0x28, "air_k": 0x2C, "humidity": 0x3C}


@dataclass(frozen=True, slots=True, eq=False)
class Radiometry:
    """The measurement in a radiometric JPEG.

    Attributes:
        pixels_HW: counts, `(height, width)` uint16.
        constants: emissivity, Planck constants `planck_r1 planck_b planck_f planck_o planck_r2` (temperature in kelvin of a black body
            `planck_b / ln(planck_r1 / (planck_r2 * (count + planck_o)) + planck_f)`), and what was set for distance (m), reflected and
            air temperature (K) and relative humidity (0 to 1), where the camera says them.
    """

    pixels_HW: Pixels
    constants: dict[str, float]


def is_radiometric(value: bytes) -> bool:
    """True for a JPEG that holds an FFF file.

    Raises:
        RejectRecord: its segments are damaged.
    """
    return any(part.marker == _APP1 and part.body.startswith(_SIGNATURE) for part in segments(value))


def read_radiometry(value: bytes, limits: InputLimits) -> Radiometry:
    """The 16-bit raster of a radiometric JPEG and its constants.

    Raises:
        RejectRecord: parts of the FFF file are missing, or there is no raster in it, or a damaged one.
    """
    records = _records(_joined(value))
    if _RAW_DATA not in records:
        raise corrupt("an FFF file with a raster", f"records {', '.join(f'{kind:#04x}' for kind in records) or 'none'}")
    return Radiometry(_raster(records[_RAW_DATA], limits), _constants(records.get(_CAMERA_INFO, b"")))


def _joined(value: bytes) -> bytes:
    """The FFF file, from its numbered parts."""
    parts: dict[int, bytes] = {}
    num_parts = 0
    for segment in segments(value):
        body = segment.body
        if segment.marker == _APP1 and body.startswith(_SIGNATURE) and len(body) >= _PART_START:
            if body[6] in parts:
                raise corrupt("each part of the FFF file once", f"part {body[6]} twice")
            parts[body[6]] = body[_PART_START:]
            num_parts = body[7] + 1
    if sorted(parts) != list(range(num_parts)):
        raise corrupt(f"{num_parts} parts of an FFF file", f"{len(parts)}")
    return b"".join(parts[number] for number in range(num_parts))


def _records(fff: bytes) -> dict[int, bytes]:
    """The records of an FFF file by their kind, the first of each."""
    if len(fff) < _FFF_HEADER_BYTES or fff[:4] not in (b"FFF\0", b"AFF\0"):
        raise corrupt("an FFF file", f"{len(fff)} bytes that begin with {fff[:4].hex(' ')}")
    # The byte order is nowhere stated: the one in which the version makes sense.
    order = ">" if int.from_bytes(fff[20:24], "big") in _LIKELY_VERSIONS else "<"
    start, num = struct.unpack_from(order + "II", fff, 24)
    found: dict[int, bytes] = {}
    for entry in range(min(num, _MOST_RECORDS)):
        at = start + entry * _ENTRY_BYTES
        if at + _ENTRY_BYTES > len(fff):
            raise corrupt("a directory inside the FFF file", f"entry {entry} at byte {at} of {len(fff)}")
        kind, _, _, _, place, num_bytes = struct.unpack_from(order + "HHIIII", fff, at)
        if kind in (_RAW_DATA, _CAMERA_INFO) and kind not in found:
            if place + num_bytes > len(fff):
                raise corrupt("records inside the FFF file", f"record {kind:#04x} that ends at byte {place + num_bytes} of {len(fff)}")
            found[kind] = fff[place : place + num_bytes]
    return found


def _raster(record: bytes, limits: InputLimits) -> Pixels:
    if len(record) <= _RASTER_START:
        raise corrupt("a raster with a size", f"{len(record)} bytes")
    order = "<" if record[0] else ">"
    width_px, height_px = struct.unpack_from(order + "HH", record, 2)
    limits.check_size(width_px, height_px, 2 * width_px * height_px, len(record))
    data = record[_RASTER_START:]
    if data.startswith(PNG_SIGNATURE):
        header = probe_png(data)
        if (header.width_px, header.height_px, header.dtype, header.num_channels) != (width_px, height_px, "uint16", 1):
            raise corrupt(f"a raster of {width_px}x{height_px} uint16", f"{header.width_px}x{header.height_px} {header.dtype}")
        stored: NDArray[Any] = decode_png(data, header)
    elif len(data) >= 2 * width_px * height_px:
        stored = np.frombuffer(data, order + "u2", width_px * height_px).reshape(height_px, width_px)
    else:
        raise RejectRecord(RejectReason.SIZE_MISMATCH, expected=f"{2 * width_px * height_px} bytes of raster", got=f"{len(data)}")
    # Most cameras write PNG with the bytes of each count swapped, some do not: the scene is smooth in one order only.
    counts_HW = np.ascontiguousarray(stored, np.uint16)
    swapped_HW = counts_HW.byteswap()
    return swapped_HW if _roughness(swapped_HW) < _roughness(counts_HW) else counts_HW


def _roughness(counts_HW: Pixels) -> float:
    wide_HW = counts_HW.astype(np.int32)
    return float(np.abs(np.diff(wide_HW, axis=0)).mean() + np.abs(np.diff(wide_HW, axis=1)).mean())


def _constants(info: bytes) -> dict[str, float]:
    """Floats of the camera's record; those that it has not, or that are not finite, are left out."""
    order = "<" if info[:1] == b"\x02" else ">"
    places = {"emissivity": _EMISSIVITY, "planck_r1": _R1, "planck_b": _B, "planck_f": _F, "planck_r2": _R2} | _CONDITIONS
    found: dict[str, float] = {}
    for name, place in places.items():
        if place + 4 <= len(info):
            (number,) = struct.unpack_from(order + "f", info, place)
            if math.isfinite(number) and (number or name not in _CONDITIONS):  # 0: never set
                found[name] = number
    if len(info) >= _O + 4:
        found["planck_o"] = float(struct.unpack_from(order + "i", info, _O)[0])
    return found
