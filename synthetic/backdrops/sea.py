"""Sea to the horizon: travelling waves in perspective, the sun's glint on them, sky above."""

from __future__ import annotations

from math import cos, sin, sqrt, tau

import numpy as np

from synthetic.backdrops.base import Light, Places, View
from synthetic.backdrops.sky import Clouds
from synthetic.bands import BandLook
from synthetic.fields import Field, Plane, centres, power_law, random_stream, sample, shifted, smoothstep, to_grid

_OCTAVES = 6
_TILE = 512


class SeaBackdrop:
    """Sea and sky. Each octave of the wave spectrum travels as `A cos(wt) + B sin(wt)`, with `w` by the deep-water dispersion."""

    def __init__(self, look: BandLook, view: View, seed: int, horizon: tuple[float, float] = (0.26, 0.42)) -> None:
        """Build the scene of `seed`; `horizon`: least and largest part of the frame above the sea."""
        rng = random_stream(seed, "sea")
        height, width = view.scene_shape
        self._shape = view.shape
        self.horizon_px = view.margin_y_px + view.height_px * float(rng.uniform(*horizon))
        horizon_px = self.horizon_px
        self._clouds = Clouds(look, view, seed, horizon_px, height * float(rng.uniform(0.5, 0.9)))
        below = centres(height)[:, None] - horizon_px
        depth = np.clip(below, 0.0, None) * 256 / view.height_px + 2.0
        across = (np.arange(width)[None, :] - width / 2) * 256 / view.height_px
        self._waves: list[tuple[Plane, Plane, float]] = []
        for octave in range(_OCTAVES):
            cosine, sine = _octave(rng, depth, across, octave)
            self._waves.append((to_grid(cosine), to_grid(sine), sqrt(2.0**octave) * 1.1))
        cosine, sine = _far(rng, depth, across)
        self._waves.append((to_grid(cosine), to_grid(sine), 2.3))
        # Looking flatter, the sea mirrors the warm or cold low sky more and shows its own temperature less.
        flat = np.exp(-depth / 34.0)
        mirrored = 0.35 * look.horizon_k + 0.65 * look.water_k
        sun_x = float(rng.uniform(-0.35, 0.35)) * 256
        lane = np.exp(-(((across - sun_x) / (14.0 + 0.42 * depth)) ** 2))
        # Far away the glints run together into a bright lane.
        self._calm = to_grid(
            0.22 * look.glint_k * lane * flat
            + np.broadcast_to(look.water_k + (mirrored - look.water_k) * flat + 0.6 * depth / 180.0, (height, width))
        )
        self._swing = to_grid(np.broadcast_to((0.9 + 0.03 * abs(look.glint_k)) * (1.0 - 0.6 * flat), (height, width)))
        self._glint = to_grid(look.glint_k * lane * (0.35 + 0.65 * np.exp(-depth / 90.0)))
        self._water = to_grid(np.broadcast_to(smoothstep(below, -0.8, 0.8), (height, width)))
        self.places = Places(
            sky_rows=(view.margin_y_px, horizon_px - 4.0),
            water_line_px=horizon_px,
            ground_rows=None,
        )

    def light(self, time_s: float, x_px: float, y_px: float) -> Light:
        """See `Backdrop.light`."""
        height, width = self._shape
        row, column = round(y_px * 256) // 256, round(x_px * 256) // 256
        part_y, part_x = round(y_px * 256) % 256 / 256, round(x_px * 256) % 256 / 256
        part = (slice(row, row + height + 1), slice(column, column + width + 1))
        slope: Plane = np.zeros((height + 1, width + 1), np.float32)
        for cosine, sine, pulse in self._waves:
            slope += cosine[part] * np.float32(cos(pulse * time_s)) + sine[part] * np.float32(sin(pulse * time_s))
        facet = np.maximum(slope - np.float32(0.55), np.float32(0.0))
        sea = self._calm[part] + self._swing[part] * slope + self._glint[part] * np.minimum(facet * facet, np.float32(1.6))
        wet = self._water[part]
        sky = self._clouds.window(time_s, x_px, y_px)
        water = shifted(wet, part_x, part_y)
        return Light(sky * (np.float32(1.0) - water) + shifted(sea * wet, part_x, part_y))


def _octave(rng: np.random.Generator, depth: Field, across: Field, octave: int) -> tuple[Field, Field]:
    """Two quadrature pictures of one octave of waves, in perspective, faded out where it is too fine for the pixels."""
    frequency_y, frequency_x = np.fft.fftfreq(_TILE)[:, None], np.fft.fftfreq(_TILE)[None, :]
    k = np.hypot(frequency_y, frequency_x)
    band = np.exp(-((np.log2(np.maximum(k, 1e-6) * 14.0) / 0.55) ** 2))
    # Waves travel roughly with the wind: towards the viewer and to one side.
    wind = tau * rng.uniform(0.15, 0.35)
    along = (frequency_x * np.cos(wind) + frequency_y * np.sin(wind)) / np.maximum(k, 1e-6)
    spectrum = np.fft.fft2(rng.standard_normal((_TILE, _TILE))) * band * np.clip(along, 0.0, 1.0)
    travelling = np.fft.ifft2(spectrum)
    travelling /= max(float(travelling.real.std()), 1e-12)
    rate = 2.0**octave
    # Ground coordinates: x grows as 1 / depth, range as 1 / depth as well (flat sea, camera close above it).
    u, v = rate * across * 26.0 / depth, rate * 5200.0 / depth
    rate_v = rate * 5200.0 / depth**2
    # A wave of 14 samples must span at least about 3 px, else it is not drawn but averages out.
    seen = smoothstep(-np.log2(rate_v), -2.3, -1.2)
    gain = 0.60 * 0.84**octave * seen
    v = np.broadcast_to(v, u.shape)
    return sample(travelling.real, v, u) * gain, sample(travelling.imag, v, u) * gain


def _far(rng: np.random.Generator, depth: Field, across: Field) -> tuple[Field, Field]:
    """Waves too far to be seen one by one: short flat streaks that come and go."""
    rows, columns = 34.0 * np.log(depth), across * 1.1
    fade = 0.75 * np.exp(-depth / 40.0) * smoothstep(depth, 2.0, 7.0)
    streaks = [power_law(rng, (_TILE, _TILE), 0.9, stretch_x=4.0, longest_px=20) for _ in range(2)]
    cosine, sine = (sample(field, *np.broadcast_arrays(rows, columns)) for field in streaks)
    return cosine * fade, sine * fade
