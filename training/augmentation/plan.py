"""All augmentation of a segmenter's training in one place: what is done to a crop, in which order, from one source of chance."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.errors import SettingsError
from models.transforms import normalise
from training.augmentation.camera import Flaws, resample, rescale, spoil
from training.augmentation.crops import crop_origin, cut_crop, cut_pixels
from training.augmentation.geometry import apply_symmetry, rotate_and_scale, symmetry
from training.augmentation.paste import Paster, PasteSettings, places_of
from training.augmentation.points import PointSettings, plant_points
from training.augmentation.radiometry import add_noise, blur, jitter_counts
from training.data.label_conventions import flip_marked
from training.data.samples import Sample

Floats = NDArray[np.float32]
Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Augmentation of the images a segmenter learns from.

    Attributes:
        crop_px: side of the crops.
        grid_px: where crops start: at multiples of it. Traces of compression, which tell what kind of imagery it is, keep their phase.
        target_probability: share of crops that are made to hold a target pixel.
        symmetries: the eight flips and transpositions.
        rotation_deg: largest turn to either side.
        scale: range of the factor.
        warp_probability: share of crops that are turned and scaled.
        blur_sigma_px: range of a Gaussian's width.
        blur_probability: share of crops that are blurred.
        noise_sigma: range of the standard deviation of Gaussian noise, in units of the frame's.
        noise_probability: share of crops that get it.
        jitter: gain, offset and a little noise.
        paste: copy-paste.
        points: planted targets of a few pixels.
        flaws: those of other cameras.
        keep_offsets: masks of sets that draw them beside the light stay there through flips (`training.data.label_conventions`).
        shift_px: an image about as large as the crop is moved by up to so much, so that its pixels come at any phase of the strides.
    """

    crop_px: int = 160
    grid_px: int = 1
    target_probability: float = 0.6
    symmetries: bool = True
    rotation_deg: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    warp_probability: float = 0.0
    blur_sigma_px: tuple[float, float] = (0.4, 1.0)
    blur_probability: float = 0.0
    noise_sigma: tuple[float, float] = (0.05, 0.3)
    noise_probability: float = 0.0
    jitter: bool = True
    paste: PasteSettings = field(default_factory=PasteSettings)
    points: PointSettings = field(default_factory=lambda: PointSettings(probability=0.0))
    flaws: Flaws = field(default_factory=lambda: Flaws(probability=0.0))
    keep_offsets: bool = False
    shift_px: int = 0

    def __post_init__(self) -> None:
        """Refuse a turn that would lose the offsets.

        Raises:
            SettingsError: offsets are kept where crops are turned and scaled.
        """
        if self.keep_offsets and self.warp_probability > 0:
            raise SettingsError(
                expected="keep_offsets without turned crops",
                got=f"warp_probability {self.warp_probability:g}",
                where="augmentation",
                action="Leave one of them out: an offset of half a pixel is known along rows and columns only.",
            )


def make_crop(sample: Sample, plan: Augmentation, paster: Paster, rng: np.random.Generator) -> tuple[Floats, Mask, Mask]:
    """One augmented crop.

    Args:
        sample: the image.
        plan: what is done.
        paster: with the targets to paste.
        rng: source of chance.

    Returns:
        Normalised pixels, target pixels (0 or 1) and pixels of which nobody knows (0 or 1), each `(crop_px, crop_px)`.
    """
    focus = None
    if len(sample.boxes_xyxy_px) and rng.random() < plan.target_probability:
        x_min, y_min, x_max, y_max = sample.boxes_xyxy_px[rng.integers(len(sample.boxes_xyxy_px))]
        focus = (float(x_min + x_max) / 2, float(y_min + y_max) / 2)
    spoilt = plan.flaws.probability > 0 and rng.random() < plan.flaws.probability
    factor = plan.flaws.draw_factor(rng) if spoilt else 1.0
    window_px = plan.crop_px if factor == 1.0 else math.ceil(plan.crop_px / factor) + 1
    top, left = _shifted(crop_origin(sample.pixels_HW.shape, window_px, focus, rng, plan.grid_px), sample, window_px, plan, rng)
    pixels, marks, unknown = _window(sample, (top, left, window_px), plan, paster, rng)
    if rng.random() < plan.warp_probability:
        degrees, scale = rng.uniform(-plan.rotation_deg, plan.rotation_deg), rng.uniform(*plan.scale)
        kept = None if focus is None else (focus[0] - left - 0.5, focus[1] - top - 0.5)  # pixel centres are at whole numbers there
        pixels, marks, unknown = rotate_and_scale(pixels, marks, unknown, degrees, scale, kept)
    if rng.random() < plan.blur_probability:
        pixels = blur(pixels, rng.uniform(*plan.blur_sigma_px))
    if rng.random() < plan.noise_probability:
        pixels = add_noise(pixels, rng.uniform(*plan.noise_sigma), rng)
    if plan.symmetries:
        pixels, marks, unknown = _flipped((pixels, marks, unknown), symmetry(rng))
    mask = np.minimum(marks, 1)
    unknown &= 1 - mask
    if factor != 1.0:
        pixels, mask, unknown = resample(pixels, (mask, unknown), factor, plan.crop_px)
    if spoilt:
        black, next_count = normalise(np.array([0, 1]), sample.normalisation).tolist()
        pixels = rescale(spoil(pixels, plan.flaws, (black, next_count - black), rng), plan.flaws, rng)
    return jitter_counts(pixels, rng) if plan.jitter else pixels, mask, unknown


def _shifted(origin: tuple[int, int], sample: Sample, window_px: int, plan: Augmentation, rng: np.random.Generator) -> tuple[int, int]:
    """Top and left of a crop; an image that fills it has one place only, and is moved."""
    if plan.shift_px == 0:
        return origin
    by = rng.integers(-plan.shift_px, plan.shift_px + 1, 2).tolist()
    top, left = (
        place + shift if abs(length - window_px) < plan.shift_px else place
        for place, shift, length in zip(origin, by, sample.pixels_HW.shape, strict=True)
    )
    return top, left


def _window(
    sample: Sample, place: tuple[int, int, int], plan: Augmentation, paster: Paster, rng: np.random.Generator
) -> tuple[Floats, Mask, Mask]:
    """Pixels, marks of the targets and unknown pixels of a square (top, left, side) of an image, with what is pasted and planted."""
    pixels = cut_pixels(sample, *place)
    masks = (sample.marked_HW if plan.keep_offsets else sample.mask_HW, sample.unknown_HW)
    marks, unknown = (np.asarray(cut_crop(each, *place), np.uint8) for each in masks)
    # Before all else: what is pasted shall be turned, blurred and noisy as everything around it is.
    paster(pixels, marks, places_of(sample, place[0]), rng, sample.dataset)
    if not plan.keep_offsets:
        marks = np.minimum(marks, 1)
    if plan.points.probability > 0:
        marks |= plant_points(pixels, np.minimum(marks, 1) | unknown, plan.points, rng)
    # A target pasted over an unknown place is known.
    return pixels, marks, unknown & (marks == 0).astype(np.uint8)


def _flipped(crop: tuple[Floats, Mask, Mask], chosen: tuple[bool, bool, bool]) -> tuple[Floats, Mask, Mask]:
    pixels, marks, unknown = crop
    moved = flip_marked(marks, chosen[0], chosen[1])
    return (
        np.ascontiguousarray(apply_symmetry(pixels, chosen), np.float32),
        np.ascontiguousarray(moved.T if chosen[2] else moved, np.uint8),
        np.ascontiguousarray(apply_symmetry(unknown, chosen), np.uint8),
    )
