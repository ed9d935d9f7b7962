"""Changes that other cameras and links make to a frame: one each, of known strength, on the counts of labelled 8-bit frames.

A network that generalises answers a changed frame as it answers the untouched one. Each change depends on the frame and on one seed
only, so that all networks see the same frames; those of several strengths contain each other (the first of three hot pixels is the one).
Labels go along: what is cut off or written over is no target any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]
Counts: TypeAlias = NDArray[np.unsignedinteger[Any]]
Window: TypeAlias = tuple[slice, slice]
CROP_PX = (3, 5)
"""Rows cut off at the top, columns cut off at the left: other phases of strides and of JPEG blocks, and another mean."""
STRIPE_COUNTS = 2.0
FAINT_OFFSET, FAINT_GAIN = 4000, 2
"""A 14-bit detector shows an 8-bit scene in 510 of its 16,384 counts."""
HOTTEST_14 = 2**14 - 1
_BRIGHTEST = 255
_TRACE = 0.05
_WHOLE = (slice(None), slice(None))


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFrame:
    """A frame and what is known of it.

    Attributes:
        counts_HW: `(H, W)` uint8, or uint16 where the change makes more bits.
        bit_depth: significant bits.
        mask_HW: `(H, W)` bool, target pixels.
        unknown_HW: `(H, W)` bool, pixels of which nobody knows.
    """

    counts_HW: Counts
    bit_depth: int
    mask_HW: Mask
    unknown_HW: Mask


Change: TypeAlias = Callable[[LabelledFrame, np.random.Generator], LabelledFrame]


def perturbed(name: str, frame: LabelledFrame, image_id: str, seed: int = 0) -> LabelledFrame:
    """A frame after one of `PERTURBATIONS`; the frame itself stays as it is.

    Args:
        name: of the change.
        frame: untouched, of 8 bits.
        image_id: its name: where a change is drawn, the draw depends on this and on the seed.
        seed: of the draws.

    Raises:
        KeyError: no such change.
        ValueError: the frame has other than 8 bits: strengths are in counts of 8 bits.
    """
    change = PERTURBATIONS[name]
    if frame.bit_depth != 8 or frame.counts_HW.dtype != np.uint8:
        raise ValueError(f"expected a frame of 8 bits (uint8), got {frame.bit_depth} bits ({frame.counts_HW.dtype}), image {image_id}")
    return change(frame, np.random.default_rng([seed, crc32(image_id.encode())]))


def recompressed(shown_HW: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """A picture after JPEG of a quality from 1 to 100."""
    done, code = cv2.imencode(".jpg", shown_HW, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.uint8)  # noqa: TID251  # bytes of our own


def resized(
    pixels_HW: NDArray[np.generic],
    masks: tuple[NDArray[np.generic], NDArray[np.generic]],
    size_wh_px: tuple[int, int],
    window: Window = _WHOLE,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
    """Enlarge or shrink a picture and two masks of it.

    Shrinking averages over areas, as a coarser detector does. A target that falls below half a pixel everywhere is no longer labelled,
    though a trace of it is left: there nobody knows.

    Args:
        pixels_HW: any numbers.
        masks: target pixels, and pixels of which nobody knows; 0 or 1.
        size_wh_px: width and height of the result.
        window: part of the result to keep, rows and columns.

    Returns:
        The three; masks 0 or 1.
    """
    shrinks = size_wh_px[0] < pixels_HW.shape[1] or size_wh_px[1] < pixels_HW.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR

    def scaled(image_HW: NDArray[np.generic]) -> NDArray[np.float32]:
        return np.asarray(cv2.resize(image_HW.astype(np.float32), size_wh_px, interpolation=how)[window], np.float32)

    soft_HW = scaled(masks[0])
    hard_HW = (soft_HW >= 0.5).astype(np.uint8)
    num, labels_HW = cv2.connectedComponents((soft_HW > _TRACE).astype(np.uint8), connectivity=8)
    kept_N = np.zeros(num, bool)
    kept_N[np.unique(labels_HW[hard_HW > 0])] = True
    kept_N[0] = True
    unknown_HW = (scaled(masks[1]) > _TRACE) | ~kept_N[labels_HW]
    return scaled(pixels_HW), hard_HW, (unknown_HW & (hard_HW == 0)).astype(np.uint8)


def _rounded(values_HW: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(np.round(values_HW), 0, _BRIGHTEST).astype(np.uint8)


def _crop(frame: LabelledFrame, _: np.random.Generator) -> LabelledFrame:
    kept = (slice(CROP_PX[0], None), slice(CROP_PX[1], None))
    return LabelledFrame(
        np.ascontiguousarray(frame.counts_HW[kept]),
        frame.bit_depth,
        np.ascontiguousarray(frame.mask_HW[kept]),
        np.ascontiguousarray(frame.unknown_HW[kept]),
    )


def _jpeg(quality: int, frame: LabelledFrame, _: np.random.Generator) -> LabelledFrame:
    return replace(frame, counts_HW=recompressed(np.asarray(frame.counts_HW, np.uint8), quality))


def _resample(factor: float, frame: LabelledFrame, _: np.random.Generator) -> LabelledFrame:
    height_px, width_px = (max(round(length * factor), 1) for length in frame.counts_HW.shape)
    pixels_HW, mask_HW, unknown_HW = resized(frame.counts_HW, (frame.mask_HW, frame.unknown_HW), (width_px, height_px))
    return LabelledFrame(_rounded(pixels_HW), frame.bit_depth, mask_HW > 0, unknown_HW > 0)


def _blur(sigma_px: float, frame: LabelledFrame, _: np.random.Generator) -> LabelledFrame:
    return replace(frame, counts_HW=_rounded(np.asarray(cv2.GaussianBlur(frame.counts_HW.astype(np.float32), (0, 0), sigma_px))))


def _noise(sigma_counts: float, frame: LabelledFrame, rng: np.random.Generator) -> LabelledFrame:
    return replace(frame, counts_HW=_rounded(frame.counts_HW + sigma_counts * rng.standard_normal(frame.counts_HW.shape, np.float32)))


def _stripes(frame: LabelledFrame, rng: np.random.Generator) -> LabelledFrame:
    offsets_W = STRIPE_COUNTS * rng.standard_normal(frame.counts_HW.shape[1], np.float32)
    return replace(frame, counts_HW=_rounded(frame.counts_HW + offsets_W))


def _hot(num: int, frame: LabelledFrame, rng: np.random.Generator) -> LabelledFrame:
    """Single pixels at the end of the scale, outside the targets."""
    free = np.flatnonzero(~frame.mask_HW)
    places = rng.permutation(free)[:num]
    counts_HW = frame.counts_HW.copy()
    counts_HW.reshape(-1)[places] = 2**frame.bit_depth - 1
    return replace(frame, counts_HW=counts_HW)


def _telemetry(frame: LabelledFrame, rng: np.random.Generator) -> LabelledFrame:
    """The first row holds bytes of numbers, not light."""
    counts_HW, mask_HW, unknown_HW = frame.counts_HW.copy(), frame.mask_HW.copy(), frame.unknown_HW.copy()
    counts_HW[0] = rng.integers(0, _BRIGHTEST + 1, counts_HW.shape[1])
    mask_HW[0] = unknown_HW[0] = False
    return LabelledFrame(counts_HW, frame.bit_depth, mask_HW, unknown_HW)


def _faint(frame: LabelledFrame, rng: np.random.Generator) -> LabelledFrame:
    """In 510 counts of a 14-bit frame, the lowest bit by chance."""
    lowest_HW = rng.integers(0, FAINT_GAIN, frame.counts_HW.shape, np.uint16)
    counts_HW = frame.counts_HW.astype(np.uint16) * np.uint16(FAINT_GAIN) + np.uint16(FAINT_OFFSET) + lowest_HW
    return replace(frame, counts_HW=counts_HW, bit_depth=14)


def _faint_and_hot(num: int, frame: LabelledFrame, rng: np.random.Generator) -> LabelledFrame:
    return _hot(num, _faint(frame, rng), rng)


def _inverted(frame: LabelledFrame, _: np.random.Generator) -> LabelledFrame:
    return replace(frame, counts_HW=_rounded(_BRIGHTEST - frame.counts_HW.astype(np.float32)))


PERTURBATIONS: Mapping[str, Change] = MappingProxyType(
    {
        f"crop {CROP_PX[0]}, {CROP_PX[1]} px": _crop,
        **{f"JPEG {quality}": partial(_jpeg, quality) for quality in (95, 90, 75)},
        **{f"resampled {factor:g}": partial(_resample, factor) for factor in (0.8, 1.25)},
        "blur 0.7 px": partial(_blur, 0.7),
        **{f"noise {sigma:g}": partial(_noise, sigma) for sigma in (1.0, 3.0)},
        "stripes": _stripes,
        **{f"hot pixels {num}": partial(_hot, num) for num in (1, 3, 10)},
        "telemetry row": _telemetry,
        "14 bit": _faint,
        "14 bit, hot pixels 10": partial(_faint_and_hot, 10),
        "inverted": _inverted,
    }
)
"""Each change by its name, in the order of reports."""
