"""Pixels in and out of the five codecs of frame message v1, every count kept bit-exact (JPEG within its loss).

The decoders below were chosen by measurement (benchmarks/codecs.py). What each library lets pass silently decided as much:

- PNG: libpng draws a picture from data that is longer than its header promises; `contracts.png` inflates by itself.
- JPEG: libjpeg fills what is missing with grey and only warns. `simplejpeg` is the one binding that turns the warning into an error;
  `contracts.jpeg` gives it the picture alone, so that what remains to be warned of is damage.
- TIFF: libtiff reports short strips; told no size, it allocates whatever the directory says.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import RejectReason, RejectRecord
from contracts.frame import ContentType, FrameMeta, Pixels, RawLayout
from contracts.jpeg import decode_jpeg, probe_jpeg
from contracts.limits import InputLimits
from contracts.png import decode_png, probe_png
from contracts.probes import ImageHeader, corrupt, probe_npy, unsupported
from contracts.tiff import probe_tiff

FLOAT_BIT_DEPTH = 32
_JPEG_QUALITY = 95


def decode_pixels(value: bytes, meta: FrameMeta, limits: InputLimits) -> tuple[Pixels, int]:
    """Decode one frame.

    The promised size is checked against `limits` before anything is allocated.

    Args:
        value: the message's value, exactly one image.
        meta: its headers; `content_type` names the codec, `raw_layout` and `bit_depth` are checked against the pixels.
        limits: sizes and compression ratio that are still believed.

    Returns:
        pixels_HW: `(height, width)` uint8, uint16 or float32 in native byte order, C order; may be a read-only view of `value`.
        bit_depth: as given, else 8 or 16 for the container, 32 for float32.

    Raises:
        RejectRecord: damaged, truncated, too large, contradictory, not grey, not finite.
    """
    header = probe(value, meta)
    limits.check_size(header.width_px, header.height_px, header.decoded_bytes, len(value))
    _check_declared(meta.raw_layout, header)
    pixels_HW = one_channel(decode_samples(value, meta.content_type, header))
    return pixels_HW, check_counts(pixels_HW, meta.bit_depth, meta.nodata or header.nodata)


def nodata_of(value: bytes, meta: FrameMeta) -> tuple[float, ...]:
    """Values that are no measurement: those the message names, else those of the image itself (GDAL's tag of a TIFF).

    Raises:
        RejectRecord: the header of the image is damaged.
    """
    return meta.nodata or (probe(value, meta).nodata if meta.content_type is ContentType.TIFF else ())


def decode_samples(value: bytes, content_type: ContentType, header: ImageHeader) -> Pixels:
    """Decode an image whose header has been probed and whose size has been accepted.

    Returns:
        `(H, W)`, or `(H, W, channels)` for grey stored in another way and for colour (red first).

    Raises:
        RejectRecord: damaged, truncated, or not what the header says.
    """
    samples = _DECODERS[content_type](value, header)
    promised = (header.height_px, header.width_px)
    if samples.shape[:2] != promised or samples.dtype.name != header.dtype:
        raise corrupt(f"{promised} {header.dtype} as the header says", f"{samples.shape[:2]} {samples.dtype.name}")
    return samples


def probe(value: bytes, meta: FrameMeta) -> ImageHeader:
    """Size and kind of the pixels that a message promises, without decoding it.

    Raises:
        RejectRecord: the header of the image is damaged or not supported.
    """
    if meta.content_type is ContentType.RAW:
        return _raw_header(meta.raw_layout)
    probes = {ContentType.PNG: probe_png, ContentType.JPEG: probe_jpeg, ContentType.TIFF: probe_tiff, ContentType.NPY: probe_npy}
    return probes[meta.content_type](value)


def check_counts(pixels_HW: Pixels, bit_depth: int | None, nodata: Sequence[float] = ()) -> int:
    """Check the counts against the stated bit depth and for NaN and infinity.

    Args:
        pixels_HW: counts.
        bit_depth: significant bits as stated.
        nodata: values that are no measurement, and may be beyond it or not finite.

    Returns:
        The significant bits: as stated, else those of the container.

    Raises:
        RejectRecord: a count needs more bits than stated, more bits are stated than the container has, or a value is not finite.
    """
    if pixels_HW.dtype == np.float32:
        _check_finite(pixels_HW, nodata)
        container = FLOAT_BIT_DEPTH
        fits = bit_depth in (None, FLOAT_BIT_DEPTH)
    else:
        container = 8 * pixels_HW.dtype.itemsize
        fits = bit_depth is None or bit_depth <= container
    if not fits:
        got = f"ir_bit_depth {bit_depth} for {pixels_HW.dtype.name}"
        raise RejectRecord(RejectReason.BIT_DEPTH_CONTRADICTION, expected=f"a bit depth that fits {pixels_HW.dtype.name}", got=got)
    if bit_depth is not None and bit_depth < container and (highest := _highest(pixels_HW, bit_depth, nodata)) >> bit_depth:
        expected = f"counts of at most {2**bit_depth - 1} for ir_bit_depth {bit_depth}"
        raise RejectRecord(RejectReason.BIT_DEPTH_CONTRADICTION, expected=expected, got=f"{highest}")
    return container if bit_depth is None else bit_depth


def _highest(pixels_HW: Pixels, bit_depth: int, nodata: Sequence[float]) -> int:
    """The highest count; where that needs too many bits, the highest that is a measurement."""
    highest = int(pixels_HW.max())
    if not nodata or not highest >> bit_depth:
        return highest
    return int(pixels_HW[~np.isin(pixels_HW, np.asarray(nodata))].max(initial=0))


def _check_finite(pixels_HW: Pixels, nodata: Sequence[float]) -> None:
    # One NaN or infinity makes the sum not finite; the exact test is needed only when finite values overflow it.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(pixels_HW.sum()):
            return
    allowed_HW = np.isfinite(pixels_HW)
    for value in nodata:
        allowed_HW |= np.isnan(pixels_HW) if math.isnan(value) else pixels_HW == value
    num = int(np.count_nonzero(~allowed_HW))
    if num:
        expected = "finite pixels; where others mean that nothing was measured, name them in the header ir_nodata (nan, inf, -inf)"
        raise RejectRecord(RejectReason.NOT_FINITE, expected=expected, got=f"{num} of {pixels_HW.size} are NaN or infinite")


def _check_declared(layout: RawLayout | None, header: ImageHeader) -> None:
    if layout is None:
        return
    declared = (layout.width_px, layout.height_px, layout.dtype)
    actual = (header.width_px, header.height_px, header.dtype)
    if any(said is not None and said != found for said, found in zip(declared, actual, strict=True)):
        expected = f"ir_width, ir_height, ir_dtype of the image: {actual}"
        raise RejectRecord(RejectReason.HEADER_CONTRADICTION, expected=expected, got=f"{declared}")


def one_channel(samples: Pixels, *, luma: bool = False) -> Pixels:
    """Grey as it is; grey stored as colour loses its copies.

    Args:
        samples: `(H, W)` or `(H, W, channels)`, one or three colours (red first), the last of two or four is opacity.
        luma: whether colour becomes luma (ITU-R BT.601) of the same type.

    Raises:
        RejectRecord: transparent pixels, or colour without `luma`.
    """
    if samples.ndim == 2:
        return samples
    channels_HWC: NDArray[Any] = samples
    num_colours = 1 if channels_HWC.shape[2] < 3 else 3
    coloured = any((channels_HWC[..., 0] != channels_HWC[..., index]).any() for index in range(1, num_colours))
    if coloured and not luma:
        raise unsupported("grey (equal channels)", "a colour image")
    if channels_HWC.shape[2] > num_colours:
        opaque = 1 if channels_HWC.dtype == np.float32 else np.iinfo(channels_HWC.dtype).max
        if (channels_HWC[..., -1] != opaque).any():
            raise unsupported("opaque pixels", "an image with transparency")
    if not coloured:
        return np.ascontiguousarray(channels_HWC[..., 0])
    import cv2

    grey: Any = cv2.cvtColor(np.ascontiguousarray(channels_HWC[..., :3]), cv2.COLOR_RGB2GRAY)
    return np.asarray(grey, channels_HWC.dtype)


def _decode_tiff(value: bytes, header: ImageHeader) -> Pixels:
    import imagecodecs

    channels = () if header.num_channels == 1 else (header.num_channels,)
    # Our own array, because libtiff may read another size out of a hostile directory than we did.
    pixels: Pixels = np.empty((header.height_px, header.width_px, *channels), header.dtype)
    try:
        imagecodecs.tiff_decode(value, index=header.page, out=pixels)
    except (RuntimeError, ValueError, IndexError) as error:
        raise corrupt("intact TIFF pixel data", str(error) or type(error).__name__) from error
    return np.asarray(np.iinfo(header.dtype).max - pixels, header.dtype) if header.white_is_zero else pixels


def _decode_npy(value: bytes, header: ImageHeader) -> Pixels:
    flat: NDArray[Any] = _flat(value, header)
    if header.column_major:
        return np.ascontiguousarray(flat.reshape(header.height_px, header.width_px, order="F"))
    return flat.reshape(header.height_px, header.width_px)


def _decode_raw(value: bytes, header: ImageHeader) -> Pixels:
    return _flat(value, header).reshape(header.height_px, header.width_px)


def _flat(value: bytes, header: ImageHeader) -> Pixels:
    num_bytes = len(value) - header.data_start
    if num_bytes != header.decoded_bytes:
        expected = f"{header.decoded_bytes} bytes for {header.width_px}x{header.height_px} {header.dtype}"
        raise RejectRecord(RejectReason.SIZE_MISMATCH, expected=expected, got=f"{num_bytes}")
    dtype = np.dtype(header.dtype)
    stored = dtype.newbyteorder(">") if header.big_endian else dtype
    flat: Pixels = np.frombuffer(value, stored, offset=header.data_start).astype(dtype, copy=False)
    return flat


def _raw_header(layout: RawLayout | None) -> ImageHeader:
    if layout is None or layout.width_px is None or layout.height_px is None or layout.dtype is None:
        raise RejectRecord(RejectReason.HEADER_INVALID, expected="ir_width, ir_height and ir_dtype for raw pixels", got="not all of them")
    return ImageHeader(layout.width_px, layout.height_px, layout.dtype)


_DECODERS: dict[ContentType, Callable[[bytes, ImageHeader], Pixels]] = {
    ContentType.PNG: decode_png,
    ContentType.JPEG: decode_jpeg,
    ContentType.TIFF: _decode_tiff,
    ContentType.NPY: _decode_npy,
    ContentType.RAW: _decode_raw,
}


def encode_pixels(pixels_HW: Pixels, content_type: ContentType) -> bytes:
    """Encode one frame as a message's value.

    Args:
        pixels_HW: `(height, width)`; PNG takes uint8 and uint16, JPEG uint8, the others float32 too.
        content_type: the codec; only JPEG (quality 95) loses anything.

    Raises:
        ValueError: not two axes, or a type the codec does not hold.
    """
    allowed = _ENCODABLE[content_type]
    if pixels_HW.ndim != 2 or pixels_HW.dtype.name not in allowed:
        raise ValueError(f"{content_type}: expected (H, W) of {' or '.join(allowed)}, got {pixels_HW.shape} {pixels_HW.dtype}")
    native: Any = np.ascontiguousarray(pixels_HW, dtype=pixels_HW.dtype.newbyteorder("="))  # little endian wherever Ray runs
    return _ENCODERS[content_type](native)


def _encode_png(pixels_HW: Pixels) -> bytes:
    import imagecodecs

    # Level 1: 2 % larger than level 6 on infrared frames and four times as fast.
    return bytes(imagecodecs.png_encode(pixels_HW, level=1))


def _encode_jpeg(pixels_HW: Pixels) -> bytes:
    import simplejpeg

    return bytes(simplejpeg.encode_jpeg(pixels_HW[..., None], quality=_JPEG_QUALITY, colorspace="GRAY"))


def _encode_tiff(pixels_HW: Pixels) -> bytes:
    import tifffile

    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels_HW, photometric="minisblack", metadata=None)
    return stream.getvalue()


def _encode_npy(pixels_HW: Pixels) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, pixels_HW, allow_pickle=False)
    return stream.getvalue()


_ENCODABLE = {
    ContentType.PNG: ("uint8", "uint16"),
    ContentType.JPEG: ("uint8",),
    ContentType.TIFF: ("uint8", "uint16", "float32"),
    ContentType.NPY: ("uint8", "uint16", "float32"),
    ContentType.RAW: ("uint8", "uint16", "float32"),
}
_ENCODERS: dict[ContentType, Callable[[Pixels], bytes]] = {
    ContentType.PNG: _encode_png,
    ContentType.JPEG: _encode_jpeg,
    ContentType.TIFF: _encode_tiff,
    ContentType.NPY: _encode_npy,
    ContentType.RAW: lambda pixels_HW: pixels_HW.tobytes(),
}
