"""The Earth from orbit: coast, land and cloud tops, scrolling for ever."""

from __future__ import annotations

import numpy as np

from synthetic.backdrops.base import Light, Places, View
from synthetic.bands import BandLook
from synthetic.fields import Layer, blur, power_law, random_stream, smoothstep, unit_variance, warp


class OrbitBackdrop:
    """Coast line, hills and fields below, broken cloud above; clouds are nearer and pass a little faster."""

    def __init__(self, look: BandLook, view: View, seed: int) -> None:
        """Build the scene of `seed`."""
        rng = random_stream(seed, "orbit")
        height = view.scene_shape[0]
        shape = (-(-height // 64) * 64, -(-2 * view.width_px // 128) * 128)
        self._shape = view.shape
        terrain = power_law(rng, shape, 3.5, longest_px=0.7 * shape[1])
        coast = smoothstep(terrain, -0.45, -0.40)
        hills = power_law(rng, shape, 3.0, longest_px=40)
        slope = unit_variance(hills - np.roll(hills, (1, 1), (0, 1)))
        parcels = np.rint(1.3 * power_law(rng, shape, 2.0, longest_px=22)) * smoothstep(-np.abs(terrain - 0.4), -0.7, -0.2)
        rivers = smoothstep(-np.abs(power_law(rng, shape, 3.4, longest_px=140)), -0.035, -0.01) * smoothstep(terrain, -0.3, 0.0)
        land = 0.5 * (look.soil_k + look.grass_k) + 0.55 * slope + 0.5 * parcels + 1.6 * terrain
        wet = np.maximum(1 - coast, rivers)
        ground = land * (1 - wet) + (look.water_k - 2.5 + 0.5 * power_law(rng, shape, 3.2)) * wet
        # Convection: torn sheets with thick cores, colder the higher their tops.
        sheet = unit_variance(warp(power_law(rng, shape, 3.2, stretch_x=1.4, longest_px=0.4 * shape[1]), rng, 11.0))
        edge = float(rng.uniform(0.1, 0.8))
        cells = 0.55 + 0.45 * smoothstep(power_law(rng, shape, 2.4, longest_px=14), -1.2, 1.0)
        cover = np.clip(
            blur(smoothstep(sheet, edge, edge + 1.5) ** 1.3 * cells + 0.45 * smoothstep(sheet, edge + 0.4, edge + 1.6), 0.7), 0.0, 0.97
        )
        tall = np.clip(sheet - edge, 0.0, 2.5)
        lit = np.clip(sheet - np.roll(sheet, 2, axis=0), -0.6, 0.6)
        tops = look.cloud_k - 4.0 * tall + (2.0 + 0.5 * look.lit_cloud_k) * lit
        self._ground = Layer.endless(blur(ground, 0.7), view.width_px)
        self._cover = Layer.endless(cover, view.width_px)
        self._tops = Layer.endless(cover * tops, view.width_px)
        self.places = Places(sky_rows=(view.margin_y_px, view.margin_y_px + view.height_px))

    def light(self, time_s: float, x_px: float, y_px: float) -> Light:
        """See `Backdrop.light`."""
        ground = self._ground.window(x_px, y_px, self._shape)
        cover = self._cover.window(1.05 * x_px, y_px, self._shape)
        return Light(ground * (np.float32(1.0) - cover) + self._tops.window(1.05 * x_px, y_px, self._shape))
