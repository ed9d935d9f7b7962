"""Image files as pictures: their bytes as they are where frame message v1 takes them, else converted to grey PNG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contracts.codecs import decode_pixels, encode_pixels
from contracts.errors import RejectReason, RejectRecord
from contracts.frame import Band, ContentType, FrameMeta, Platform
from contracts.limits import InputLimits
from contracts.probes import sniff
from pipeline.inputs.pictures import Picture, Unusable

SENT_AS_IS = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy"})
CONVERTED = frozenset({".bmp", ".pgm", ".webp", ".jp2"})
IMAGE_SUFFIXES = SENT_AS_IS | CONVERTED
_LIMITS = InputLimits()
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sorting key by which `frame9` comes before `frame10`."""
    return [(int(part), "") if part.isdigit() else (-1, part.lower()) for part in re.split(r"(\d+)", path.name) if part]


def list_images(folder: Path) -> list[Path]:
    """Image files directly in a folder, in natural order."""
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()), key=natural_key)


def read_image(path: Path, platform: Platform, band: Band, bit_depth: int | None, item: str) -> Picture | Unusable:
    """Read one file and make sure that it can be decoded as one grey frame.

    Args:
        path: the file.
        platform: where the camera is.
        band: of the camera.
        bit_depth: significant bits; None where only the container says it.
        item: name of the picture, for the header `item`.
    """
    try:
        payload = path.read_bytes()
    except OSError as error:
        return Unusable(str(path), f"expected a readable file, got {error.strerror or error}")
    content_type = sniff(payload)
    if content_type is not None:
        meta = FrameMeta(sensor_id="-", frame_id=item, captured_at=_ANY_TIME, content_type=content_type, bit_depth=bit_depth)
        try:
            decode_pixels(payload, meta, _LIMITS)
        except RejectRecord as error:
            # Real colour is turned into grey; damage and contradictions are not repaired by guessing.
            if error.reason is not RejectReason.UNSUPPORTED_PIXELS:
                return Unusable(str(path), error.detail)
            refusal = error.detail
        else:
            return Picture(payload, content_type, platform, band, bit_depth, headers={"item": item})
    else:
        refusal = f"expected an image, got {payload[:8].hex(' ') or 'no bytes'}"
    converted = _convert(payload)
    if converted is None:
        return Unusable(str(path), refusal)
    # Luma and foreign formats may use other bits than the user said.
    return Picture(converted, ContentType.PNG, platform, band, None, headers={"item": item})


def _convert(payload: bytes) -> bytes | None:
    """Colour to luma and foreign formats to PNG; None where OpenCV cannot do it either."""
    import cv2
    import numpy as np

    if not payload:
        return None
    pixels: Any = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        return None
    return encode_pixels(pixels, ContentType.PNG)


class ImageFolder:
    """A folder of images, in natural order, as one sequence."""

    def __init__(
        self, name: str, paths: list[Path], platform: Platform, band: Band, bit_depth: int | None, fps: float | None = None
    ) -> None:
        """Remember the files; each is read when its turn comes."""
        self.name = name
        self.fps = fps
        self._paths, self._platform, self._band, self._bit_depth = paths, platform, band, bit_depth

    @property
    def num_pictures(self) -> int:
        """Files."""
        return len(self._paths)

    def pictures(self) -> Iterator[Picture | Unusable]:
        """Each file once."""
        for path in self._paths:
            yield read_image(path, self._platform, self._band, self._bit_depth, path.stem)
