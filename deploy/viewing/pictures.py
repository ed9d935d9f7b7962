"""Frames as counts for the browser, which does window and level itself; several frames in one answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from contracts.codecs import decode_pixels
from contracts.errors import RejectRecord
from contracts.frame import Pixels, RawRecord
from contracts.limits import InputLimits
from contracts.message import parse_record
from deploy.viewing.shown import text

_ALIGNED = 8


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Counts of a frame.

    Attributes:
        pixels_HW: uint8, uint16 or float32; may be smaller than the frame.
        size_px: width, height of the frame.
        bit_depth: significant bits.
    """

    pixels_HW: Pixels
    size_px: tuple[int, int]
    bit_depth: int

    @property
    def about(self) -> dict[str, Any]:
        """Their size and kind, for the head of an answer."""
        height, width = self.pixels_HW.shape
        sizes = {"width_px": self.size_px[0], "height_px": self.size_px[1], "width": width, "height": height}
        return sizes | {"dtype": self.pixels_HW.dtype.name, "bit_depth": self.bit_depth}


def decode(record: RawRecord, limits: InputLimits, most_side_px: int) -> Counts | str:
    """Counts of a message, or why there are none.

    Args:
        record: the message.
        limits: of the settings.
        most_side_px: frames with a longer side come smaller, averaged.
    """
    try:
        meta = parse_record(record, limits)
        pixels_HW, bit_depth = decode_pixels(record.value or b"", meta, limits)
    except RejectRecord as reject:
        return text(f"{reject.reason.value}: {reject.detail}")
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a message that no decoder foresaw is not the page's end
        return text(f"poison: {type(error).__name__}")
    return Counts(smaller(pixels_HW, most_side_px), (pixels_HW.shape[1], pixels_HW.shape[0]), bit_depth)


def smaller(pixels_HW: Pixels, most_side_px: int) -> Pixels:
    """The counts, averaged down to a longer side."""
    height, width = pixels_HW.shape
    scale = most_side_px / max(height, width)
    if scale >= 1:
        return pixels_HW
    size = max(1, round(width * scale)), max(1, round(height * scale))
    smaller_HW: Pixels = np.asarray(cv2.resize(pixels_HW, size, interpolation=cv2.INTER_AREA), pixels_HW.dtype)  # type: ignore[assignment]
    return smaller_HW


def cut(pixels_HW: Pixels, box: tuple[float, float, float, float], margin_px: float) -> tuple[Pixels, tuple[int, int]]:
    """The square around a box with a margin, held within the frame; and its left upper corner."""
    height, width = pixels_HW.shape
    x_min, y_min, x_max, y_max = box
    side = round(max(x_max - x_min, y_max - y_min) + 2 * margin_px)
    side_x, side_y = min(side, width), min(side, height)
    left = min(max(0, round((x_min + x_max - side_x) / 2)), width - side_x)
    top = min(max(0, round((y_min + y_max - side_y) / 2)), height - side_y)
    return pixels_HW[top : top + side_y, left : left + side_x], (left, top)


def packed(entries: Sequence[tuple[dict[str, Any], Pixels | None]], **common: Any) -> bytes:
    """One answer: length of the head (uint32, little endian), head (JSON), counts (little endian), each at a multiple of 8 bytes.

    Args:
        entries: what the head says of each frame, and its counts where there are any.
        common: what it says beside.
    """
    blobs: list[bytes] = []
    heads = []
    at = 0
    for about, pixels_HW in entries:
        head = dict(about)
        if pixels_HW is not None:
            blob = np.ascontiguousarray(pixels_HW, pixels_HW.dtype.newbyteorder("<")).tobytes()
            head |= {"blob_at": at, "bytes": len(blob)}
            blob += b"\0" * (-len(blob) % _ALIGNED)
            blobs.append(blob)
            at += len(blob)
        heads.append(head)
    head_bytes = json.dumps(common | {"frames": heads}, allow_nan=False).encode()
    head_bytes += b" " * (-(len(head_bytes) + 4) % _ALIGNED)
    return len(head_bytes).to_bytes(4, "little") + head_bytes + b"".join(blobs)
