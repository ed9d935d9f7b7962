"""Image files as counts: the one way from a path to pixels, for publishing, training, measuring and pictures alike.

A file that a frame message may hold is decoded as the stream decodes the message. Colour becomes luma, and a few formats that no
message may hold are understood too. Every file is taken whole or refused; a tag that would turn the picture is never followed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.animations import GIF, pictures_in_gif, pictures_in_webp
from contracts.codecs import check_counts, decode_pixels, decode_samples, nodata_of, one_channel
from contracts.errors import RejectReason, RejectRecord, SettingsError
from contracts.frame import ContentType, FrameMeta, Pixels
from contracts.jpeg import probe_jpeg
from contracts.limits import InputLimits
from contracts.png import decode_numbers, palette_of, probe_png
from contracts.pnm import SIGNATURES as PNM
from contracts.pnm import decode_pnm
from contracts.probes import ImageHeader, corrupt, probe_npy, sniff, unsupported
from contracts.tiff import probe_tiff

MESSAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy"})
OTHER_SUFFIXES = frozenset({".bmp", ".pgm", ".ppm", ".pbm", ".pnm", ".webp", ".gif", ".jp2", ".j2k", ".jpe", ".jfif", ".mpo"})
IMAGE_SUFFIXES = MESSAGE_SUFFIXES | OTHER_SUFFIXES
FILE_LIMITS = InputLimits()
_HEADER_BYTES = 64
_WIDER_PROBES: dict[ContentType, Callable[[bytes], ImageHeader]] = {
    ContentType.PNG: partial(probe_png, least_bits=1),
    ContentType.JPEG: probe_jpeg,
    ContentType.TIFF: partial(probe_tiff, white_is_zero=True),
    ContentType.NPY: probe_npy,
}
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
FRAME_SUFFIXES = frozenset(
    {".heic", ".heif", ".avif", ".jxl", ".fits", ".fit", ".fts", ".seq", ".csq", ".fff", ".ptw", ".dng", ".raw", ".cr2", ".nef", ".arw"}
    | {".exr", ".tga", ".hdr", ".npz", ".cptv", ".dcm", ".h5", ".hdf5", ".mat", ".pcx", ".jls", ".jxr"}
)
"""Files that hold frames in a format that is not read: they are named, and never passed over."""
_FORMATS = "PNG, JPEG, TIFF, NPY, BMP, PNM, GIF, WebP or JPEG 2000"
_JPEG_2000 = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """A decoded image file.

    Attributes:
        pixels_HW: `(height, width)` uint8, uint16 or float32; may be a read-only view of the file's bytes.
        bit_depth: significant bits: as stated, else those of the container.
        value: the bytes of the file.
        content_type: the codec where a frame message may hold `value` as it is; None where the pixels have to be encoded first.
        nodata: values that are no measurement: as stated, else those the file names.
    """

    pixels_HW: Pixels
    bit_depth: int
    value: bytes
    content_type: ContentType | None
    nodata: tuple[float, ...] = ()


def read_image_file(
    path: Path, bit_depth: int | None = None, limits: InputLimits = FILE_LIMITS, nodata: tuple[float, ...] = ()
) -> ImageFile:
    """Read and decode one file; the format is known by its first bytes, not by its name.

    Args:
        path: the file.
        bit_depth: stated significant bits; they do not count where colour became luma or the format is no message's.
        limits: sizes that are still believed.
        nodata: values that are no measurement.

    Raises:
        RejectRecord: no image, damaged, truncated, several images, transparent, too large, contradicting `bit_depth`, not finite.
        OSError: the file cannot be read.
    """
    num_bytes = path.stat().st_size
    if num_bytes > limits.max_bytes:
        raise RejectRecord(RejectReason.TOO_LARGE, expected=f"a file of at most {limits.max_bytes} bytes", got=f"{num_bytes}")
    return decode_image(path.read_bytes(), bit_depth, limits, nodata)


def decode_image(
    value: bytes, bit_depth: int | None = None, limits: InputLimits = FILE_LIMITS, nodata: tuple[float, ...] = ()
) -> ImageFile:
    """Decode the bytes of a file, wherever they lie: see `read_image_file`.

    Raises:
        RejectRecord: as there.
    """
    if len(value) > limits.max_bytes:
        raise RejectRecord(RejectReason.TOO_LARGE, expected=f"a file of at most {limits.max_bytes} bytes", got=f"{len(value)}")
    content_type = sniff(value)
    if content_type is None:
        return _converted(_foreign(value, limits), value, nodata)
    meta = FrameMeta(sensor_id="-", frame_id="-", captured_at=_ANY_TIME, content_type=content_type, bit_depth=bit_depth, nodata=nodata)
    try:
        return ImageFile(*decode_pixels(value, meta, limits), value, content_type, nodata_of(value, meta))
    except RejectRecord as error:
        if error.reason is not RejectReason.UNSUPPORTED_PIXELS:
            raise
    return _converted(_wider(value, content_type, limits), value, nodata)


def read_counts(path: Path, bit_depth: int | None = None, limits: InputLimits = FILE_LIMITS, nodata: tuple[float, ...] = ()) -> Pixels:
    """The pixels of a file that a data set names, `(height, width)`.

    Raises:
        SettingsError: the file cannot be used; the text names it.
    """
    try:
        return read_image_file(path, bit_depth, limits, nodata).pixels_HW
    except RejectRecord as error:
        raise SettingsError(expected=error.expected, got=error.got, where=str(path), action="Save it anew or leave it out.") from error
    except OSError as error:
        got = error.strerror or str(error)
        raise SettingsError(expected="a readable image", got=got, where=str(path), action="Check this file of the data set.") from error


def read_samples(path: Path, limits: InputLimits) -> tuple[Pixels, NDArray[np.uint8] | None]:
    """A label file: its samples as stored, for its colours and numbers mean something that luma does not.

    Returns:
        `(H, W)` grey or, of a PNG with a palette of colours, its numbers; `(H, W, 3)` of colours, red first.
        The palette of such numbers, `(n, 3)`, or None.

    Raises:
        RejectRecord: as `read_image_file`.
        OSError: the file cannot be read.
    """
    value = path.read_bytes()
    content_type = sniff(value)
    if content_type is ContentType.PNG and (palette_N3 := palette_of(value)) is not None:
        header = probe_png(value, least_bits=1)
        limits.check_size(header.width_px, header.height_px, header.decoded_bytes, len(value))
        return decode_numbers(value), palette_N3
    samples = _foreign(value, limits) if content_type is None else _wider(value, content_type, limits)
    grey_HW = one_channel(samples, luma=True)  # refuses transparency
    coloured: NDArray[Any] = samples
    if samples.ndim == 2 or samples.shape[2] < 3 or not (coloured[..., :1] != coloured[..., 1:3]).any():
        return grey_HW, None
    return samples[..., :3], None


def size_of_file(path: Path) -> tuple[int, int] | None:
    """Width and height of an image file in pixels, of the usual formats from its header alone; None of one that cannot be used."""
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER_BYTES)
            content_type = sniff(start)
            if content_type is ContentType.PNG:
                header = probe_png(start, least_bits=1)
            elif content_type is not None:
                header = _WIDER_PROBES[content_type](start + file.read())
            else:
                height_px, width_px = _foreign(start + file.read(), FILE_LIMITS).shape[:2]
                return width_px, height_px
    except (OSError, RejectRecord):
        return None
    return header.width_px, header.height_px


def nodata_of_file(path: Path) -> tuple[float, ...]:
    """Values that are no measurement, as a TIFF names them (GDAL's tag); none in other formats."""
    with path.open("rb") as file:
        if sniff(file.read(8)) is not ContentType.TIFF:
            return ()
        file.seek(0)
        return probe_tiff(file.read(), white_is_zero=True).nodata


def _converted(samples: Pixels, value: bytes, nodata: tuple[float, ...]) -> ImageFile:
    pixels_HW = one_channel(samples, luma=True)
    return ImageFile(pixels_HW, check_counts(pixels_HW, None, nodata), value, None, nodata)


def _wider(value: bytes, content_type: ContentType, limits: InputLimits) -> Pixels:
    """Samples of an image in a message's codec, but of a kind that no message holds: colour, fewer bits, white as zero."""
    header = _WIDER_PROBES[content_type](value)
    limits.check_size(header.width_px, header.height_px, header.decoded_bytes, len(value))
    return decode_samples(value, content_type, header)


def _foreign(value: bytes, limits: InputLimits) -> Pixels:
    """Samples of a format that no message holds."""
    import cv2

    if value.startswith(PNM):
        return decode_pnm(value, limits)
    if value.startswith(GIF):
        return _gif(value, limits)
    flags = cv2.IMREAD_UNCHANGED  # with transparency, which is refused further on
    if value[:4] == b"RIFF" and value[8:12] == b"WEBP":
        _refuse_animation(pictures_in_webp(value))
    elif value.startswith(b"BM"):
        flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    elif not value.startswith(_JPEG_2000):
        raise corrupt(f"an image ({_FORMATS})", value[:8].hex(" ") or "no bytes")
    try:
        samples: Any = cv2.imdecode(np.frombuffer(value, np.uint8), flags)
    except cv2.error as error:
        raise corrupt("an intact image", str(error)[:200]) from error
    if samples is None:
        raise corrupt("an intact image", "one that cannot be decoded")
    if samples.dtype not in (np.uint8, np.uint16):
        raise unsupported("samples of uint8 or uint16", str(samples.dtype))
    limits.check_size(samples.shape[1], samples.shape[0], samples.nbytes, len(value))
    if samples.ndim == 3 and samples.shape[2] >= 3:
        samples = np.concatenate([samples[..., 2::-1], samples[..., 3:]], axis=2)  # OpenCV has blue first
    foreign: Pixels = samples
    return foreign


def _gif(value: bytes, limits: InputLimits) -> Pixels:
    import imagecodecs

    width_px, height_px = int.from_bytes(value[6:8], "little"), int.from_bytes(value[8:10], "little")
    limits.check_size(width_px, height_px, 3 * width_px * height_px, len(value))
    _refuse_animation(pictures_in_gif(value))
    try:
        samples: Pixels = imagecodecs.gif_decode(value)
    except (RuntimeError, ValueError) as error:
        raise corrupt("an intact GIF", str(error)[:200]) from error
    return samples


def _refuse_animation(num_pictures: int) -> None:
    if num_pictures != 1:
        raise unsupported("one picture in the file", f"{num_pictures}: an animation; save its pictures one by one, or as a video")
