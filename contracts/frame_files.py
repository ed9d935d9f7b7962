"""Files that hold several frames: pages of a TIFF, pictures of a multi-picture JPEG; every other file is one frame."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

from contracts.codecs import check_counts, decode_samples, one_channel
from contracts.errors import RejectReason, RejectRecord
from contracts.frame import ContentType
from contracts.image_files import FILE_LIMITS, ImageFile, decode_image, read_image_file
from contracts.jpeg import pictures_of
from contracts.limits import InputLimits
from contracts.probes import sniff
from contracts.tiff import TiffDirectories

MAX_FILE_BYTES = 2**32
"""Of a file of several frames; each frame has the limits of a message."""
_SIGNATURE_BYTES = 16
_Frames: TypeAlias = tuple[int, Iterable[Callable[[], ImageFile]]]


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
    with path.open("rb") as file:
        content_type = sniff(file.read(_SIGNATURE_BYTES))
    several = {ContentType.TIFF: _pages_of_file, ContentType.JPEG: _pictures_of_file}.get(content_type) if content_type else None
    try:
        num, frames = (1, None) if several is None else several(path, bit_depth, nodata, limits)
        if frames is None or num < 2:
            yield read_image_file(path, bit_depth, limits, nodata)
            return
    except RejectRecord as error:
        yield error
        return
    for read in frames:
        try:
            yield read()
        except RejectRecord as error:
            yield error


def _pages_of_file(path: Path, bit_depth: int | None, nodata: tuple[float, ...], limits: InputLimits) -> _Frames:
    """Pages of a TIFF: its directories are read once, its pixels page by page."""
    _require_size(path)
    value = _mapped(path)
    directories = TiffDirectories(value)
    pages = (partial(_page, value, directories, page, bit_depth, nodata, limits) for page in directories.pages)
    return len(directories.pages), pages


def _pictures_of_file(path: Path, bit_depth: int | None, nodata: tuple[float, ...], limits: InputLimits) -> _Frames:
    _require_size(path)
    pictures = pictures_of(path.read_bytes())
    return len(pictures), (partial(decode_image, picture, bit_depth, limits, nodata) for picture in pictures)


def num_frames(path: Path) -> int:
    """Number of frames a file holds, good ones and bad ones; 1 of what cannot be read."""
    try:
        with path.open("rb") as file:
            content_type = sniff(file.read(_SIGNATURE_BYTES))
        if content_type is ContentType.TIFF:
            return len(TiffDirectories(_mapped(path)).pages)
        return len(pictures_of(path.read_bytes())) if content_type is ContentType.JPEG else 1
    except (OSError, ValueError, RejectRecord):
        return 1


def _require_size(path: Path) -> None:
    num_bytes = path.stat().st_size
    if num_bytes > MAX_FILE_BYTES:
        raise RejectRecord(RejectReason.TOO_LARGE, expected=f"a file of at most {MAX_FILE_BYTES} bytes", got=f"{num_bytes}")


def _mapped(path: Path) -> bytes:
    """The bytes of a file, of which memory holds those that are looked at; the file closes with the last one who looks."""
    with path.open("rb") as file:
        value: bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # type: ignore[assignment]  # sliced and unpacked alike
        return value


def _page(
    value: bytes, directories: TiffDirectories, page: int, bit_depth: int | None, nodata: tuple[float, ...], limits: InputLimits
) -> ImageFile:
    header = directories.header(page, white_is_zero=True)
    limits.check_size(header.width_px, header.height_px, header.decoded_bytes, len(value))
    samples = decode_samples(value, ContentType.TIFF, header)
    pixels_HW = one_channel(samples, luma=True)
    named = nodata or header.nodata
    # The bits of luma are not those that the user stated.
    return ImageFile(pixels_HW, check_counts(pixels_HW, bit_depth if header.num_channels == 1 else None, named), b"", None, named)
