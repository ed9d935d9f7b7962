"""Frames as pictures for people's eyes: grey stretch, masks, boxes and words drawn on them.

The 8-bit conversion here (percentiles, per frame) is for people only; the networks see the sensor's own counts.
Colours are red, green, blue.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.frame import Pixels

Picture: TypeAlias = NDArray[np.uint8]
"""`(H, W, 3)`, red first."""
Colour: TypeAlias = tuple[int, int, int]
TRUTH: Colour = (80, 220, 80)
FOUND: Colour = (255, 120, 60)
_WHITE: Colour = (255, 255, 255)
_MIDDLE_GREY = 127
WORDS_PX = 20
"""Height of a line of words."""


def stretched(pixels_HW: Pixels, low: float = 0.5, high: float = 99.8) -> NDArray[np.uint8]:
    """Counts between two percentiles as 0 to 255, `(H, W)`; a flat frame becomes mid grey."""
    finite = pixels_HW[np.isfinite(pixels_HW)]
    if finite.size == 0:
        return np.full(pixels_HW.shape, _MIDDLE_GREY, np.uint8)
    dark, bright = np.percentile(finite, [low, high])
    if bright <= dark:
        dark, bright = float(finite.min()), float(finite.max())
    if bright <= dark:
        return np.full(pixels_HW.shape, _MIDDLE_GREY, np.uint8)
    scaled = (np.nan_to_num(pixels_HW.astype(np.float32), nan=dark) - dark) * (255.0 / (bright - dark))
    shown: NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
    return shown


def grey_picture(pixels_HW: Pixels) -> Picture:
    """The stretched frame, to be drawn on."""
    return coloured(stretched(pixels_HW))


def coloured(grey_HW: NDArray[np.uint8]) -> Picture:
    """Greys as they are, to be drawn on."""
    return np.repeat(grey_HW[:, :, None], 3, axis=2)


def enlarged(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """A picture or a mask as a square, without smoothing."""
    return np.asarray(cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_NEAREST), np.uint8)


def draw_boxes(picture: Picture, boxes_xyxy_px: NDArray[np.float32], colour: Colour) -> None:
    """One-pixel rectangles just outside the boxes `(n, 4)`, in place."""
    for x_min, y_min, x_max, y_max in boxes_xyxy_px:
        cv2.rectangle(picture, (int(x_min) - 1, int(y_min) - 1), (int(np.ceil(x_max)), int(np.ceil(y_max))), colour, 1)


def draw_outlines(picture: Picture, mask_HW: NDArray[Any], colour: Colour) -> None:
    """The outermost pixels of each connected place of a mask, in place."""
    contours, _ = cv2.findContours((mask_HW != 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, colour, 1)


def draw_words(picture: Picture, words: str) -> Picture:
    """White words on a black strip of `WORDS_PX` at the top, in place; the picture."""
    picture[:WORDS_PX] = 0
    cv2.putText(picture, words, (6, WORDS_PX - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _WHITE, 1, cv2.LINE_AA)
    return picture


def in_rows(tiles: Sequence[Picture], columns: int) -> Picture:
    """Tiles of one size side by side, one row below the other; what is missing in the last row is black."""
    if len(tiles) > columns:
        tiles = [*tiles, *[np.zeros_like(tiles[0])] * (-len(tiles) % columns)]
    rows = [np.concatenate(list(tiles[start : start + columns]), 1) for start in range(0, len(tiles), columns)]
    return np.concatenate(rows, 0)


def decode_mask(mask_rle: str, height_px: int, width_px: int) -> NDArray[np.bool_]:
    """COCO compressed RLE over the whole frame to `(H, W)`."""
    from pycocotools import mask

    decoded: NDArray[np.bool_] = mask.decode({"size": [height_px, width_px], "counts": mask_rle.encode()}).astype(bool)
    return decoded


def encode_png(picture: Picture, level: int = 1) -> bytes:
    """A PNG of a picture, compressed with level 0 to 9."""
    _, encoded = cv2.imencode(".png", picture[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, level])
    return encoded.tobytes()


def encode_jpeg(picture: Picture, quality: int = 90) -> bytes:
    """A JPEG of a picture in which lines of one pixel keep their colour (4:4:4)."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], options)
    return encoded.tobytes()


def write_small_png(picture: Picture, path: Path) -> None:
    """A PNG of 64 levels a colour: enough for the eye, and half as large."""
    path.write_bytes(encode_png(picture // 4 * 4, 9))
