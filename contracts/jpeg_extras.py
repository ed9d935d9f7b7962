"""Data in a JPEG beside its picture that nobody here reads: rasters of counts of makers who publish no layout, videos behind the end."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from contracts.errors import RejectRecord
from contracts.jpeg import end_of, segments
from contracts.mpf import further_pictures

_KNOWN = (
    b"JFIF\0",
    b"JFXX\0",
    b"Exif\0",
    b"http://ns.adobe.com/",
    b"FLIR\0",
    b"ICC_PROFILE\0",
    b"MPF\0",
    b"FPXR\0",
    b"JP",
    b"Ducky",
    b"PictureInfo",
    b"[picture info]",
    b"Photoshop 3.0\0",
    b"Adobe",
)
_LONGEST_KNOWN = max(len(each) for each in _KNOWN)
_LEAST_BYTES = 8192
"""The smallest thermal arrays (80 x 60) make 9,600 bytes; comments and settings of cameras are shorter."""
_APP0, _APP15, _SOS, _EOI = 0xE0, 0xEF, 0xDA, 0xD9
_PADDING = b"\0\xff \r\n"
_MAX_SEGMENTS = 20_000


def beside_the_picture(path: Path) -> dict[str, int]:
    """Bytes of data of unknown layout, by the place where they lie: `APP3`, `behind the end`; nothing of a file that is no JPEG.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if file.read(3) != b"\xff\xd8\xff":
            return {}
        found = {name: num for name, num in _application_data(file).items() if num >= _LEAST_BYTES}
        behind = _bytes_behind(file)
    return found | ({"behind the end": behind} if behind else {})


def _application_data(file: BinaryIO) -> dict[str, int]:
    found: dict[str, int] = {}
    file.seek(2)
    for _ in range(_MAX_SEGMENTS):
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (_SOS, _EOI):
            break
        size = int.from_bytes(head[2:], "big") - 2
        start = file.read(min(max(size, 0), _LONGEST_KNOWN))
        if _APP0 <= head[1] <= _APP15 and not start.startswith(_KNOWN):
            name = f"APP{head[1] - _APP0}"
            found[name] = found.get(name, 0) + size
        file.seek(size - len(start), 1)
    return found


def _bytes_behind(file: BinaryIO) -> int:
    """Bytes behind the end marker: another JPEG that no index names, or many; padding is none."""
    file.seek(0)
    value = file.read()
    try:
        if further_pictures(part.body for part in segments(value)):
            return 0
    except RejectRecord:  # the reader of pictures says what is wrong
        return 0
    behind = value[end_of(value) :]
    is_padding = not behind.strip(_PADDING)
    return len(behind) if not is_padding and (len(behind) >= _LEAST_BYTES or b"\xff\xd8\xff" in behind) else 0
