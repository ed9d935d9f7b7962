"""Ground from a low-flying aircraft: a piece of town, larger than the frame."""

from __future__ import annotations

from math import pi

from synthetic.backdrops.base import Light, Places, View
from synthetic.backdrops.canvas import Canvas
from synthetic.backdrops.town import Town
from synthetic.bands import BandLook
from synthetic.fields import Layer, blur, power_law, random_stream

METRE_PX = 4.6
"""Pixels of a metre in a frame 256 px high; a frame four times as high shows twice the ground."""


class GroundBackdrop:
    """The line of sight wanders over the town; nothing in it moves by itself."""

    def __init__(self, look: BandLook, view: View, seed: int) -> None:
        """Build the scene of `seed`."""
        rng = random_stream(seed, "ground")
        shape = view.scene_shape
        metre = METRE_PX * (view.height_px / 256) ** 0.5
        moist = power_law(rng, shape, 3.2, longest_px=40 * metre)
        tufts = power_law(rng, shape, 1.2, longest_px=3 * metre)
        canvas = Canvas(look.grass_k + 1.5 * moist + 0.25 * tufts, float(rng.uniform(-0.5 * pi, 0.5 * pi)))
        town = Town(look, rng, canvas, metre)
        texture = 0.07 * power_law(rng, shape, 0.5)
        self._shape = view.shape
        self._layer = Layer.fixed(blur(canvas.level + texture, max(look.optics.sigma_px, 0.75)))
        self.places = Places(roads=tuple(town.roads), walks=tuple(town.walks), parked=tuple(town.parked))

    def light(self, time_s: float, x_px: float, y_px: float) -> Light:
        """See `Backdrop.light`."""
        return Light(self._layer.window(x_px, y_px, self._shape))
