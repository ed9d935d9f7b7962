"""A piece of town from above: streets, roofs, parking places, sports fields, lawns, hedges, trees."""

from __future__ import annotations

from math import degrees

import numpy as np

from synthetic.backdrops.canvas import Canvas
from synthetic.bands import BandLook
from synthetic.fields import Field, power_law

Line = tuple[float, float, float, float]


class Town:
    """Paints a town and remembers where vehicles and people belong.

    Args:
        look: levels of the band.
        rng: random numbers.
        canvas: what to paint on; its lawns are there already.
        metre: pixels of a metre.

    Attributes:
        roads: lanes, scene pixels.
        walks: pavements and paths.
        parked: `(x, y, angle_deg)` of parked cars.
    """

    def __init__(self, look: BandLook, rng: np.random.Generator, canvas: Canvas, metre: float) -> None:
        """Paint everything."""
        self.roads: list[Line] = []
        self.walks: list[Line] = []
        self.parked: list[tuple[float, float, float]] = []
        self._look, self._rng, self._canvas, self._metre = look, rng, canvas, metre
        shape = canvas.level.shape
        self._reach = float(np.hypot(*shape)) / 2 + 20
        # Asphalt keeps the warmth of the day unevenly: broad shades, patches, tyre marks.
        broad = power_law(rng, shape, 3.4, longest_px=45 * metre)
        patches = power_law(rng, shape, 2.0, longest_px=10 * metre)
        self._asphalt: Field = look.asphalt_k + 1.5 * broad + 0.4 * patches + 0.1 * power_law(rng, shape, 0.8)
        self._block = 64.0 * metre
        self._cross_u = self._uniform(-0.3, 0.3) * self._reach
        streets = np.arange(-self._reach - self._uniform(0, self._block), self._reach + self._block, self._block)
        for v in streets:
            self._strip(float(v) + self._block / 2)
        for v in streets:
            self._street(float(v))
        self._crossroad(self._cross_u)
        self.parked = [place for place in self.parked if all(_away(place, road) > 3.5 * metre for road in self.roads)]

    def _uniform(self, low: float, high: float) -> float:
        return float(self._rng.uniform(low, high))

    def _line(self, u0: float, v0: float, u1: float, v1: float) -> Line:
        return (*self._canvas.to_xy(u0, v0), *self._canvas.to_xy(u1, v1))

    def _street(self, v: float) -> None:
        """Pavements, kerbs, carriageway with tyre marks and dashes; trees and lamps beside it."""
        canvas, look, metre, reach = self._canvas, self._look, self._metre, self._reach
        canvas.box(0.0, v, reach, 6.6 * metre, look.asphalt_k - 2.2)
        canvas.box(0.0, v, reach, 4.2 * metre, look.asphalt_k + 1.6)
        canvas.box(0.0, v, reach, 3.9 * metre, self._asphalt)
        for track in (-2.6, -1.1, 1.1, 2.6):
            canvas.box(0.0, v + track * metre, reach, 0.22 * metre, look.asphalt_k + 0.9, soft_px=0.3 * metre, opacity=0.35)
        for u in np.arange(-reach, reach, 6.0 * metre):
            canvas.box(float(u), v, 1.4 * metre, 0.09 * metre, look.asphalt_k - 2.0, opacity=0.8)
        for lane, way in ((-1.9 * metre, -1.0), (1.9 * metre, 1.0)):
            self.roads.append(self._line(-way * reach, v + lane, way * reach, v + lane))
        for side in (-5.5 * metre, 5.5 * metre):
            self.walks.append(self._line(-reach, v + side, reach, v + side))
            for u in np.arange(-reach, reach, self._uniform(9, 15) * metre):
                if self._rng.random() < 0.75:
                    self._tree(float(u) + self._uniform(-2, 2) * metre, v + side * self._uniform(1.15, 1.3), self._uniform(1.3, 3.0))
                elif self._rng.random() < 0.15:
                    canvas.ring(float(u), v + side * 0.86, 0.0, 0.28 * metre, look.wall_k + 6.0)

    def _crossroad(self, u: float) -> None:
        """A street across all others, with zebra crossings where it meets pavements."""
        canvas, look, metre, reach = self._canvas, self._look, self._metre, self._reach
        canvas.box(u, 0.0, 4.0 * metre, reach, look.asphalt_k + 1.2)
        canvas.box(u, 0.0, 3.7 * metre, reach, self._asphalt)
        self.roads += [
            self._line(u - 1.8 * metre, -reach, u - 1.8 * metre, reach),
            self._line(u + 1.8 * metre, reach, u + 1.8 * metre, -reach),
        ]
        for v in np.arange(-reach, reach, 0.5 * self._block):
            for stripe in np.arange(-3.2, 3.3, 1.0):
                canvas.box(u + float(stripe) * metre, float(v), 0.25 * metre, 1.5 * metre, look.asphalt_k - 2.2, opacity=0.8)

    def _strip(self, v: float) -> None:
        """Fill the strip between two streets, plot after plot."""
        u = -self._reach + self._uniform(0, 20) * self._metre
        while u < self._reach:
            half_u = self._uniform(11, 24) * self._metre
            kerb = self._cross_u - 7.0 * self._metre
            if u < kerb < u + 2 * half_u:
                # No plot lies across the crossroad: it ends before, or begins behind.
                half_u = (kerb - u) / 2
                if half_u < 8.0 * self._metre:
                    u = kerb + 14.0 * self._metre
                    continue
            plot = self._rng.choice(["roof", "parking", "sports", "lawn"], p=[0.3, 0.3, 0.2, 0.2])
            {"roof": self._roof, "parking": self._parking, "sports": self._sports, "lawn": self._lawn}[str(plot)](u + half_u, v, half_u)
            for _ in range(int(self._rng.integers(3, 11))):
                edge = self._uniform(16, 23) * (1 if self._rng.random() < 0.5 else -1)
                self._tree(u + self._uniform(0, 2) * half_u, v + edge * self._metre, self._uniform(1.4, 4.2))
            u += 2 * half_u + self._uniform(4, 10) * self._metre
            if kerb < u < kerb + 14.0 * self._metre:
                u = kerb + 14.0 * self._metre

    def _tree(self, u: float, v: float, radius_m: float) -> None:
        self._canvas.tree(self._rng, u, v, radius_m * self._metre, self._look.foliage_k - 3.6 + float(self._rng.normal(0, 0.7)))

    def _roof(self, u: float, v: float, half_u: float) -> None:
        """A flat roof: cold panels, warm parapet, a facade seen aslant, vents and a warm stair head."""
        canvas, look, metre = self._canvas, self._look, self._metre
        half_u, half_v = 0.9 * half_u, self._uniform(7, 14) * metre
        canvas.box(u + 2.5 * metre, v + 2.5 * metre, half_u, half_v, look.grass_k - 2.5, soft_px=0.8 * metre, opacity=0.6)
        canvas.box(u, v + 2.2 * metre, half_u, half_v, look.wall_k - 1.0)
        for window in np.arange(-half_u + 1.5 * metre, half_u - 1.5 * metre, 2.8 * metre):
            canvas.box(u + float(window), v + half_v + 1.2 * metre, 0.7 * metre, 0.6 * metre, look.wall_k - 3.0 + self._uniform(-1.5, 3.0))
        canvas.box(u, v, half_u, half_v, look.roof_k + 5.0)
        base = look.roof_k + float(self._rng.normal(1.0, 1.5))
        canvas.box(u, v, half_u - 0.5 * metre, half_v - 0.5 * metre, base)
        for seam in np.arange(-half_u + 3 * metre, half_u - metre, self._uniform(2.5, 6) * metre):
            canvas.box(u + float(seam), v, 0.12 * metre, half_v - 0.5 * metre, base + 1.6, opacity=0.8)
        for _ in range(int(self._rng.integers(2, 7))):
            warm = float(self._rng.choice([-2.5, 1.5, 3.0]))
            place = (u + self._uniform(-0.7, 0.7) * half_u, v + self._uniform(-0.6, 0.6) * half_v)
            canvas.box(place[0] + 0.4 * metre, place[1] + 0.4 * metre, 1.2 * metre, 0.9 * metre, base - 1.5, opacity=0.6)
            canvas.box(*place, self._uniform(0.4, 1.4) * metre, self._uniform(0.4, 1.0) * metre, base + warm)

    def _parking(self, u: float, v: float, half_u: float) -> None:
        """Two rows of bays: some with a car, some with the cold print one left behind."""
        canvas, look, metre = self._canvas, self._look, self._metre
        canvas.box(u, v, half_u, 12.0 * metre, self._asphalt)
        for row in (-8.6 * metre, 8.6 * metre):
            for bay in np.arange(-half_u + 1.6 * metre, half_u - 1.2 * metre, 2.8 * metre):
                canvas.box(u + float(bay) - 1.4 * metre, v + row, 0.07 * metre, 2.4 * metre, look.asphalt_k - 1.6, opacity=0.6)
                draw = self._rng.random()
                if draw < 0.5:
                    canvas.box(u + float(bay), v + row, 1.1 * metre, 2.5 * metre, look.asphalt_k - 3.2, soft_px=0.35 * metre, opacity=0.8)
                    turned = degrees(canvas.angle) + (90.0 if self._rng.random() < 0.5 else -90.0)
                    self.parked.append((*canvas.to_xy(u + float(bay), v + row), turned))
                elif draw < 0.72:
                    faded = self._uniform(0.35, 0.8)
                    canvas.box(u + float(bay), v + row, 0.9 * metre, 2.1 * metre, look.asphalt_k - 2.6, soft_px=0.5 * metre, opacity=faded)
        self.walks.append(self._line(u - half_u, v + self._uniform(-3, 3) * metre, u + half_u, v + self._uniform(-3, 3) * metre))

    def _sports(self, u: float, v: float, half_u: float) -> None:
        """A court or a track around a lawn, with its lines."""
        canvas, look, metre = self._canvas, self._look, self._metre
        lines = look.asphalt_k - 1.8
        if self._rng.random() < 0.5:
            radius, stretch = 10.0 * metre, max(half_u - 13.0 * metre, 2.0)
            canvas.ring(u, v, radius, 2.6 * metre, look.asphalt_k + 0.8, stretch_u=stretch)
            for lane in (-2.6, -0.9, 0.9, 2.6):
                canvas.ring(u, v, radius + lane * metre, 0.09 * metre, lines, stretch_u=stretch)
        else:
            canvas.box(u, v, half_u, 12.0 * metre, self._asphalt)
            for half_width, half_height in ((0.92 * half_u, 11.0 * metre), (0.3 * half_u, 5.0 * metre)):
                for side in (-1.0, 1.0):
                    canvas.box(u, v + side * half_height, half_width, 0.09 * metre, lines)
                    canvas.box(u + side * half_width, v, 0.09 * metre, half_height, lines)
            canvas.ring(u, v, 3.0 * metre, 0.09 * metre, lines)
        for row in (-6.0, 0.0, 6.0):
            self.walks.append(self._line(u - half_u, v + row * metre, u + half_u, v + self._uniform(-8, 8) * metre))

    def _lawn(self, u: float, v: float, half_u: float) -> None:
        """Grass with a path, shrubs and a hedge."""
        canvas, look, metre = self._canvas, self._look, self._metre
        path = v + self._uniform(-6, 6) * metre
        canvas.ring(u, path, self._uniform(3, 6) * metre, 1.0 * metre, look.asphalt_k - 1.0)
        canvas.box(u, path, half_u + 3 * metre, 0.9 * metre, look.asphalt_k - 1.0)
        self.walks.append(self._line(u - half_u, path, u + half_u, path))
        hedge = v + self._uniform(9, 13) * metre * (1 if self._rng.random() < 0.5 else -1)
        for at in np.arange(-half_u, half_u, 1.3 * metre):
            self._tree(u + float(at), hedge, self._uniform(0.8, 1.2))
        for _ in range(int(self._rng.integers(2, 9))):
            self._tree(u + self._uniform(-1, 1) * half_u, v + self._uniform(-12, 12) * metre, self._uniform(0.7, 3.6))


def _away(place: tuple[float, float, float], line: Line) -> float:
    """Distance of a place from an endless line, pixels."""
    span_x, span_y = line[2] - line[0], line[3] - line[1]
    return abs((place[0] - line[0]) * span_y - (place[1] - line[1]) * span_x) / float(np.hypot(span_x, span_y))
