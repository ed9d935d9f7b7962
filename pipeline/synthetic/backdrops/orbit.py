"""The Earth from orbit: coast, land and cloud tops, scrolling for ever."""

from __future__ import annotations

import numpy as np

from pipeline.synthetic.backdrops.base import Light, Places, View
from pipeline.synthetic.bands import BandLook
from pipeline.synthetic.fields import Layer, blur, power_law, random_stream, smoothstep, unit_variance, warp


class OrbitBackdrop:
    """Coast line, hills and fields below, broken cloud above; clouds are nearer and pass a little faster."""

    def __init__(self, look: BandLook, view: View, seed: int) -> None:
        """Build the scene of `seed`."""
        rng = random_stream(seed, "orbit")
        height = view.scene_shape[0]
        shape = (-(-height // 64) * 64, -(-2 * view.width_px // 128) * 128)
        self._shape = view.shape
        terrain = power_law(rng, shape, 3.1, longest_px=0.6 * shape[1])
        coast = smoothstep(terrain, 0.1, 0.16)
        hills = power_law(rng, shape, 2.4, longest_px=60)
        slope = unit_variance(hills - np.roll(hills, (1, 1), (0, 1)))
        parcels = np.rint(1.5 * power_law(rng, shape, 2.2, longest_px=40)) * 0.8
        land = 0.5 * (look.soil_k + look.grass_k) + 1.1 * slope + parcels + 1.2 * terrain
        water = look.water_k + 0.25 * power_law(rng, shape, 2.6)
        ground = land * coast + water * (1 - coast)
        wisps = unit_variance(warp(power_law(rng, shape, 2.7, stretch_x=1.5, longest_px=0.4 * shape[1]), rng, 9.0))
        edge = float(rng.uniform(0.2, 0.8))
        cover = blur(smoothstep(wisps, edge, edge + 1.1), 0.6) * 0.95
        tops = (
            look.cloud_k
            - 2.0
            + 1.8 * np.clip(wisps - np.roll(wisps, 2, axis=0), -2, 2) * (1 + 0.1 * abs(look.lit_cloud_k))
            - 3.0 * np.clip(wisps - edge, 0, 2)
        )
        self._ground = Layer.endless(blur(ground, 0.7), view.width_px)
        self._cover = Layer.endless(cover, view.width_px)
        self._tops = Layer.endless(cover * tops, view.width_px)
        self.places = Places(sky_rows=(view.margin_y_px, view.margin_y_px + view.height_px))

    def light(self, time_s: float, x_px: float, y_px: float) -> Light:
        """See `Backdrop.light`."""
        ground = self._ground.window(x_px, y_px, self._shape)
        cover = self._cover.window(1.05 * x_px, y_px, self._shape)
        return Light(ground * (np.float32(1.0) - cover) + self._tops.window(1.05 * x_px, y_px, self._shape))
