"""Trees, bushes, houses and masts against the sky, and the field before them."""

from __future__ import annotations

import numpy as np

from pipeline.synthetic.backdrops.base import View
from pipeline.synthetic.bands import BandLook
from pipeline.synthetic.fields import Field, blur, centres, power_law, smoothstep, unit_variance


def build_skyline(look: BandLook, view: View, rng: np.random.Generator, horizon_px: float) -> tuple[Field, Field, float]:
    """Draw everything that stands before the sky.

    Returns:
        `(cover, level, top_px)`: part of the sky hidden, 0 to 1; its level in kelvin, both of the scene's shape; the
        row of the highest tree top.
    """
    height, width = view.scene_shape
    scale = view.height_px / 256
    rows, columns = centres(height)[:, None], centres(width)[None, :]
    ground_px = horizon_px + _wander(rng, width, 2.5 * scale)
    style = rng.choice(["wood", "bushes", "roofs"], p=[0.45, 0.25, 0.3])
    tops = ground_px - _tree_heights(rng, width, scale, sparse=style != "wood")
    ragged = power_law(rng, (height, width), 1.6, longest_px=14 * scale)
    trees = smoothstep(rows - tops + 1.6 * scale * ragged, -0.8, 1.4)
    level = _foliage(look, rng, (height, width), scale)
    # Sky shines through between crowns, most near the tops.
    gaps = smoothstep(ragged, 0.7, 1.7) * smoothstep(-(rows - tops), -9.0 * scale, -1.0)
    cover = trees * (1.0 - 0.55 * gaps)
    if style == "roofs":
        cover, level = _houses(look, rng, cover, level, horizon_px, scale)
    if rng.random() < 0.5:
        mast_x, mast_top = rng.uniform(0.1, 0.9) * width, horizon_px - rng.uniform(40, 70) * scale
        mast = smoothstep(0.8 * scale - np.abs(columns - mast_x), -0.5, 0.5) * (rows > mast_top) * (rows < horizon_px)
        cover, level = np.maximum(cover, mast), np.where(mast > 0.5, look.wall_k, level)
    field = smoothstep(rows - ground_px, -0.7, 0.7)
    level = level * (1 - field) + _field(look, rng, rows, horizon_px, (height, width), scale) * field
    cover = np.clip(blur(np.maximum(cover, field), 0.55), 0.0, 1.0)
    return cover, blur(level, 0.5), float(np.min(tops))


def _wander(rng: np.random.Generator, width: int, reach_px: float) -> Field:
    """A slowly rising and falling line, `(1, W)`."""
    line: Field = reach_px * power_law(rng, (8, width), 3.5)[:1]
    return line


def _tree_heights(rng: np.random.Generator, width: int, scale: float, *, sparse: bool) -> Field:
    """Height of the crowns above the ground by column, `(1, W)` px."""
    columns = centres(width)
    heights: Field = np.zeros(width)
    stand = np.clip(0.75 + 0.35 * power_law(rng, (8, width), 3.0, longest_px=0.6 * width)[0], 0.05, 1.4)
    step = 4.0 * scale
    for centre in np.arange(-10.0, width + 10.0, step * (5.0 if sparse else 1.0)):
        at = centre + rng.normal(0.0, step)
        tall = rng.uniform(11, 22) * scale * stand[int(np.clip(at, 0, width - 1))]
        wide = rng.uniform(3.0, 6.5) * scale * (3.0 if sparse else 1.0)
        part = np.clip(1.0 - ((columns - at) / wide) ** 2, 0.0, None)
        heights = np.maximum(heights, tall * np.sqrt(part))
    heights = heights + 2.0 * scale + 1.3 * scale * power_law(rng, (8, width), 1.2, longest_px=10 * scale)[0]
    return heights[None, :]


def _foliage(look: BandLook, rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Field:
    """Leaves and trunks: upright streaks with mottled crowns."""
    # stretch_x < 1: structures are taller than wide.
    streaks = power_law(rng, shape, 1.8, stretch_x=0.28, longest_px=40 * scale)
    mottle = power_law(rng, shape, 2.0, longest_px=18 * scale)
    return look.foliage_k + 1.5 * streaks + 0.8 * mottle


def _field(look: BandLook, rng: np.random.Generator, rows: Field, horizon_px: float, shape: tuple[int, int], scale: float) -> Field:
    """Grass or stubble in perspective: fine and flat far away, coarse near."""
    away = np.clip((rows - horizon_px) / (70 * scale), 0.0, 1.0)
    far = power_law(rng, shape, 1.8, stretch_x=9.0, longest_px=60 * scale)
    near = power_law(rng, shape, 1.5, stretch_x=2.2, longest_px=30 * scale)
    patches = power_law(rng, shape, 3.2, stretch_x=4.0)
    base = look.grass_k if rng.random() < 0.5 else look.soil_k
    field: Field = base - 3.0 * away + 0.9 * patches + 0.8 * far * (1 - away) + 1.0 * near * away
    return field


def _houses(look: BandLook, rng: np.random.Generator, cover: Field, level: Field, horizon_px: float, scale: float) -> tuple[Field, Field]:
    """Flat-roofed blocks with windows before or among the trees."""
    width = cover.shape[1]
    cover, level = cover.copy(), level.copy()
    x = rng.uniform(-30, 30) * scale
    while x < width:
        wide, tall = rng.uniform(28, 80) * scale, rng.uniform(16, 52) * scale
        top, bottom = int(horizon_px - tall), int(horizon_px + 3 * scale)
        left, right = int(max(x, 0)), int(min(x + wide, width))
        if right - left > 6 and rng.random() < 0.75:
            wall = (
                look.wall_k + rng.normal(0.0, 1.2) + 0.4 * unit_variance(rng.standard_normal((bottom - top, right - left)).cumsum(axis=0))
            )
            pitch_y, pitch_x = max(int(9 * scale), 5), max(int(7 * scale), 4)
            row, column = np.arange(bottom - top)[:, None], np.arange(right - left)[None, :]
            pane = (row % pitch_y > pitch_y * 0.45) & (column % pitch_x > pitch_x * 0.4) & (row > pitch_y * 0.6)
            lit = rng.random((-(-(bottom - top) // pitch_y), -(-(right - left) // pitch_x)))
            shade = np.where(lit < 0.1, 3.0, -4.0 - 3.0 * lit)[row // pitch_y, column // pitch_x]
            wall = wall + pane * shade
            wall[: max(int(1.5 * scale), 1)] = look.wall_k + 3.0
            cover[top:bottom, left:right], level[top:bottom, left:right] = 1.0, wall
        x += wide + rng.uniform(0, 60) * scale
    return cover, level
