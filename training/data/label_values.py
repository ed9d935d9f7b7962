"""Values of a mask file as they are meant: background, target, or a region nobody labelled.

Masks come as two values, as greys with smoothed edges, as numbers of instances or classes in a palette, and as colours. Only what can be
read in one way is read; the rest is refused with the values found, because a wrong guess drops targets without a word.

Source of the palette and its 255: PASCAL VOC 2012 development kit, §3.5 (`VOCcolormap`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.errors import RejectRecord, SettingsError
from contracts.image_files import read_samples
from contracts.limits import InputLimits

_LEAST_BRIGHTEST = 128
_IGNORE = 255
_TRACE = 0.1
"""Greys below this share of the brightest are what compression leaves around an edge, no target."""
_SHOWN = 5

Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class LabelPixels:
    """A mask file, `(H, W)`.

    Attributes:
        target_HW: 0 or 1.
        ignored_HW: True where nobody knows; None where all is known.
    """

    target_HW: Mask
    ignored_HW: NDArray[np.bool_] | None = None


def voc_palette() -> NDArray[np.uint8]:
    """Colours of the numbers 0 to 255, `(256, 3)`, red first."""
    numbers_N = np.arange(256)
    palette_N3 = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette_N3[:, channel] |= (((numbers_N >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return palette_N3


def read_labels(path: Path, limits: InputLimits) -> LabelPixels:
    """Read a mask file.

    Raises:
        SettingsError: unreadable, float32, or values that can be read in several ways.
    """
    try:
        samples, palette_N3 = read_samples(path, limits)
    except RejectRecord as error:
        raise SettingsError(expected=error.expected, got=error.got, where=str(path), action="Save it anew or leave it out.") from error
    except OSError as error:
        got = error.strerror or str(error)
        raise SettingsError(expected="a readable image", got=got, where=str(path), action="Check this file of the data set.") from error
    if samples.dtype == np.float32:
        raise SettingsError(
            expected="a mask of 8 or 16 bits", got="float32", where=str(path), action="Save it as PNG or TIFF of 8 or 16 bits."
        )
    if palette_N3 is not None:
        return _numbers(samples, palette_N3, path)
    if samples.ndim == 3:
        numbers_HW = _voc_numbers(samples)
        if numbers_HW is not None:
            return _numbers(numbers_HW, voc_palette(), path)
        return LabelPixels(_targets(_colour_numbers(samples), path))
    return LabelPixels(_targets(samples, path))


def _numbers(numbers_HW: NDArray[Any], palette_N3: NDArray[np.uint8], path: Path) -> LabelPixels:
    """Numbers of classes or instances: 0 is background; 255 is ignored where the palette is VOC's."""
    voc = voc_palette()
    is_voc = len(palette_N3) > 1 and np.array_equal(palette_N3[: min(len(palette_N3), 8)], voc[: min(len(palette_N3), 8)])
    if palette_N3[0].any():
        raise _several_ways(numbers_HW, path, "a palette whose number 0 is black, for background")
    ignored_HW = numbers_HW == _IGNORE
    if ignored_HW.any() and not is_voc and ((numbers_HW > 0) & ~ignored_HW).any():
        raise _several_ways(numbers_HW, path, "number 255 in the palette of PASCAL VOC only, where it means that nobody labelled it")
    if not ignored_HW.any() or not is_voc:
        return LabelPixels((numbers_HW > 0).astype(np.uint8))
    return LabelPixels(((numbers_HW > 0) & ~ignored_HW).astype(np.uint8), ignored_HW)


def _voc_numbers(colours_HW3: NDArray[Any]) -> Mask | None:
    """Numbers of colours that are all VOC's (its masks, saved without their palette); None of others."""
    if colours_HW3.dtype != np.uint8:
        return None
    codes_HW = _codes(colours_HW3)
    palette_N = _codes(voc_palette()[None])[0]
    found = {int(code): number for number, code in enumerate(palette_N)}
    used = np.unique(codes_HW)
    if any(int(code) not in found for code in used):
        return None
    return np.array([found[int(code)] for code in used], np.uint8)[np.searchsorted(used, codes_HW)]


