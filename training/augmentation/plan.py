"""All augmentation of a segmenter's training in one place: what is done to a crop, in which order, from one source of chance."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.augmentation.crops import crop_origin, cut_crop, cut_pixels
from training.augmentation.geometry import apply_symmetry, rotate_and_scale, symmetry
from training.augmentation.paste import Paster, PasteSettings, places_of
from training.augmentation.radiometry import add_noise, blur, jitter_counts
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
    top, left = crop_origin(sample.pixels_HW.shape, plan.crop_px, focus, rng, plan.grid_px)
    pixels = cut_pixels(sample, top, left, plan.crop_px)
    mask, unknown = (np.asarray(cut_crop(each, top, left, plan.crop_px), np.uint8) for each in (sample.mask_HW, sample.unknown_HW))
    # Before all else: what is pasted shall be turned, blurred and noisy as everything around it is.
    paster(pixels, mask, places_of(sample, top), rng, sample.dataset)
    # A target pasted over an unknown place is known.
    unknown &= 1 - mask
    if rng.random() < plan.warp_probability:
        degrees, factor = rng.uniform(-plan.rotation_deg, plan.rotation_deg), rng.uniform(*plan.scale)
        kept = None if focus is None else (focus[0] - left - 0.5, focus[1] - top - 0.5)  # pixel centres are at whole numbers there
        pixels, mask, unknown = rotate_and_scale(pixels, mask, unknown, degrees, factor, kept)
    if rng.random() < plan.blur_probability:
        pixels = blur(pixels, rng.uniform(*plan.blur_sigma_px))
    if rng.random() < plan.noise_probability:
        pixels = add_noise(pixels, rng.uniform(*plan.noise_sigma), rng)
    if plan.symmetries:
        chosen = symmetry(rng)
        pixels = np.ascontiguousarray(apply_symmetry(pixels, chosen), np.float32)
        mask, unknown = (np.ascontiguousarray(apply_symmetry(each, chosen), np.uint8) for each in (mask, unknown))
    return jitter_counts(pixels, rng) if plan.jitter else pixels, mask, unknown
