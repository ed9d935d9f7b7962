"""JPEG: its segments walked up to the end marker, and a decoder that takes an intact frame whatever its writer put around it.

Cameras write more than the standard asks for, or less: a radiometric raster, a preview or a video beside the picture, scan parameters that
sequential JPEG does not use, padding, no end marker. None of this touches a pixel. So the decoder gets a copy of what makes the picture
and nothing else, and every warning it still has is damage.

Source: ITU-T T.81, annexes B (segments) and G (progressive); ITU-T T.872 for APP14; CIPA DC-007 for several pictures in one file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from contracts.errors import RejectReason, RejectRecord
from contracts.frame import Pixels
from contracts.mpf import further_pictures, offsets_of_further_pictures
from contracts.probes import ImageHeader, corrupt, unsupported

_MAX_SCANS = 128  # a progressive file has about 10; thousands of them are a way to burn our time
_MAX_SEGMENTS = 20_000  # a radiometric raster takes about 10; a scan has two or three
_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
# In a scan: a stuffed zero belongs to the data, and so do restart markers.
_END_OF_SCAN = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_SOI, _EOI, _SOS, _DQT, _DHT, _DAC, _DNL, _DRI, _APP0, _APP14 = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xCC, 0xDC, 0xDD, 0xE0, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, _DAC}
_STANDALONE = frozenset({0x01, *range(0xD0, _SOI)})  # TEM and stray restart markers have no length
_PROGRESSIVE = 0xC2
_KEPT = frozenset({_DQT, _DHT, _DRI, _SOS, *_FRAMES})
_ADOBE_BYTES = 12
_ALL = range(64)
_PADDING = 4
"""So many equal bytes at the end of a scan are padding; what is left of damaged data looks otherwise."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One marker and what belongs to it.

    Attributes:
        marker: second byte of the marker.
        body: behind the length.
        data: of a scan, its entropy-coded data.
    """

    marker: int
    body: bytes
    data: bytes = b""


def segments(value: bytes, start: int = 0) -> Iterator[Segment]:
    """The segments of the JPEG that begins at `start`, up to its end marker or, without one, the end of the bytes.

    Bytes between segments that belong to none are passed over, as every decoder does. Without SOI and EOI.

    Raises:
        RejectRecord: a segment reaches beyond the end, or there are too many.
    """
    at = start + 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(value, at)
        if found is None:
            return
        marker, at = found[1][0], found.end()
        if marker == _EOI:
            return
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(value[at : at + 2], "big")
        end = at + length
        if marker == _SOI or length < 2 or end > len(value):
            raise corrupt("JPEG segments inside the file", f"marker {marker:#04x} at byte {at - 2}, {length} bytes long")
        data_end = end
        if marker == _SOS:
            stop = _END_OF_SCAN.search(value, end)
            data_end = len(value) if stop is None else stop.start()
        yield Segment(marker, value[at + 2 : end], value[end:data_end])
        at = data_end
    raise RejectRecord(RejectReason.TOO_LARGE, expected=f"at most {_MAX_SEGMENTS} segments in a JPEG", got="more")


def end_of(value: bytes, start: int = 0) -> int:
    """End of the JPEG that begins at `start`: behind its end marker, or at the end of the bytes.

    Raises:
        RejectRecord: as `segments`.
    """
    at = start + 2
    while (found := _MARKER.search(value, at)) is not None:
        marker, at = found[1][0], found.end()
        if marker == _EOI:
            return at
        if marker not in _STANDALONE:
            at += int.from_bytes(value[at : at + 2], "big")
            if marker == _SOS:
                stop = _END_OF_SCAN.search(value, at)
                at = len(value) if stop is None else stop.start()
    return len(value)


def probe_jpeg(value: bytes) -> ImageHeader:
    """Walk the segments up to the frame header.

    Raises:
        RejectRecord: no intact frame header before the first scan, or a process other than 8-bit Huffman-coded DCT.
    """
    for segment in segments(value):
        if segment.marker in _FRAMES:
            return _frame(segment, value)
        if segment.marker == _SOS:
            break
    raise corrupt("a JPEG with a frame header before its first scan", "none")


def _frame(segment: Segment, value: bytes) -> ImageHeader:
    body = segment.body
    if len(body) < 6:
        raise corrupt("a whole JPEG frame header", f"{len(body)} bytes of it")
    bits, height_px, width_px, num_channels = struct.unpack(">BHHB", body[:6])
    if segment.marker > _PROGRESSIVE or bits != 8:
        raise unsupported("baseline or progressive JPEG of 8 bits", f"process {segment.marker - 0xC0} of {bits} bits")
    if num_channels not in (1, 3):
        raise unsupported("a JPEG of 1 or 3 components", f"{num_channels}")
    if len(body) < 6 + 3 * num_channels:
        raise corrupt("a whole JPEG frame header", f"{len(body)} bytes of it")
    if not height_px:  # writers that do not know it beforehand state it behind the first scan (annex B.2.5)
        height_px = next((int.from_bytes(part.body[:2], "big") for part in segments(value) if part.marker == _DNL), 0)
    if not width_px or not height_px:
        raise corrupt("a JPEG that states its size", f"{width_px}x{height_px} px")
    return ImageHeader(width_px, height_px, "uint8", num_channels)


def pictures_of(value: bytes) -> list[bytes]:
    """The pictures of a multi-picture file, each a JPEG of its own; of another file that file.

    Raises:
        RejectRecord: its index points to something else.
    """
    starts = offsets_of_further_pictures(value) if further_pictures(part.body for part in segments(value)) else []
    if any(value[start : start + 2] != b"\xff\xd8" for start in starts):
        raise corrupt("a JPEG wherever the index of a multi-picture file points", "something else")
    return [_first(value), *(value[start : end_of(value, start)] for start in starts)] if starts else [value]


def _first(value: bytes) -> bytes:
    """The first picture of a multi-picture file, without the index of the others."""
    pieces = [b"\xff\xd8"]
    for part in segments(value):
        if not part.body.startswith(b"MPF\0"):
            pieces += (struct.pack(">BBH", 0xFF, part.marker, len(part.body) + 2), part.body, part.data)
    return b"".join((*pieces, b"\xff\xd9"))


def decode_jpeg(value: bytes, header: ImageHeader) -> Pixels:
    """Luma: of a colour JPEG the Y channel as stored (ITU-R BT.601), without a way through RGB.

    Raises:
        RejectRecord: damaged or cut anywhere in the picture, too many scans, or several pictures.
    """
    parts = list(segments(value))
    if num_further := further_pictures([part.body for part in parts]):
        raise unsupported("one picture in the JPEG", f"{num_further + 1} (a multi-picture file)")
    if sum(part.marker == _SOS for part in parts) > _MAX_SCANS:
        raise RejectRecord(RejectReason.TOO_LARGE, expected=f"at most {_MAX_SCANS} scans in a JPEG", got="more")
    _check_scans(parts)
    pixels = np.empty((header.height_px, header.width_px, 1), np.uint8)
    problem = _decode(_bare(parts, header), pixels)
    if problem and "extraneous" in problem:
        # Only bytes that the decoder needs for nothing can be taken away without another complaint.
        unpadded = [Segment(part.marker, part.body, _unpadded(part.data)) for part in parts]
        problem = _decode(_bare(unpadded, header), pixels) and problem
    if problem:
        raise corrupt("an intact JPEG", problem)
    return pixels[..., 0]


def _decode(bare: bytes, pixels: Pixels) -> str:
    """Decode into `pixels`; the first complaint, or nothing."""
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(bare, colorspace="GRAY", strict=True, buffer=pixels)
    except ValueError as error:
        return str(error) or "one that cannot be decoded"
    return ""


def _check_scans(parts: list[Segment]) -> None:
    """A cut between two scans, which no decoder notices: each component needs its scans, a progressive one down to the last bit."""
    frame = next(part for part in parts if part.marker in _FRAMES)
    components = [frame.body[at] for at in range(6, 6 + 3 * frame.body[5], 3)]
    progressive = frame.marker == _PROGRESSIVE
    lowest_bit = {component: dict.fromkeys(_ALL if progressive else (0,), 14) for component in components}
    for part in parts:
        if part.marker != _SOS:
            continue
        body = part.body
        num = body[0] if body else 0
        if len(body) < 4 + 2 * num:
            raise corrupt("a whole JPEG scan header", f"{len(body)} bytes of it")
        first, last, bits = body[1 + 2 * num : 4 + 2 * num]
        for component in body[1 : 1 + 2 * num : 2]:
            for place in range(first, min(last, 63) + 1) if progressive else (0,):
                if component in lowest_bit and place in lowest_bit[component]:
                    lowest_bit[component][place] = bits & 15 if progressive else 0
    luma, *chroma = components
    missing = [component for component in chroma if lowest_bit[component][0] == 14]
    if missing or any(lowest_bit[luma].values()):
        raise corrupt("a JPEG with all its scans", "one that ends between two of them")


def _bare(parts: list[Segment], header: ImageHeader) -> bytes:
    """The picture alone, as the standard writes it: tables, frame with its size, scans, the colour transform, an end marker."""
    frame = next(part.marker for part in parts if part.marker in _FRAMES)
    written = [b"\xff\xd8"]
    for part in parts:
        body = part.body
        if part.marker == _APP0 and body[:5] == b"JFIF\0":
            body = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"  # says that colour is YCbCr; revision and preview say nothing of the picture
        elif part.marker == _APP14 and body[:5] == b"Adobe" and len(body) >= _ADOBE_BYTES:
            body = body[:_ADOBE_BYTES]
        elif part.marker not in _KEPT:
            continue
        if part.marker in _FRAMES:
            body = body[:1] + struct.pack(">H", header.height_px) + body[3:]
        if part.marker == _SOS and frame != _PROGRESSIVE:
            body = body[: 1 + 2 * body[0]] + b"\0\x3f\0"  # sequential scans have no other; some cameras write others
        written += (b"\xff", bytes((part.marker,)), struct.pack(">H", len(body) + 2), body, part.data)
    return b"".join((*written, b"\xff\xd9"))


def _unpadded(data: bytes) -> bytes:
    """The data of a scan without zeros, or many equal bytes, at its end."""
    shorter = data.rstrip(data[-1:])
    if data[-1:] != b"\0" and len(data) - len(shorter) < _PADDING:
        return data
    return shorter + b"\0" if shorter.endswith(b"\xff") else shorter
