"""Trees seen from the side: bare ones branch by branch, and the outline of a wood."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np

from synthetic.fields import Field, centres, power_law


def bare_tree(cover: Field, rng: np.random.Generator, x_px: float, foot_px: float, height_px: float) -> None:
    """Draw a leafless tree into a cover picture `(H, W)`, 0 to 1: trunk, boughs, twigs down to a tenth of a pixel."""
    trunk = (x_px, foot_px, -pi / 2 + float(rng.normal(0.0, 0.04)), 0.30 * height_px, max(0.03 * height_px, 0.8))
    growing = [trunk]
    while growing:
        x, y, angle, length, thickness = growing.pop()
        end_x, end_y = x + length * cos(angle), y + length * sin(angle)
        _stroke(cover, (x, y), (end_x, end_y), thickness, 0.72 * thickness)
        if length < 2.2 or thickness < 0.12:
            continue
        for _ in range(int(rng.integers(2, 4))):
            turned = angle + float(rng.normal(0.0, 0.48))
            # Twigs strive upwards a little.
            turned += 0.12 * sin(-pi / 2 - turned)
            growing.append((end_x, end_y, turned, length * float(rng.uniform(0.62, 0.86)), 0.64 * thickness))


def _stroke(cover: Field, start: tuple[float, float], end: tuple[float, float], thick_start: float, thick_end: float) -> None:
    """A tapering line with soft edges; thinner than a pixel it hides less."""
    height, width = cover.shape
    reach = thick_start + 1.0
    x0, x1 = int(max(min(start[0], end[0]) - reach, 0)), int(min(max(start[0], end[0]) + reach + 1, width))
    y0, y1 = int(max(min(start[1], end[1]) - reach, 0)), int(min(max(start[1], end[1]) + reach + 1, height))
    if x0 >= x1 or y0 >= y1:
        return
    x, y = np.arange(x0, x1)[None, :] + 0.5, np.arange(y0, y1)[:, None] + 0.5
    span_x, span_y = end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - start[0]) * span_x + (y - start[1]) * span_y) / max(span_x**2 + span_y**2, 1e-9), 0.0, 1.0)
    away = np.hypot(x - start[0] - along * span_x, y - start[1] - along * span_y)
    thick = thick_start + along * (thick_end - thick_start)
    part = np.clip(0.5 * thick + 0.5 - away, 0.0, 1.0) * np.minimum(thick, 1.0)
    window = cover[y0:y1, x0:x1]
    np.maximum(window, part, out=window)


def wood_heights(rng: np.random.Generator, width: int, scale: float, *, sparse: bool) -> Field:
    """Height of crowns above the ground by column, `(1, W)` px: leafy and needle trees side by side."""
    columns = centres(width)
    heights: Field = np.zeros(width)
    stand = np.clip(0.75 + 0.4 * power_law(rng, (8, width), 3.0, longest_px=0.6 * width)[0], 0.05, 1.5)
    step = 4.0 * scale
    for centre in np.arange(-10.0, width + 10.0, step * (5.0 if sparse else 1.0)):
        at = centre + rng.normal(0.0, step)
        tall = rng.uniform(9, 24) * scale * stand[int(np.clip(at, 0, width - 1))]
        wide = rng.uniform(3.0, 6.5) * scale * (3.0 if sparse else 1.0)
        away = np.abs(columns - at) / wide
        needles = rng.random() < 0.35
        crown = np.clip(1.0 - 1.3 * away, 0.0, None) if needles else np.sqrt(np.clip(1.0 - away**2, 0.0, None))
        heights = np.maximum(heights, tall * (1.15 if needles else 1.0) * crown)
    heights = heights + 2.0 * scale + 1.4 * scale * power_law(rng, (8, width), 1.0, longest_px=9 * scale)[0]
    return heights[None, :]
