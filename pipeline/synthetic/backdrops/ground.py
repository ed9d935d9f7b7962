"""Ground from a low-flying aircraft: roads, parking places, roofs, trees and grass on a street grid."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, degrees, pi, sin

import numpy as np

from pipeline.synthetic.backdrops.base import Light, Places, View
from pipeline.synthetic.bands import BandLook
from pipeline.synthetic.fields import Field, Layer, blur, power_law, random_stream, smoothstep

_METRE_PX = 3.6


@dataclass(eq=False)
class _Canvas:
    """A picture being painted, in a frame turned by `angle`: `u` along the streets, `v` across."""

    level: Field
    angle: float

    def __post_init__(self) -> None:
        self.height, self.width = self.level.shape

    def to_xy(self, u: float, v: float) -> tuple[float, float]:
        """Street coordinates to scene pixels."""
        return (self.width / 2 + u * cos(self.angle) - v * sin(self.angle), self.height / 2 + u * sin(self.angle) + v * cos(self.angle))

    def box(
        self, u: float, v: float, half_u: float, half_v: float, level: Field | float, *, soft_px: float = 0.7, opacity: float = 1.0
    ) -> Field | None:
        """Paint a street-aligned rectangle; gives its cover within the touched window, None where it misses the scene."""
        x, y = self.to_xy(u, v)
        reach = float(np.hypot(half_u, half_v)) + 2 * soft_px + 1
        x0, x1 = int(np.clip(x - reach, 0, self.width)), int(np.clip(x + reach, 0, self.width))
        y0, y1 = int(np.clip(y - reach, 0, self.height)), int(np.clip(y + reach, 0, self.height))
        if x0 >= x1 or y0 >= y1:
            return None
        dx, dy = np.arange(x0, x1)[None, :] + 0.5 - x, np.arange(y0, y1)[:, None] + 0.5 - y
        along, across = dx * cos(self.angle) + dy * sin(self.angle), -dx * sin(self.angle) + dy * cos(self.angle)
        outside = np.maximum(np.abs(along) - half_u, np.abs(across) - half_v)
        cover = smoothstep(-outside, -soft_px, soft_px) * opacity
        part = self.level[y0:y1, x0:x1]
        paint = level if isinstance(level, float) else level[y0:y1, x0:x1]
        part += (paint - part) * cover
        return cover

    def tree(self, rng: np.random.Generator, x: float, y: float, radius: float, level: float) -> None:
        """Paint a crown: ragged, mottled, its sunny side warmer."""
        reach = int(radius * 1.5) + 2
        x0, x1 = int(np.clip(x - reach, 0, self.width)), int(np.clip(x + reach, 0, self.width))
        y0, y1 = int(np.clip(y - reach, 0, self.height)), int(np.clip(y + reach, 0, self.height))
        if x1 - x0 < 3 or y1 - y0 < 3:
            return
        dx, dy = np.arange(x0, x1)[None, :] + 0.5 - x, np.arange(y0, y1)[:, None] + 0.5 - y
        away = np.hypot(dx, dy) / radius
        leaves = blur(rng.standard_normal(away.shape), 0.9)
        leaves /= max(float(leaves.std()), 1e-9)
        cover = smoothstep(1.0 + 0.16 * leaves - away, -0.06, 0.12)
        lobe = 1.1 * np.clip(-(dx + dy) / radius, -1.0, 1.0)
        part = self.level[y0:y1, x0:x1]
        part += (level + 0.9 * leaves + lobe - part) * cover


class GroundBackdrop:
    """A piece of town, larger than the frame; the line of sight wanders over it."""

    def __init__(self, look: BandLook, view: View, seed: int) -> None:
        """Build the scene of `seed`."""
        rng = random_stream(seed, "ground")
        height, width = view.scene_shape
        scale = max(1.0, view.height_px / 640)
        metre = _METRE_PX * scale
        moist = power_law(rng, (height, width), 3.0, longest_px=120 * scale)
        tufts = power_law(rng, (height, width), 1.3, longest_px=16 * scale)
        canvas = _Canvas(look.grass_k + 0.9 * moist + 0.55 * tufts, float(rng.uniform(-0.5 * pi, 0.5 * pi)))
        worn = power_law(rng, (height, width), 2.2, longest_px=50 * scale)
        asphalt = look.asphalt_k + 0.5 * worn + 0.25 * power_law(rng, (height, width), 0.8)
        reach = float(np.hypot(height, width)) / 2 + 20
        roads: list[tuple[float, float, float, float]] = []
        walks: list[tuple[float, float, float, float]] = []
        parked: list[tuple[float, float, float]] = []
        block = 62.0 * metre
        streets = np.arange(-reach - rng.uniform(0, block), reach + block, block)
        for v in streets:
            _blocks(canvas, look, rng, v + block / 2, reach, block, metre, asphalt, parked, walks)
        for v in streets:
            _street(canvas, look, rng, float(v), reach, metre, asphalt, roads, walks)
        crossing = float(rng.uniform(-0.2, 0.2)) * reach
        canvas.box(crossing, 0.0, 3.6 * metre, reach, asphalt)
        lanes = (crossing - 1.7 * metre, crossing + 1.7 * metre)
        roads += [(*canvas.to_xy(lane, -reach), *canvas.to_xy(lane, reach)) for lane in lanes]
        _trees(canvas, look, rng, streets, reach, block, metre)
        texture = 0.18 * power_law(rng, (height, width), 0.5)
        self._shape = view.shape
        self._layer = Layer.fixed(blur(canvas.level + texture, look.optics.sigma_px))
        self.places = Places(roads=tuple(roads), walks=tuple(walks), parked=tuple(parked))

    def light(self, time_s: float, x_px: float, y_px: float) -> Light:
        """See `Backdrop.light`."""
        return Light(self._layer.window(x_px, y_px, self._shape))


def _street(
    canvas: _Canvas,
    look: BandLook,
    rng: np.random.Generator,
    v: float,
    reach: float,
    metre: float,
    asphalt: Field,
    roads: list[tuple[float, float, float, float]],
    walks: list[tuple[float, float, float, float]],
) -> None:
    """Pavements, kerbs, carriageway, dashes in its middle; two lanes and two pavements to move on."""
    canvas.box(0.0, v, reach, 6.4 * metre, look.asphalt_k - 1.8)
    canvas.box(0.0, v, reach, 4.2 * metre, look.asphalt_k + 1.4)
    canvas.box(0.0, v, reach, 3.9 * metre, asphalt)
    for u in np.arange(-reach, reach, 6.0 * metre):
        canvas.box(float(u), v, 1.4 * metre, 0.12 * metre, look.asphalt_k - 2.0, opacity=0.8)
    for lane, way in ((-1.9 * metre, -1.0), (1.9 * metre, 1.0)):
        roads.append((*canvas.to_xy(-way * reach, v + lane), *canvas.to_xy(way * reach, v + lane)))
    for side in (-5.3 * metre, 5.3 * metre):
        walks.append((*canvas.to_xy(-reach, v + side), *canvas.to_xy(reach, v + side)))
        for u in np.arange(-reach, reach, 24.0 * metre):
            x, y = canvas.to_xy(float(u) + rng.uniform(-2, 2) * metre, v + side * 0.86)
            canvas.tree(rng, x, y, float(rng.uniform(1.4, 2.6)) * metre, look.foliage_k - 3.2)


def _blocks(
    canvas: _Canvas,
    look: BandLook,
    rng: np.random.Generator,
    v: float,
    reach: float,
    block: float,
    metre: float,
    asphalt: Field,
    parked: list[tuple[float, float, float]],
    walks: list[tuple[float, float, float, float]],
) -> None:
    """Fill the strip between two streets with roofs, parking places and lawns."""
    u = -reach + rng.uniform(0, 20) * metre
    while u < reach:
        half_u = float(rng.uniform(9, 22)) * metre
        centre = u + half_u
        kind = rng.choice(["roof", "parking", "lawn"], p=[0.38, 0.34, 0.28])
        if kind == "roof":
            _roof(canvas, look, rng, centre, v + float(rng.uniform(-3, 3)) * metre, half_u * 0.85, float(rng.uniform(7, 15)) * metre, metre)
        elif kind == "parking":
            _parking(canvas, look, rng, centre, v, half_u, metre, asphalt, parked)
        else:
            path = v + float(rng.uniform(-8, 8)) * metre
            canvas.box(centre, path, half_u + 3 * metre, 1.1 * metre, look.asphalt_k - 1.2)
            walks.append((*canvas.to_xy(centre - half_u, path), *canvas.to_xy(centre + half_u, path)))
        u += 2 * half_u + float(rng.uniform(5, 12)) * metre


def _roof(
    canvas: _Canvas, look: BandLook, rng: np.random.Generator, u: float, v: float, half_u: float, half_v: float, metre: float
) -> None:
    """A flat roof: cold surface, warm parapet, a facade seen aslant, vents."""
    canvas.box(u + 1.8 * metre, v + 1.8 * metre, half_u, half_v, look.grass_k - 3.0, soft_px=2.5, opacity=0.6)
    canvas.box(u, v + 1.6 * metre, half_u, half_v, look.wall_k - 0.5)
    for window in np.arange(-half_u + 1.5 * metre, half_u - 1.5 * metre, 3.0 * metre):
        canvas.box(u + float(window), v + half_v + 0.8 * metre, 0.7 * metre, 0.45 * metre, look.wall_k - 4.0)
    canvas.box(u, v, half_u, half_v, look.roof_k + 4.5)
    canvas.box(u, v, half_u - 0.5 * metre, half_v - 0.5 * metre, look.roof_k + float(rng.normal(0.0, 1.5)))
    for _ in range(int(rng.integers(1, 5))):
        canvas.box(
            u + float(rng.uniform(-0.7, 0.7)) * half_u,
            v + float(rng.uniform(-0.6, 0.6)) * half_v,
            float(rng.uniform(0.4, 1.3)) * metre,
            float(rng.uniform(0.4, 1.0)) * metre,
            look.wall_k + float(rng.choice([-3.0, 4.0])),
        )


def _parking(
    canvas: _Canvas,
    look: BandLook,
    rng: np.random.Generator,
    u: float,
    v: float,
    half_u: float,
    metre: float,
    asphalt: Field,
    parked: list[tuple[float, float, float]],
) -> None:
    """Two rows of bays: some with a car, some with the cold print one left behind."""
    canvas.box(u, v, half_u, 11.0 * metre, asphalt)
    for row in (-8.0 * metre, 8.0 * metre):
        for bay in np.arange(-half_u + 1.6 * metre, half_u - 1.2 * metre, 2.9 * metre):
            canvas.box(u + float(bay) - 1.45 * metre, v + row, 0.07 * metre, 2.4 * metre, look.asphalt_k - 1.6, opacity=0.7)
            draw = rng.random()
            if draw < 0.42:
                # What its underside shades is cold.
                canvas.box(u + float(bay), v + row, 1.05 * metre, 2.4 * metre, look.asphalt_k - 3.0, soft_px=1.5, opacity=0.8)
                x, y = canvas.to_xy(u + float(bay), v + row)
                parked.append((x, y, degrees(canvas.angle) + (90.0 if rng.random() < 0.5 else -90.0)))
            elif draw < 0.62:
                canvas.box(u + float(bay), v + row, 0.95 * metre, 2.1 * metre, look.asphalt_k - 2.4, soft_px=2.5, opacity=0.75)


def _trees(canvas: _Canvas, look: BandLook, rng: np.random.Generator, streets: Field, reach: float, block: float, metre: float) -> None:
    """Clumps of trees in the strips between the streets."""
    for v in streets:
        for _ in range(int(reach / (14 * metre))):
            u, across = (
                float(rng.uniform(-reach, reach)),
                float(v) + block / 2 + float(rng.choice([-1.0, 1.0]) * rng.uniform(13, 22)) * metre,
            )
            for _ in range(int(rng.integers(2, 7))):
                x, y = canvas.to_xy(u + float(rng.normal(0, 4)) * metre, across + float(rng.normal(0, 1.5)) * metre)
                canvas.tree(rng, x, y, float(rng.uniform(1.6, 3.6)) * metre, look.foliage_k - 3.5 + float(rng.normal(0, 0.6)))
