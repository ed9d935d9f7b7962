"""Other cameras, other weather: gain, offset, noise and blur of normalised pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def jitter_counts(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Gain, offset and a little noise: another camera, another scene statistic."""
    gain = np.exp(rng.uniform(-0.35, 0.35))
    noisy = pixels * np.float32(gain) + np.float32(rng.uniform(-0.3, 0.3))
    if rng.random() < 0.3:
        noisy = noisy + rng.standard_normal(pixels.shape, np.float32) * np.float32(rng.uniform(0.0, 0.1))
    return np.asarray(noisy, np.float32)


def blur(pixels_HW: Floats, sigma_px: float) -> Floats:
    """A wider point spread (Gaussian)."""
    return np.asarray(cv2.GaussianBlur(pixels_HW, (0, 0), sigma_px), np.float32)


def add_noise(pixels_HW: Floats, sigma: float, rng: np.random.Generator) -> Floats:
    """Independent Gaussian noise, in units of the frame's standard deviation."""
    return pixels_HW + rng.standard_normal(pixels_HW.shape, np.float32) * np.float32(sigma)
