"""Flaws that other cameras give a picture: their optics, their noise, their flaws, their numbers and their compression.

In the order in which it happens: optics (sharpness), detector (noise, stripes, hot and dead pixels), conversion (counts), electronics
(a telemetry row), transmission (JPEG). All of normalised pixels, in units of the frame's scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.codecs import FLOAT_BIT_DEPTH
from contracts.frame import Normalisation
from evaluation.perturbations import recompressed, resized
from models.normalisation import fill
from models.transforms import normalise

Floats = NDArray[np.float32]
Mask = NDArray[np.uint8]
JPEG_BLOCK_PX = 8
_DISPLAY_PERCENT = (0.1, 99.9)
_LEAST_SCALE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaws:
    """Probability of each flaw in a picture that is spoilt at all, and its strength.

    Attributes:
        probability: share of the crops to which any of it is done.
        jpeg: compressed, at a quality of `jpeg_quality`, the blocks at any phase.
        resample: enlarged or shrunk by `factor`.
        blur: by a Gaussian of `blur_sigma_px`.
        noise: Gaussian, standard deviation `noise_sigma` (log-uniform).
        stripes: rows or columns with offsets of their own, standard deviation `stripe_sigma`.
        bad_pixels: up to `max_bad_pixels` hot and dead ones.
        telemetry: a row or two at the top or the bottom hold numbers, not light.
        coarse: rounded to `levels` counts a scale (the counts of a faint scene in a 14-bit frame are few).
        fine: the counts of an 8-bit image filled up by chance, as those of more bits are.
        inverted: black is hot.
        own_scale: share of the pictures that are normalised as a frame of their own, as the stream would; the others get a factor and an
            offset.
        log_gain: largest logarithm of that factor, either way.
        offset: largest offset, either way.
    """

    probability: float = 0.5
    jpeg: float = 0.4
    jpeg_quality: tuple[int, int] = (60, 95)
    resample: float = 0.35
    factor: tuple[float, float] = (0.7, 1.4)
    blur: float = 0.25
    blur_sigma_px: tuple[float, float] = (0.3, 1.0)
    noise: float = 0.35
    noise_sigma: tuple[float, float] = (0.02, 0.25)
    stripes: float = 0.2
    stripe_sigma: tuple[float, float] = (0.03, 0.3)
    bad_pixels: float = 0.3
    max_bad_pixels: int = 12
    telemetry: float = 0.1
    coarse: float = 0.15
    levels: tuple[float, float] = (6.0, 40.0)
    fine: float = 0.3
    inverted: float = 0.15
    own_scale: float = 0.5
    log_gain: float = 0.35
    offset: float = 0.3

    def draw_factor(self, rng: np.random.Generator) -> float:
        """Factor of a picture's size, 1 where it is not resampled."""
        return float(rng.uniform(*self.factor)) if rng.random() < self.resample else 1.0


def spoil(pixels_HW: Floats, flaws: Flaws, own: tuple[float, float], rng: np.random.Generator) -> Floats:
    """Everything but resampling, each with its probability; shape and places stay.

    Args:
        pixels_HW: normalised pixels.
        flaws: what, how likely, how strong.
        own: what 0 counts of the image are, and how much one count is, in units of the scale.
        rng: source of chance.
    """
    out, count = pixels_HW, own[1]
    # Counts of more than 8 bits, or turned upside down, are shown stretched.
    own_display = own[0] + 255 * count > float(out.max())
    if rng.random() < flaws.inverted:
        out, own_display = -out, False
    if rng.random() < flaws.blur:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), rng.uniform(*flaws.blur_sigma_px)), np.float32)
    if rng.random() < flaws.fine:
        out = out + rng.uniform(-count / 2, count / 2, out.shape).astype(np.float32)
    if rng.random() < flaws.noise:
        sigma = np.exp(rng.uniform(*np.log(flaws.noise_sigma)))
        out = out + rng.standard_normal(out.shape, np.float32) * np.float32(sigma)
    if rng.random() < flaws.stripes:
        out = add_stripes(out, rng.uniform(*flaws.stripe_sigma), rng)
    if rng.random() < flaws.bad_pixels:
        out = add_bad_pixels(out, int(rng.integers(1, flaws.max_bad_pixels + 1)), rng)
    if rng.random() < flaws.coarse:
        levels = np.float32(np.exp(rng.uniform(*np.log(flaws.levels))))
        out = np.asarray(np.round(out * levels) / levels, np.float32)
    if rng.random() < flaws.telemetry:
        out = add_telemetry(out, rng)
    if rng.random() < flaws.jpeg:
        display = own if own_display and rng.random() < 0.5 else _stretch(out, rng)
        out = jpeg(out, int(rng.integers(flaws.jpeg_quality[0], flaws.jpeg_quality[1] + 1)), display, rng)
    return np.asarray(out, np.float32)


