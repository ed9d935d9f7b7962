"""Sea before a coast: hills behind the water with houses, lamps and roads that are warm and small, and no targets."""

from __future__ import annotations

import numpy as np

from synthetic.backdrops.base import Light, Places, View
from synthetic.backdrops.sea import SeaBackdrop
from synthetic.bands import BandLook
from synthetic.fields import Field, Layer, blur, centres, power_law, random_stream, smoothstep

_WATER_PX = 0.30
"""Vessels float between the water's edge and this share of the frame's height below it."""


class ShoreBackdrop:
    """The sea of `SeaBackdrop`; one to three ridges hide the sky above its far edge, the nearest with a village on it."""

    def __init__(self, look: BandLook, view: View, seed: int) -> None:
        """Build the scene of `seed`."""
        rng = random_stream(seed, "shore")
        self._sea = SeaBackdrop(look, view, seed, horizon=(0.22, 0.55))
        self._shape = view.shape
        edge_px = self._sea.horizon_px
        cover, level = _coast(look, rng, view, edge_px)
        self._cover, self._light = Layer.fixed(cover), Layer.fixed(cover * level)
        self.places = Places(
            sky_rows=self._sea.places.sky_rows,
            water_line_px=edge_px,
            water_rows=(edge_px + 1.5, edge_px + _WATER_PX * view.height_px),
        )

    def light(self, time_s: float, x_px: float, y_px: float) -> Light:
        """See `Backdrop.light`."""
        behind = self._sea.light(time_s, x_px, y_px).back_HW
        cover, light = (layer.window(x_px, y_px, self._shape) for layer in (self._cover, self._light))
        return Light(behind * (np.float32(1.0) - cover) + light)


def _coast(look: BandLook, rng: np.random.Generator, view: View, edge_px: float) -> tuple[Field, Field]:
    """Paint the land, the farthest ridge first.

    Returns:
        `(cover, level)`: part of sky and waves that it hides, 0 to 1; its level in kelvin, both of the scene's shape.
    """
    shape, scale = view.scene_shape, view.height_px / 256
    rows = centres(shape[0])[:, None]
    land: Field = np.zeros(shape)
    level: Field = np.full(shape, look.horizon_k)
    tall_px = float(rng.uniform(0.06, 0.95)) * edge_px
    ridges = int(rng.integers(1, 4))
    top_px: Field = np.full((1, shape[1]), edge_px)
    for number in range(ridges):
        near = (number + 1) / ridges
        profile = 1.0 + float(rng.uniform(0.05, 0.35)) * power_law(rng, (8, shape[1]), 3.6)[:1]
        trees = float(rng.uniform(0.1, 1.2)) * scale * power_law(rng, (8, shape[1]), 1.6)[:1]
        top_px = edge_px - np.clip(tall_px * (1.15 - 0.75 * near * (number > 0)) * profile + trees, 0.8 * scale, None)
        ridge = smoothstep(rows - top_px, -0.8, 0.8)
        haze = 0.55 * (1.0 - near) * float(rng.uniform(0.3, 1.0))
        ground = _slope(look, rng, shape, scale)
        level = level + (ground * (1 - haze) + look.horizon_k * haze - level) * ridge
        land = np.maximum(land, ridge)
    _strand(look, rng, level, edge_px, scale)
    _roads(look, rng, level, (top_px, edge_px), scale)
    _village(look, rng, level, (top_px, edge_px), scale)
    water = smoothstep(rows - edge_px, -0.8, 0.8)
    # An overcast sky is nearly as warm as the land, and a calm sea shows no waves but streaks of wind.
    overcast, calm = float(rng.beta(1.2, 0.6)), float(rng.uniform(0.0, 0.95))
    streaks = power_law(rng, shape, 2.2, stretch_x=8.0, longest_px=40 * scale)
    sheet = look.water_k + float(rng.uniform(-1.0, 1.0)) + 0.25 * streaks - 1.5 * np.clip((rows - edge_px) / view.height_px, 0.0, 1.0)
    air = look.horizon_k + float(rng.uniform(-2.0, 9.0)) * np.exp(-np.clip(edge_px - rows, 0.0, None) / view.height_px)
    level = level * land + air * (1 - land)
    cover = np.maximum(land, overcast)
    return cover * (1 - water) + calm * water, blur(level * (1 - water) + sheet * water, 0.6)


