"""The focal plane: noise, fixed pattern, bad pixels, drift, and counts of 8 to 16 bit."""

from __future__ import annotations

from dataclasses import dataclass
from math import sin, tau

import numpy as np
from numpy.typing import NDArray

from synthetic.bands import BandLook
from synthetic.display import DetailDisplay
from synthetic.fields import Plane, power_law, random_stream, to_grid

_SHUTTER_S = 90.0  # seconds between two flat-field corrections; the fixed pattern grows in between
_BLINK_FRAMES = 1024


@dataclass(frozen=True, slots=True)
class Scale:
    """Counts of a level: `counts = offset + per_k * kelvin`."""

    offset: float
    per_k: float

    @classmethod
    def of_counts(cls, bit_depth: int) -> Scale:
        """Raw counts, 9 to 16 bit: a scene of tens of kelvin fills a few per cent of the range, on a pedestal.

        16 bit is radiometric, hundredths of a kelvin (293.15 K at the ground).
        """
        if bit_depth == 16:
            return cls(29315.0, 100.0)
        return cls(round(0.44 * 2**bit_depth), {9: 2.0, 10: 4.0, 11: 6.0, 12: 10.0, 13: 16.0, 14: 25.0, 15: 45.0}[bit_depth])

    @classmethod
    def of_video(cls, shown_HW: Plane) -> Scale:
        """8-bit video: the background's span fills the grey scale but for some headroom; what is hotter saturates."""
        low, high = (float(np.rint(q * 64) / 64) for q in np.quantile(shown_HW.astype(np.float64), [0.003, 0.997]))
        # A flat scene is not stretched until only noise is left.
        per_k = round(188.0 / max(high - low, 5.0) * 256) / 256
        return cls(round(14.0 - low * per_k), per_k)


class Sensor:
    """A camera's electronics; everything it adds is a function of the seed and the frame's index.

    Args:
        look: noise of the band.
        shape: `(H, W)`.
        scale: level to counts.
        display: what an 8-bit camera does before it shows its levels; None for raw counts.
        bit_depth: 8 to 16; 8 gives uint8, more uint16.
        bad_ppm: bad pixels per million.
        seed: of the sensor.
    """

    def __init__(
        self, look: BandLook, shape: tuple[int, int], scale: Scale, display: DetailDisplay | None, bit_depth: int, bad_ppm: float, seed: int
    ) -> None:
        """Draw the fixed pattern and the bad pixels."""
        rng = random_stream(seed, "sensor")
        height, width = shape
        self._look, self._scale, self._display, self._bit_depth, self._seed, self._shape = look, scale, display, bit_depth, seed, shape
        column = look.column_noise_k * rng.standard_normal((1, width)) + 0.5 * look.column_noise_k * rng.standard_normal((height, 1))
        pixel = 0.5 * look.read_noise_k * rng.standard_normal(shape)
        self._pattern = to_grid(column + pixel)
        self._creep = to_grid(
            0.7 * look.column_noise_k * rng.standard_normal((1, width)) + 0.6 * look.read_noise_k * rng.standard_normal(shape)
        )
        away_y = (np.arange(height)[:, None] + 0.5) / height - rng.uniform(0.42, 0.58)
        away_x = (np.arange(width)[None, :] + 0.5) / width - rng.uniform(0.42, 0.58)
        shading = float(rng.uniform(0.4, 3.0)) * (away_y**2 + away_x**2) * 2.0 + 0.08 * power_law(rng, shape, 4.0)
        self._shading = to_grid(shading)
        self._gain = to_grid(1.0 + 0.004 * rng.standard_normal(shape))
        num_bad = round(bad_ppm * height * width / 1e6)
        self._bad = rng.choice(height * width, size=num_bad, replace=False)
        self._bad_kind = rng.choice(3, size=num_bad, p=[0.35, 0.35, 0.3])  # dead, hot, blinking
        self._bad_excess = to_grid(np.where(self._bad_kind == 0, -1.0, 1.0) * rng.uniform(1.5, 7.0, num_bad))
        # Random telegraph noise: each blinking pixel flips after 3 to 40 frames.
        flips = rng.random((_BLINK_FRAMES, num_bad)) < rng.uniform(0.025, 0.3, num_bad)
        self._blink = (np.cumsum(flips, axis=0) % 2).astype(bool)
        self._drift_phase = float(rng.uniform(0.0, tau))

    def noise_k(self, level_k: float) -> float:
        """Temporal noise (standard deviation, kelvin) of a pixel that sees `level_k`."""
        return float(np.sqrt(self._look.read_noise_k**2 + self._look.shot_noise_k * max(level_k - self._look.dark_k, 0.0)))

    def expose(self, light_HW: Plane, index: int, time_s: float) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Turn light (kelvin, float32) into counts of the frame `index`, taken at `time_s`."""
        look = self._look
        rng = random_stream(self._seed, "noise", index)
        since_shutter = np.float32((time_s % _SHUTTER_S) / _SHUTTER_S)
        drift_k = 0.5 * sin(tau * time_s / 240.0 + self._drift_phase)
        level = light_HW * self._gain + (self._shading + np.float32(round(drift_k * 1024) / 1024))
        level += self._pattern + self._creep * since_shutter
        noise = rng.standard_normal(self._shape, np.float32)
        if look.shot_noise_k:
            variance = np.maximum(light_HW - np.float32(look.dark_k), np.float32(0.0)) * np.float32(look.shot_noise_k)
            noise *= np.sqrt(variance + np.float32(look.read_noise_k**2))
        else:
            noise *= np.float32(look.read_noise_k)
        level += noise
        level += np.float32(0.35 * look.read_noise_k) * rng.standard_normal((self._shape[0], 1), np.float32)
        if self._display is not None:
            level = self._display.flatten(level)
        flat = level.reshape(-1)
        shown = (self._bad_kind < 2) | self._blink[index % _BLINK_FRAMES]
        flat[self._bad[shown]] += self._bad_excess[shown]
        counts: Plane = np.rint(level * np.float32(self._scale.per_k) + np.float32(self._scale.offset))
        np.clip(counts, 0, 2**self._bit_depth - 1, out=counts)
        if self._bit_depth == 8:
            video: NDArray[np.uint8] = counts.astype(np.uint8)
            return video
        raw: NDArray[np.uint16] = counts.astype(np.uint16)
        return raw