def _colour_numbers(colours_HW3: NDArray[Any]) -> NDArray[Any]:
    """The brightest channel, where no colour is lost: of few flat colours each is a number of its own, black is 0."""
    codes_HW = _codes(colours_HW3)
    used = np.unique(codes_HW)
    brightest_HW = np.asarray(colours_HW3.max(axis=2))
    flat = len(used) <= _LEAST_BRIGHTEST and _touching_share(codes_HW) < _TRACE
    return np.asarray(np.where(codes_HW > 0, np.iinfo(colours_HW3.dtype).max, 0), colours_HW3.dtype) if flat else brightest_HW


def _touching_share(codes_HW: NDArray[Any]) -> float:
    """Of the borders between coloured pixels, the share between two colours: none of flat regions, most of smoothed ones."""
    pairs = [(codes_HW[1:], codes_HW[:-1]), (codes_HW[:, 1:], codes_HW[:, :-1])]
    both = sum(int(((first > 0) & (second > 0)).sum()) for first, second in pairs)
    other = sum(int(((first > 0) & (second > 0) & (first != second)).sum()) for first, second in pairs)
    return other / max(both, 1)


def _codes(colours_HW3: NDArray[Any]) -> NDArray[np.int64]:
    wide = colours_HW3.astype(np.int64)
    return np.asarray((wide[..., 0] << 32) | (wide[..., 1] << 16) | wide[..., 2])


def _targets(mask_HW: NDArray[Any], path: Path) -> Mask:
    """Target pixels of greys: two values, numbers of instances, or smoothed edges, which count from the middle."""
    brightest = int(mask_HW.max())
    target_HW = mask_HW > 0
    values = np.unique(mask_HW[target_HW])
    if len(values) <= 1 or _are_instances(mask_HW, values):
        return target_HW.astype(np.uint8)
    hard_HW = mask_HW > brightest / 2
    wide = values[(values > brightest / 2) & (values < brightest)]
    if brightest < _LEAST_BRIGHTEST or not len(wide) or _loses_a_target(mask_HW, hard_HW):
        raise _several_ways(mask_HW, path, "a mask of two values, or greys up to 255 with smoothed edges, or a number for each instance")
    return hard_HW.astype(np.uint8)


def _are_instances(mask_HW: NDArray[Any], values: NDArray[Any]) -> bool:
    """True where each value is that of one region alone, and most regions hold one value."""
    if values[-1] == np.iinfo(mask_HW.dtype).max and 2 * int(values[-2]) < int(values[-1]):
        return False  # numbers, and one that stands for something else
    num, regions_HW = cv2.connectedComponents((mask_HW > 0).view(np.uint8), connectivity=8)
    pairs = np.unique(np.stack([regions_HW[mask_HW > 0], mask_HW[mask_HW > 0]]).astype(np.int64), axis=1)
    each_once = pairs.shape[1] == len(values)
    num_single = int((np.bincount(pairs[0], minlength=num)[1:] == 1).sum())
    return each_once and 2 * num_single > num - 1


def _loses_a_target(mask_HW: NDArray[Any], hard_HW: NDArray[np.bool_]) -> bool:
    """True where a region is nowhere as bright as half of the brightest, and brighter than a trace."""
    traces = mask_HW > _TRACE * float(mask_HW.max())
    num, regions_HW = cv2.connectedComponents(traces.view(np.uint8), connectivity=8)
    return len(np.unique(regions_HW[hard_HW])) < num - 1


def _several_ways(mask_HW: NDArray[Any], path: Path, expected: str) -> SettingsError:
    values = np.unique(mask_HW)
    shown = f"{', '.join(map(str, values[:_SHOWN]))}{', ...' * (len(values) > _SHOWN)}"
    if len(values) > _SHOWN:
        shown += f", {values[-1]}"
    return SettingsError(
        expected=expected,
        got=f"{len(values)} values: {shown}",
        where=str(path),
        action="Save it with 0 for background and 255 for targets.",
    )