def rescale(pixels_HW: Floats, flaws: Flaws, rng: np.random.Generator) -> Floats:
    """Mean and scale of the spoilt picture: its own, or others."""
    if rng.random() < flaws.own_scale:
        filled = fill(pixels_HW, FLOAT_BIT_DEPTH)
        own = filled.normalisation
        return normalise(filled.pixels_HW, Normalisation(mean=own.mean, scale=max(own.scale, _LEAST_SCALE)))
    factor = np.exp(rng.uniform(-flaws.log_gain, flaws.log_gain))
    return np.asarray(pixels_HW * np.float32(factor) + np.float32(rng.uniform(-flaws.offset, flaws.offset)), np.float32)


def resample(pixels_HW: Floats, masks: tuple[Mask, Mask], factor: float, side_px: int) -> tuple[Floats, Mask, Mask]:
    """Enlarge or shrink a picture and two masks of it, and keep a square of the middle.

    See `evaluation.perturbations.resized` for what becomes of targets.

    Args:
        pixels_HW: normalised pixels, at least `side_px / factor` wide and high.
        masks: target pixels, and pixels of which nobody knows; 0 or 1.
        factor: above 1 enlarges.
        side_px: of the result.

    Returns:
        The three, `(side_px, side_px)`.
    """
    width_px, height_px = (max(side_px, round(length * factor)) for length in pixels_HW.shape[::-1])
    top, left = (height_px - side_px) // 2, (width_px - side_px) // 2
    return resized(pixels_HW, masks, (width_px, height_px), (slice(top, top + side_px), slice(left, left + side_px)))


def add_stripes(pixels_HW: Floats, sigma: float, rng: np.random.Generator) -> Floats:
    """An offset of its own for each column, or each row, as uncooled detectors have."""
    columns = rng.random() < 0.7
    shape = (1, pixels_HW.shape[1]) if columns else (pixels_HW.shape[0], 1)
    return pixels_HW + rng.standard_normal(shape, np.float32) * np.float32(sigma)


def add_bad_pixels(pixels_HW: Floats, num: int, rng: np.random.Generator) -> Floats:
    """Hot and dead pixels: single ones, from three scales beside the mean to a thousand."""
    out = pixels_HW.copy()
    rows, columns = rng.integers(0, pixels_HW.shape[0], num), rng.integers(0, pixels_HW.shape[1], num)
    height_N = np.exp(rng.uniform(np.log(3.0), np.log(1000.0), num)) * np.where(rng.random(num) < 0.7, 1, -1)
    if rng.random() < 0.5:
        height_N[:] = height_N[0]  # all at the end of the scale
    out[rows, columns] = height_N
    return out


def add_telemetry(pixels_HW: Floats, rng: np.random.Generator) -> Floats:
    """One to three rows, first or last, of numbers that are no light."""
    out = pixels_HW.copy()
    num, width = int(rng.integers(1, 4)), pixels_HW.shape[1]
    rows = slice(0, num) if rng.random() < 0.5 else slice(pixels_HW.shape[0] - num, None)
    level, reach = rng.uniform(-6, 6), np.exp(rng.uniform(np.log(0.5), np.log(60.0)))
    words = np.repeat(rng.uniform(-reach, reach, (num, -(-width // 2))), 2, axis=1)[:, :width]
    out[rows] = level + words * (rng.random((num, width)) < 0.5)
    return out


def jpeg(pixels_HW: Floats, quality: int, display: tuple[float, float], rng: np.random.Generator) -> Floats:
    """To 8 bits, compressed, and read back; the corner of a block is anywhere.

    Args:
        pixels_HW: normalised pixels.
        quality: 1 to 100.
        display: what becomes 0, and how much a count is; beyond 255 it saturates.
        rng: source of chance.
    """
    low, count = display
    top, left = (int(shift) for shift in rng.integers(0, JPEG_BLOCK_PX, 2))
    wider = cv2.copyMakeBorder(pixels_HW, top, 0, left, 0, cv2.BORDER_REPLICATE)
    shown = np.clip(np.round((wider - low) / count), 0, 255).astype(np.uint8)
    read = recompressed(shown, quality).astype(np.float32)[top:, left:]
    return read * np.float32(count) + np.float32(low)


def _stretch(pixels_HW: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """A display that shows most of what is there, with some room above and below."""
    low, high = np.percentile(pixels_HW[::3, ::3], _DISPLAY_PERCENT)
    room = max(float(high - low), 0.1)
    low, high = float(low) - rng.uniform(0, 0.5) * room, float(high) + rng.uniform(0, 1.0) * room
    return low, (high - low) / 255
