"""The skyline: woods, bare trees, halls, blocks of flats, fences, masts; and the field before them."""

from __future__ import annotations

import numpy as np

from synthetic.backdrops.base import View
from synthetic.backdrops.trees import bare_tree, wood_heights
from synthetic.bands import BandLook
from synthetic.fields import Field, blur, centres, power_law, smoothstep


def build_skyline(look: BandLook, view: View, rng: np.random.Generator, horizon_px: float) -> tuple[Field, Field, float]:
    """Draw everything that stands before the sky.

    Returns:
        `(cover, level, top_px)`: part of the sky hidden, 0 to 1; its level in kelvin, both of the scene's shape; the
        row of the highest tree top.
    """
    shape = view.scene_shape
    width = shape[1]
    scale = view.height_px / 256
    rows = centres(shape[0])[:, None]
    line: Field = 2.5 * scale * power_law(rng, (8, width), 3.5)[:1]
    ground_px = horizon_px + line
    style = str(rng.choice(["wood", "bare", "bushes", "built"], p=[0.3, 0.3, 0.15, 0.25]))
    tops = ground_px - wood_heights(rng, width, scale, sparse=style != "wood") * (0.55 if style == "bare" else 1.0)
    ragged = power_law(rng, shape, 1.5, longest_px=12 * scale)
    cover = smoothstep(rows - tops + 1.8 * scale * ragged, -0.8, 1.6)
    # Sky shines through between twigs, most near the tops.
    cover *= 1.0 - 0.7 * smoothstep(ragged, 0.3, 1.6) * smoothstep(tops - rows, -12.0 * scale, -1.0)
    level = _foliage(look, rng, shape, scale)
    top_px = float(np.min(tops))
    if style == "bare":
        for _ in range(int(rng.integers(5, 12))):
            tall = float(rng.uniform(20, 62)) * scale
            bare_tree(cover, rng, float(rng.uniform(0, width)), horizon_px + 3 * scale, tall)
    if style == "built":
        _buildings(look, rng, cover, level, horizon_px, scale)
    if rng.random() < 0.3:
        _mast(look, rng, cover, level, horizon_px, scale)
    field = smoothstep(rows - ground_px, -0.7, 0.7)
    level = level * (1 - field) + _field(look, rng, rows, horizon_px, shape, scale) * field
    cover = np.maximum(cover, field)
    if rng.random() < 0.4:
        _fence(look, rng, cover, level, horizon_px, scale)
    return np.clip(blur(cover, 0.5), 0.0, 1.0), blur(level, 0.5), top_px


