"""Files that hold several frames: pages of a TIFF, pictures of a multi-picture JPEG; every other file is one frame."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from contracts.codecs import check_counts, decode_samples, one_channel
from contracts.errors import RejectReason, RejectRecord
from contracts.frame import ContentType
from contracts.image_files import FILE_LIMITS, ImageFile, decode_image, read_image_file
from contracts.jpeg import pictures_of
from contracts.limits import InputLimits
from contracts.probes import sniff
from contracts.tiff import pages_of, probe_tiff

MAX_FILE_BYTES = 2**32
"""Of a file of several frames; each frame has the limits of a message."""
_SEVERAL = frozenset({ContentType.TIFF, ContentType.JPEG})


def read_frames(
    path: Path, bit_depth: int | None = None, nodata: tuple[float, ...] = (), limits: InputLimits = FILE_LIMITS
) -> Iterator[ImageFile | RejectRecord]:
    """Every frame of a file in its order; for one that cannot be used what is wrong with it.

    Args:
        path: the file.
        bit_depth: stated significant bits.
        nodata: values that are no measurement.
        limits: sizes of a frame that are still believed.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        value = _whole(path)
        content_type = sniff(value)
        pages = pages_of(value) if content_type is ContentType.TIFF else [0]
        pictures = pictures_of(value) if content_type is ContentType.JPEG else [value]
        if len(pages) < 2 and len(pictures) < 2:
            yield read_image_file(path, bit_depth, limits, nodata)
            return
    except RejectRecord as error:
        yield error
        return
    for picture in pictures:
        for page in pages:
            try:
                yield (
                    _page(value, page, bit_depth, nodata, limits) if len(pages) > 1 else decode_image(picture, bit_depth, limits, nodata)
                )
            except RejectRecord as error:
                yield error


def num_frames(path: Path) -> int:
    """Number of frames a file holds, good ones and bad ones; 1 of what cannot be read."""
    try:
        with path.open("rb") as file:
            if sniff(file.read(16)) not in _SEVERAL:
                return 1
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                value: bytes = mapped  # type: ignore[assignment]  # sliced, searched and unpacked alike
                return len(pages_of(value)) if sniff(mapped[:16]) is ContentType.TIFF else len(pictures_of(mapped[:]))
    except (OSError, ValueError, RejectRecord):
        return 1


def _whole(path: Path) -> bytes:
    num_bytes = path.stat().st_size
    if num_bytes > MAX_FILE_BYTES:
        raise RejectRecord(RejectReason.TOO_LARGE, expected=f"a file of at most {MAX_FILE_BYTES} bytes", got=f"{num_bytes}")
    return path.read_bytes()


def _page(value: bytes, page: int, bit_depth: int | None, nodata: tuple[float, ...], limits: InputLimits) -> ImageFile:
    header = probe_tiff(value, white_is_zero=True, page=page)
    limits.check_size(header.width_px, header.height_px, header.decoded_bytes, len(value))
    samples = decode_samples(value, ContentType.TIFF, header)
    pixels_HW = one_channel(samples, luma=True)
    named = nodata or header.nodata
    # The bits of luma are not those that the user stated.
    return ImageFile(pixels_HW, check_counts(pixels_HW, bit_depth if header.num_channels == 1 else None, named), b"", None, named)
