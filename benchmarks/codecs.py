"""What decoding a frame costs, by codec and by library: the measurement behind the choices of `contracts/codecs.py`.

Run `python benchmarks/codecs.py`. Processor time of one thread, best of several rounds, in microseconds a frame: wall time on
a shared machine measures the neighbours.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from io import BytesIO

import cv2
import imagecodecs
import numpy as np
import simplejpeg
import tifffile

from contracts.codecs import decode_pixels, encode_pixels
from contracts.frame import ContentType, FrameMeta, Pixels, RawLayout, RawRecord
from contracts.limits import InputLimits
from contracts.message import encode_message
from contracts.position import KafkaPosition
from pipeline.ingest.decode import decode_record

LIMITS = InputLimits()


def infrared_like(side_px: int, bit_depth: int) -> Pixels:
    """A smooth background with a few counts of noise, which is what decides how well a frame compresses."""
    rng = np.random.default_rng(0)
    background = cv2.GaussianBlur(rng.normal(size=(side_px, side_px)).astype(np.float32), (0, 0), side_px / 12)
    counts = 2**bit_depth * (0.4 + 0.1 * background / background.std()) + rng.normal(size=background.shape) * 2 ** (bit_depth - 10)
    frame: Pixels = counts.clip(0, 2**bit_depth - 1).astype(np.uint8 if bit_depth == 8 else np.uint16)
    return frame


def best_us(function: Callable[[], object], rounds: int = 7) -> float:
    """Microseconds of one call: the best round, because everything that disturbs only adds."""
    timer = timeit.Timer(function, timer=time.thread_time)
    timer.timeit(3)
    number = max(1, int(0.1 / max(timer.timeit(10) / 10, 1e-5)))
    return min(timer.repeat(rounds, number)) / number * 1e6


def meta_of(pixels_HW: Pixels, content_type: ContentType) -> FrameMeta:
    """Metadata of a benchmark frame."""
    height_px, width_px = pixels_HW.shape
    layout = RawLayout(width_px=width_px, height_px=height_px, dtype=pixels_HW.dtype.name) if content_type is ContentType.RAW else None
    return FrameMeta(sensor_id="bench", frame_id="0", captured_at=datetime.now(UTC), content_type=content_type, raw_layout=layout)


def alternatives(content_type: ContentType, value: bytes) -> Iterator[tuple[str, Callable[[], object]]]:
    """What could decode the same bytes, without our checks."""
    bytes_N = np.frombuffer(value, np.uint8)
    if content_type in (ContentType.PNG, ContentType.JPEG, ContentType.TIFF):
        yield "cv2", partial(cv2.imdecode, bytes_N, cv2.IMREAD_UNCHANGED)
    if content_type is ContentType.PNG:
        yield "imagecodecs", partial(imagecodecs.png_decode, value)
    if content_type is ContentType.JPEG:
        yield "imagecodecs", partial(imagecodecs.jpeg8_decode, value)
        yield "simplejpeg", partial(simplejpeg.decode_jpeg, value, colorspace="GRAY", strict=True)
    if content_type is ContentType.TIFF:
        yield "imagecodecs", partial(imagecodecs.tiff_decode, value)
        yield "tifffile", lambda: tifffile.imread(BytesIO(value))


def main() -> None:
    """Print one line per codec, bit depth and size."""
    cv2.setNumThreads(1)
    print(f"{'codec':<26}{'bits':>4}{'side':>6}{'bytes':>9}{'ratio':>7}{'record':>8}{'pixels':>8}  alternatives, us a frame")
    for side_px in (256, 512):
        for content_type in ContentType:
            for bit_depth in (8,) if content_type is ContentType.JPEG else (8, 14):
                pixels_HW = infrared_like(side_px, bit_depth)
                meta = meta_of(pixels_HW, content_type)
                value = encode_pixels(pixels_HW, content_type)
                key, _, headers = encode_message(meta, value)
                record = RawRecord(KafkaPosition("bench", 0, 0), key, value, tuple(headers), 0)
                whole_us = best_us(partial(decode_record, record, LIMITS))
                pixels_us = best_us(partial(decode_pixels, value, meta, LIMITS))
                others = ", ".join(f"{name} {best_us(function):.0f}" for name, function in alternatives(content_type, value))
                ratio = pixels_HW.nbytes / len(value)
                columns = f"{len(value):>9}{ratio:>7.2f}{whole_us:>8.0f}{pixels_us:>8.0f}"
                print(f"{content_type:<26}{bit_depth:>4}{side_px:>6}{columns}  {others}")


if __name__ == "__main__":
    main()