def _slope(look: BandLook, rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Field:
    """Fields, scrub and bare rock of a hillside: flat patches, seen from the side."""
    patches = power_law(rng, shape, 3.0, stretch_x=3.0, longest_px=90 * scale)
    scrub = power_law(rng, shape, 1.6, stretch_x=2.0, longest_px=14 * scale)
    bare = smoothstep(power_law(rng, shape, 2.8, stretch_x=3.5, longest_px=60 * scale), 0.4, 1.2)
    base = float(rng.uniform(0.0, 1.0))
    ground: Field = look.foliage_k * base + look.grass_k * (1 - base) + 1.1 * patches + float(rng.uniform(0.2, 0.8)) * scrub
    return ground + (look.soil_k + 2.5 - ground) * bare * float(rng.uniform(0.2, 0.9))


def _strand(look: BandLook, rng: np.random.Generator, level: Field, edge_px: float, scale: float) -> None:
    """Sand, rocks and walls along the water, warm or cold, in place."""
    rows, width = centres(level.shape[0])[:, None], level.shape[1]
    along = power_law(rng, (8, width), 3.0, longest_px=120 * scale)[:1]
    tall = np.clip(float(rng.uniform(1.0, 6.0)) * scale * (0.5 + along), 0.0, None)
    strand = smoothstep(rows - (edge_px - tall), -0.6, 0.6) * smoothstep(tall, 0.3, 1.0)
    level += (look.soil_k + float(rng.uniform(-3.0, 6.0)) - level) * strand


def _roads(look: BandLook, rng: np.random.Generator, level: Field, between: tuple[Field, float], scale: float) -> None:
    """Roads that climb the nearest ridge, in place."""
    rows, columns = centres(level.shape[0])[:, None], centres(level.shape[1])[None, :]
    top_px, edge_px = between
    for _ in range(int(rng.integers(0, 4))):
        climb = float(rng.uniform(-0.25, 0.25))
        middle = edge_px - float(rng.uniform(0.05, 0.9)) * (edge_px - top_px) + climb * (columns - columns.mean())
        middle = middle + 2.0 * scale * power_law(rng, (8, level.shape[1]), 3.0)[:1]
        road = smoothstep(0.8 * scale - np.abs(rows - middle), -0.7, 0.7) * (rows > top_px) * float(rng.uniform(0.3, 1.0))
        level += (look.asphalt_k + float(rng.uniform(-2.0, 3.0)) - level) * road


def _village(look: BandLook, rng: np.random.Generator, level: Field, between: tuple[Field, float], scale: float) -> None:
    """Houses in groups and lamps, from a pixel to a dozen, most warmer than the hill, in place."""
    rows, columns = centres(level.shape[0])[:, None], centres(level.shape[1])[None, :]
    top_px, edge_px = between
    for _ in range(int(rng.integers(2, 8))):
        middle, spread = float(rng.uniform(0, level.shape[1])), float(rng.uniform(3, 30)) * scale
        up, heat = float(rng.beta(0.8, 1.6)), float(rng.uniform(1.0, 16.0))
        for _ in range(int(rng.integers(1, 9))):
            x = float(rng.normal(middle, spread))
            tall_px = float(edge_px - top_px[0, int(np.clip(x, 0, level.shape[1] - 1))])
            y = edge_px - np.clip(up + float(rng.normal(0, 0.06)), 0.02, 0.97) * tall_px
            lamp = rng.random() < 0.35
            half_x = (0.45 if lamp else float(rng.uniform(0.7, 4.5))) * scale
            half_y = (0.45 if lamp else float(rng.uniform(0.5, 2.2))) * scale
            warm = heat * float(rng.uniform(0.4, 1.6)) if lamp or rng.random() < 0.85 else -4.0
            away = np.maximum(np.abs(columns - x) - half_x, np.abs(rows - y) - half_y)
            level += (look.wall_k + warm - level) * smoothstep(-away, -0.6, 0.6)
