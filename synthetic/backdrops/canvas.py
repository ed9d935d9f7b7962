"""A picture being painted from above, in the directions of a street grid."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import numpy as np

from synthetic.fields import Field, blur, smoothstep


@dataclass(eq=False)
class Canvas:
    """Levels of a scene, painted over and over. `u` runs along the streets, `v` across, both in pixels from the middle.

    Attributes:
        level: `(H, W)` float64, kelvin; changed in place.
        angle: of the streets, radians, clockwise on the screen.
    """

    level: Field
    angle: float

    def to_xy(self, u: float, v: float) -> tuple[float, float]:
        """Street coordinates to scene pixels."""
        height, width = self.level.shape
        return (width / 2 + u * cos(self.angle) - v * sin(self.angle), height / 2 + u * sin(self.angle) + v * cos(self.angle))

    def box(
        self, u: float, v: float, half_u: float, half_v: float, paint: Field | float, soft_px: float = 0.7, opacity: float = 1.0
    ) -> None:
        """Paint a street-aligned rectangle; `paint` is a level or a picture of the scene's shape to take it from."""
        window = self._window(u, v, float(np.hypot(half_u, half_v)) + 2 * soft_px + 1)
        if window is not None:
            along, across = self._street(u, v, window)
            outside = np.maximum(np.abs(along) - half_u, np.abs(across) - half_v)
            self._cover(window, smoothstep(-outside, -soft_px, soft_px) * opacity, paint)

    def ring(
        self, u: float, v: float, radius: float, half_width: float, paint: Field | float, stretch_u: float = 0.0, opacity: float = 1.0
    ) -> None:
        """Paint a ring, or a stadium-shaped track when stretched along `u`; with `half_width` >= `radius` a disc."""
        window = self._window(u, v, radius + half_width + stretch_u + 3)
        if window is not None:
            along, across = self._street(u, v, window)
            away = np.hypot(np.maximum(np.abs(along) - stretch_u, 0.0), across)
            self._cover(window, smoothstep(half_width - np.abs(away - radius), -0.7, 0.7) * opacity, paint)

    def tree(self, rng: np.random.Generator, u: float, v: float, radius: float, level: float) -> None:
        """Paint a crown: ragged, mottled, warmer on one side; and the cooled ground beside it."""
        self.ring(u + 0.35 * radius, v + 0.35 * radius, 0.0, 1.05 * radius, level + 1.5, opacity=0.45)
        window = self._window(u, v, 1.5 * radius + 2)
        if window is None or min(window[0].stop - window[0].start, window[1].stop - window[1].start) < 3:
            return
        along, across = self._street(u, v, window)
        fine, coarse = (blur(rng.standard_normal(along.shape), sigma) for sigma in (0.8, max(0.22 * radius, 0.8)))
        fine, coarse = fine / max(float(fine.std()), 1e-9), coarse / max(float(coarse.std()), 1e-9)
        cover = smoothstep(1.0 + 0.1 * fine + 0.14 * coarse - np.hypot(along, across) / radius, -0.06, 0.14)
        lobe = 1.2 * np.clip(-(along + across) / radius, -1.0, 1.0)
        self._cover(window, cover, level + 0.7 * fine + 1.0 * coarse + lobe)

    def _window(self, u: float, v: float, reach: float) -> tuple[slice, slice] | None:
        height, width = self.level.shape
        x, y = self.to_xy(u, v)
        x0, x1 = int(np.clip(x - reach, 0, width)), int(np.clip(x + reach + 1, 0, width))
        y0, y1 = int(np.clip(y - reach, 0, height)), int(np.clip(y + reach + 1, 0, height))
        return None if x0 >= x1 or y0 >= y1 else (slice(y0, y1), slice(x0, x1))

    def _street(self, u: float, v: float, window: tuple[slice, slice]) -> tuple[Field, Field]:
        """Street coordinates of a window's pixels, from `(u, v)`."""
        x, y = self.to_xy(u, v)
        dy = np.arange(window[0].start, window[0].stop)[:, None] + 0.5 - y
        dx = np.arange(window[1].start, window[1].stop)[None, :] + 0.5 - x
        return dx * cos(self.angle) + dy * sin(self.angle), -dx * sin(self.angle) + dy * cos(self.angle)

    def _cover(self, window: tuple[slice, slice], cover: Field, paint: Field | float) -> None:
        part = self.level[window]
        if not isinstance(paint, float) and paint.shape == self.level.shape:
            paint = paint[window]
        part += (paint - part) * cover