def _foliage(look: BandLook, rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Field:
    """Leaves and trunks: upright streaks with mottled crowns."""
    # stretch_x < 1: structures are taller than wide.
    streaks = power_law(rng, shape, 1.4, stretch_x=0.25, longest_px=30 * scale)
    mottle = power_law(rng, shape, 1.8, longest_px=16 * scale)
    return look.foliage_k + 2.1 * streaks + 1.1 * mottle


def _field(look: BandLook, rng: np.random.Generator, rows: Field, horizon_px: float, shape: tuple[int, int], scale: float) -> Field:
    """Grass or stubble in perspective: fine and flat far away, coarse near; sometimes a road across."""
    away = np.clip((rows - horizon_px) / (70 * scale), 0.0, 1.0)
    far = power_law(rng, shape, 1.6, stretch_x=9.0, longest_px=60 * scale)
    near = power_law(rng, shape, 1.2, stretch_x=2.2, longest_px=24 * scale)
    patches = power_law(rng, shape, 3.2, stretch_x=5.0)
    base = (look.grass_k if rng.random() < 0.6 else look.soil_k) - float(rng.uniform(2.0, 7.0))
    field: Field = base - 2.0 * away + 1.3 * patches + 0.9 * far * (1 - away) + 1.3 * near * away
    if rng.random() < 0.4:
        slope = float(rng.uniform(-0.12, 0.12))
        middle = horizon_px + float(rng.uniform(14, 40)) * scale + slope * (centres(shape[1])[None, :] - shape[1] / 2)
        half = (2.0 + 0.1 * (middle - horizon_px)) * 0.9
        road = smoothstep(half - np.abs(rows - middle), -0.8, 0.8)
        field = field * (1 - road) + (look.asphalt_k - 5.0 + 0.3 * far) * road
    return field


def _buildings(look: BandLook, rng: np.random.Generator, cover: Field, level: Field, horizon_px: float, scale: float) -> None:
    """Halls and blocks of flats along the horizon, in place."""
    width = cover.shape[1]
    x = float(rng.uniform(-60, 20)) * scale
    while x < width:
        hall = rng.random() < 0.55
        wide = float(rng.uniform(70, 150) if hall else rng.uniform(22, 52)) * scale
        tall = float(rng.uniform(14, 26) if hall else rng.uniform(26, 64)) * scale
        top, bottom = int(horizon_px - tall), int(horizon_px + 3 * scale)
        left, right = int(max(x, 0)), int(min(x + wide, width))
        if right - left > 8:
            wall = _hall(look, rng, (bottom - top, right - left), scale) if hall else _flats(look, rng, (bottom - top, right - left), scale)
            cover[top:bottom, left:right], level[top:bottom, left:right] = 1.0, wall
        x += wide + float(rng.uniform(4, 70)) * scale


def _hall(look: BandLook, rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Field:
    """A ribbed wall, a bright roof edge, a few gates."""
    rows, columns = centres(shape[0])[:, None], centres(shape[1])[None, :]
    pitch = float(rng.uniform(2.6, 5.0)) * scale
    ribs = np.cos(2 * np.pi * columns / pitch)
    wall = look.wall_k - 2.0 + 0.9 * ribs + 0.6 * power_law(rng, shape, 3.0) + 1.5 * (rows / shape[0])
    for _ in range(int(rng.integers(1, 5))):
        gate, half = float(rng.uniform(0, shape[1])), float(rng.uniform(2.5, 6)) * scale
        wall = np.where((np.abs(columns - gate) < half) & (rows > 0.4 * shape[0]), look.wall_k - 6.0 + float(rng.normal(0, 2)), wall)
    return np.where(rows < max(2.2 * scale, 1.5), look.wall_k + 4.0, wall)


def _flats(look: BandLook, rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Field:
    """Floors of windows, each a little different; balconies; a warm stairwell."""
    rows, columns = centres(shape[0])[:, None], centres(shape[1])[None, :]
    floor, bay = float(rng.uniform(6.5, 9.0)) * scale, float(rng.uniform(4.5, 8.0)) * scale
    wall = look.wall_k + float(rng.normal(0, 1)) + 0.7 * power_law(rng, shape, 2.6) - 1.2 * (columns / shape[1])
    panes = smoothstep(np.sin(2 * np.pi * rows / floor), 0.0, 0.6) * smoothstep(np.sin(2 * np.pi * columns / bay), -0.1, 0.5)
    which = (np.floor(rows / floor).astype(int), np.floor(columns / bay).astype(int))
    shade = rng.normal(-3.5, 1.4, (int(shape[0] / floor) + 2, int(shape[1] / bay) + 2))[which]
    wall = wall + panes * shade
    ledge = smoothstep(np.cos(2 * np.pi * rows / floor), 0.75, 0.95)
    wall = wall + 1.2 * ledge
    stairs = float(rng.uniform(0.2, 0.8)) * shape[1]
    wall = wall + 2.0 * smoothstep(1.5 * scale - np.abs(columns - stairs), 0.0, 1.0)
    return np.where(rows < 1.6 * scale, look.wall_k + 3.0, wall)


def _mast(look: BandLook, rng: np.random.Generator, cover: Field, level: Field, horizon_px: float, scale: float) -> None:
    """A lamp post or a lattice mast, in place."""
    height, width = cover.shape
    rows, columns = centres(height)[:, None], centres(width)[None, :]
    x, top = float(rng.uniform(0.1, 0.9)) * width, horizon_px - float(rng.uniform(35, 75)) * scale
    half = 0.7 * scale * (1.0 + 0.8 * (rows - top) / max(horizon_px - top, 1.0))
    post = smoothstep(half - np.abs(columns - x), -0.5, 0.5) * ((rows > top) & (rows < horizon_px + 2))
    np.maximum(cover, post, out=cover)
    np.copyto(level, look.wall_k, where=post > 0.3)


def _fence(look: BandLook, rng: np.random.Generator, cover: Field, level: Field, horizon_px: float, scale: float) -> None:
    """Posts with wires, nearer than the field's far end, in place."""
    height, width = cover.shape
    rows, columns = centres(height)[:, None], centres(width)[None, :]
    foot, tall = horizon_px + float(rng.uniform(8, 26)) * scale, float(rng.uniform(14, 24)) * scale
    pitch, shift = float(rng.uniform(18, 34)) * scale, float(rng.uniform(0, 30))
    away = np.abs((columns + shift) % pitch - pitch / 2)
    post = smoothstep(0.9 * scale - away, -0.5, 0.5) * ((rows > foot - tall) & (rows < foot))
    wires = 0.3 * smoothstep(np.cos(2 * np.pi * (rows - foot) / (tall / 4)), 0.86, 1.0) * ((rows > foot - tall) & (rows < foot))
    part = np.maximum(post, wires)
    np.maximum(cover, part, out=cover)
    level += (look.wall_k + 1.5 - level) * part
