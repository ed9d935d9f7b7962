"""Sky with clouds; alone, or above a tree line, hills or roofs."""

from __future__ import annotations

import numpy as np

from synthetic.backdrops.base import Light, Places, View
from synthetic.backdrops.skyline import build_skyline
from synthetic.bands import BandLook
from synthetic.fields import Field, Layer, Plane, blur, power_law, random_stream, sample, smoothstep, to_grid, unit_variance, warp


class Clouds:
    """Sky whose gradient stays while its clouds drift.

    Args:
        look: levels of the band.
        view: frame and margins.
        seed: of the scene.
        horizon_px: scene row of the horizon (may lie below the scene: then only high sky is seen).
        field_of_view_px: rows over which the sky goes from the horizon's level nearly to the zenith's.
    """

    def __init__(self, look: BandLook, view: View, seed: int, horizon_px: float, field_of_view_px: float) -> None:
        """Draw a cloud type, its cover and its wind, and build the layers."""
        rng = random_stream(seed, "clouds")
        height, width = view.scene_shape
        self._shape = view.shape
        self.horizon_px = horizon_px
        elevation = np.clip(horizon_px - np.arange(height)[:, None], 0.0, None) / field_of_view_px
        # Air near the horizon is thick and warm; a cold band lies above it where haze ends.
        gradient = look.zenith_k + (look.horizon_k - look.zenith_k) * np.exp(-2.6 * elevation)
        self._gradient = to_grid(np.broadcast_to(gradient, (height, 2)).astype(np.float64))
        kind = str(rng.choice(["veil", "streaks", "heaps", "clear"], p=[0.4, 0.25, 0.2, 0.15]))
        texture = self._texture(rng, kind, (height, self._period(width)), horizon_px, field_of_view_px)
        # Light comes from above: rims that face up are lit. Near the horizon they are too flat and too far to show it.
        smooth = blur(texture, 1.2)
        lit = np.clip(smooth - np.roll(smooth, 4, axis=0), 0.0, None)
        lit /= max(float(np.quantile(lit, 0.98)), 1e-6)
        lit *= 1.0 - np.exp(-np.clip(horizon_px - np.arange(height)[:, None], 0.0, None) / (0.3 * field_of_view_px))
        cover = np.clip(blur(self._cover(rng, kind, texture), 0.7), 0.0, 1.0)
        level = look.cloud_k + lit * look.lit_cloud_k + 1.3 * texture
        self._cover_layer = Layer.endless(cover, view.width_px)
        self._light_layer = Layer.endless(cover * level, view.width_px)
        self._wind_px_s = float(rng.uniform(0.3, 2.0) * rng.choice([-1.0, 1.0]))

    @staticmethod
    def _period(width_px: int) -> int:
        return -(-max(384, width_px) // 128) * 128

    @staticmethod
    def _texture(rng: np.random.Generator, kind: str, shape: tuple[int, int], horizon_px: float, field_of_view_px: float) -> Field:
        """Cloud texture, flatter and finer towards the horizon; mean 0, standard deviation 1."""
        height, width = shape
        stretch = {"streaks": float(rng.uniform(3.0, 6.0)), "heaps": float(rng.uniform(1.2, 1.8))}.get(kind, float(rng.uniform(1.4, 2.6)))
        up = np.clip(horizon_px - np.arange(height), 0.0, None)[:, None]
        near = 0.12 * field_of_view_px
        rows = 0.9 * up + 1.6 * near * np.log1p(up / near)
        rows -= rows.min()
        tall = -(-int(rows.max() + 2) // 64) * 64
        slope = float(rng.uniform(3.2, 3.8)) if kind == "veil" else float(rng.uniform(3.0, 3.4))
        soft = power_law(rng, (tall, width), slope, stretch_x=stretch, longest_px=0.6 * width)
        torn = warp(soft, rng, float(rng.uniform(5.0, 14.0)) * width / 384)
        return unit_variance(sample(torn, rows, np.broadcast_to(np.arange(width, dtype=np.float64)[None, :], shape)))

    @staticmethod
    def _cover(rng: np.random.Generator, kind: str, texture: Field) -> Field:
        """Share of the sky that the clouds hide, 0 to 1."""
        if kind == "veil":
            return smoothstep(texture, -2.4, 2.4) * float(rng.uniform(0.4, 0.75))
        edge = {"streaks": float(rng.uniform(-0.4, 0.5)), "heaps": float(rng.uniform(-0.2, 0.7)), "clear": 1.2}[kind]
        # Thin at the rim, thick inside: two edges, one soft, one less so.
        thin = smoothstep(texture, edge - 0.5, edge + float(rng.uniform(1.6, 2.4)))
        thick = smoothstep(texture, edge + 0.1, edge + float(rng.uniform(0.9, 1.6)))
        return (0.55 * thin + 0.45 * thick) * float(rng.uniform(0.75, 1.0))

    def window(self, time_s: float, x_px: float, y_px: float) -> Plane:
        """Sky of one frame, `(H, W)` float32, kelvin."""
        height = self._shape[0]
        drift = x_px + self._wind_px_s * time_s
        cover = self._cover_layer.window(drift, y_px, self._shape)
        light = self._light_layer.window(drift, y_px, self._shape)
        gradient = Layer(self._gradient).window(0.0, y_px, (height, 1))
        return gradient * (np.float32(1.0) - cover) + light


class SkyBackdrop:
    """High sky: clouds and nothing else."""

    def __init__(self, look: BandLook, view: View, seed: int) -> None:
        """Build the scene of `seed`."""
        height = view.scene_shape[0]
        rng = random_stream(seed, "sky")
        self._clouds = Clouds(look, view, seed, height * float(rng.uniform(1.0, 1.5)), height * float(rng.uniform(1.2, 2.2)))
        self.places = Places(sky_rows=(view.margin_y_px, view.margin_y_px + view.height_px))

    def light(self, time_s: float, x_px: float, y_px: float) -> Light:
        """See `Backdrop.light`."""
        return Light(self._clouds.window(time_s, x_px, y_px))


class SkylineBackdrop:
    """Sky above a tree line, bushes, roofs; a field before them."""

    def __init__(self, look: BandLook, view: View, seed: int) -> None:
        """Build the scene of `seed`."""
        height = view.scene_shape[0]
        rng = random_stream(seed, "skyline")
        horizon = view.margin_y_px + view.height_px * float(rng.uniform(0.72, 0.86))
        self._clouds = Clouds(look, view, seed, horizon, height * float(rng.uniform(0.5, 1.0)))
        cover, level, top = build_skyline(look, view, rng, horizon)
        self._shape = view.shape
        self._cover = Layer.fixed(cover)
        self._level = Layer.fixed(cover * level)
        self.places = Places(
            sky_rows=(view.margin_y_px, top),
            ground_rows=(horizon + 0.35 * (height - horizon), view.margin_y_px + view.height_px - 4.0),
        )

    def light(self, time_s: float, x_px: float, y_px: float) -> Light:
        """See `Backdrop.light`."""
        sky = self._clouds.window(time_s, x_px, y_px)
        return Light(sky, self._cover.window(x_px, y_px, self._shape), self._level.window(x_px, y_px, self._shape))
