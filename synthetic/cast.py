"""The targets of a scene, and the ways they take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthetic.backdrops.base import Places, View
from synthetic.bands import BandLook
from synthetic.fields import random_stream
from synthetic.motion import Kind, Slot, Way

_FAR_AIRPLANE = Kind("airplane", "side", (1.0, 4.0), (0.4, 0.9), (25, 60))
_AIRPLANE = Kind("airplane", "side", (9, 26), (0.6, 1.1), (14, 30))
_AIRPLANE_TOP = Kind("airplane", "top", (2.5, 9), (0.6, 1.1), (14, 40))
_HELICOPTER = Kind("helicopter", "side", (9, 32), (0.6, 1.1), (16, 40), beat_hz=2.3)
_DRONE = Kind("drone", "side", (6, 22), (0.7, 1.2), (16, 36), beat_hz=3.7)
_DRONE_BELOW = Kind("drone", "below", (7, 22), (0.7, 1.2), (16, 36), beat_hz=3.7)
_FAR_DRONE = Kind("drone", "side", (1.5, 3.5), (0.5, 1.0), (16, 36), beat_hz=3.7)
_BIRD = Kind("bird", "side", (5, 15), (0.6, 1.1), (5, 11), beat_hz=3.1)
_WALKER = Kind("person", "side", (9, 17), (0.8, 1.3), (40, 90), beat_hz=1.1, grounded=True)
_CAR = Kind("car", "top", (19, 22), (0.7, 1.3), (10, 24), grounded=True)
_PARKED = Kind("car", "top", (19, 22), (0.8, 1.6), (1e6, 1e6), grounded=True)
_TRUCK = Kind("other_vehicle", "top", (34, 46), (0.6, 1.1), (14, 30), grounded=True)
_CYCLIST = Kind("bicycle", "top", (8.5, 10.5), (0.9, 1.4), (24, 45), beat_hz=1.0, grounded=True)
_PEDESTRIAN = Kind("person", "top", (7.5, 10.5), (0.9, 1.5), (60, 110), beat_hz=0.9, grounded=True)
_SHIP = Kind("other_vehicle", "side", (14, 48), (0.5, 1.0), (60, 120), grounded=True)
_FAR_SHIP = Kind("other_vehicle", "side", (3.5, 9), (0.5, 1.0), (60, 120), grounded=True)
_VESSEL = Kind("other_vehicle", "side", (5, 26), (0.2, 1.2), (60, 120))
_FAINT_VESSEL = Kind("other_vehicle", "side", (3.5, 12), (0.1, 0.5), (60, 120))

_CASTS: dict[str, tuple[tuple[Kind, ...], int]] = {
    "sky": ((_FAR_AIRPLANE, _DRONE_BELOW, _FAR_DRONE, _BIRD, _DRONE, _AIRPLANE, _HELICOPTER), 3),
    "skyline": ((_DRONE, _HELICOPTER, _BIRD, _DRONE_BELOW, _AIRPLANE, _WALKER, _FAR_DRONE), 3),
    "sea": ((_SHIP, _BIRD, _FAR_SHIP, _FAR_AIRPLANE, _HELICOPTER, _DRONE), 3),
    "ground": ((_CAR, _PEDESTRIAN, _PEDESTRIAN, _CAR, _CYCLIST, _PEDESTRIAN, _TRUCK, _PEDESTRIAN, _CAR, _CYCLIST), 12),
    "orbit": ((_AIRPLANE_TOP,), 3),
    "shore": ((_FAINT_VESSEL, _VESSEL, _BIRD, _FAINT_VESSEL, _HELICOPTER), 3),
}


def build_cast(scene: str, look: BandLook, view: View, places: Places, seed: int, num_targets: int | None) -> list[Slot]:
    """Fill a scene.

    Args:
        scene: name, see `settings.Scene`.
        look: levels of the band.
        view: frame and margins.
        places: where targets belong.
        seed: of the scene.
        num_targets: moving targets; None for the scene's usual number.

    Returns:
        Slots in drawing order; parked vehicles first.
    """
    kinds, usual = _CASTS[scene]
    rng = random_stream(seed, "cast")
    first = int(rng.integers(len(kinds)))
    # A larger frame sees more of the world, not larger targets, once it is beyond 640 px.
    crowd = max(1.0, (view.height_px / 640) ** 2 * 0.5)
    moving = [kinds[(first + n) % len(kinds)] for n in range(round(usual * crowd) if num_targets is None else num_targets)]
    parked = list(places.parked) if num_targets is None else []
    total = len(parked) + len(moving)
    slots = [_parked_slot(look, view, place, seed, number, total) for number, place in enumerate(parked)]
    for number, kind in enumerate(moving, start=len(parked)):
        slots.append(Slot(kind, _Planner(kind, look, view, places).plan, seed, number, total))
    return slots


def _parked_slot(look: BandLook, view: View, place: tuple[float, float, float], seed: int, number: int, total: int) -> Slot:
    x, y, angle = place

    def plan(rng: np.random.Generator) -> Way:
        size = float(rng.uniform(*_PARKED.size_px)) * _scale(view)
        # Most have cooled down below the asphalt; some have just come, or stood in the sun.
        contrast = float(rng.uniform(*_PARKED.contrast)) * look.vehicle_k * (-1.0 if rng.random() < 0.6 else 0.8)
        return Way((0.0, 1.0), (x, x), (y, y), (size, size), contrast, angle_deg=angle)

    return Slot(_PARKED, plan, seed, number, total)


def _scale(view: View) -> float:
    """Size of targets against a 256 px frame: grows slowly, since larger focal planes look wider rather than nearer."""
    return float((view.height_px / 256) ** 0.5)


class _Planner:
    """Draws ways for one kind of target in one scene."""

    def __init__(self, kind: Kind, look: BandLook, view: View, places: Places) -> None:
        self._kind, self._look, self._view, self._places = kind, look, view, places

    def plan(self, rng: np.random.Generator) -> Way:
        """Draw one way through the scene."""
        kind, places = self._kind, self._places
        level = {"person": self._look.person_k, "bicycle": self._look.person_k, "car": self._look.vehicle_k}.get(
            kind.label, self._look.craft_k
        )
        if kind.label == "other_vehicle":
            level = self._look.vehicle_k
        contrast = float(rng.uniform(*kind.contrast)) * level
        if not kind.grounded and self._look.bright_sky and rng.random() < 0.5:
            contrast = -contrast
        low, high = np.log(kind.size_px)
        size = float(np.exp(rng.uniform(low, high))) * _scale(self._view)
        if kind.view == "top" and kind.grounded:
            return self._along(rng, places.roads if kind.label in ("car", "other_vehicle") else places.walks, size, contrast)
        if places.water_line_px is not None and kind.label == "other_vehicle":
            return self._sail(rng, places.water_line_px, places.water_rows, size, contrast)
        if kind.grounded and places.ground_rows is not None:
            return self._cross(rng, places.ground_rows, size, contrast, 0.05)
        rows = places.sky_rows or (self._view.margin_y_px, self._view.margin_y_px + self._view.height_px)
        if kind.label in ("drone", "helicopter") and rng.random() < 0.6:
            return self._loiter(rng, rows, size, contrast)
        return self._cross(rng, rows, size, contrast, 0.5)

    def _edges(self, size: float) -> tuple[float, float]:
        """Columns just outside what any line of sight shows."""
        reach = size + self._look.optics.margin_px + 2
        return -reach, self._view.width_px + 2 * self._view.margin_x_px + reach

    def _cross(self, rng: np.random.Generator, rows: tuple[float, float], size: float, contrast: float, slant: float) -> Way:
        left, right = self._edges(size)
        half = 0.6 * size
        top, bottom = rows[0] + half, max(rows[1] - half, rows[0] + half + 1)
        y0 = float(rng.uniform(top, bottom))
        y1 = float(np.clip(y0 + rng.uniform(-slant, slant) * (bottom - top), top, bottom))
        back = bool(rng.random() < 0.5)
        x = (right, left) if back else (left, right)
        grow = 1.0 if self._kind.grounded else float(rng.uniform(0.8, 1.25))
        return Way(
            (0.0, 1.0),
            x,
            (y0, y1),
            (size, size * grow),
            contrast,
            sway_px=0.0 if self._kind.grounded else float(rng.uniform(0.0, 0.5 * size + 1.0)),
            sway_hz=float(rng.uniform(0.05, 0.3)),
            phase=float(rng.random()),
            angle_deg=0.0 if self._kind.view == "side" else None,
            mirrored=not back and self._kind.view == "side",
            transmission=float(rng.uniform(0.6, 1.0)),
        )

    def _loiter(self, rng: np.random.Generator, rows: tuple[float, float], size: float, contrast: float) -> Way:
        """Fly in, hang about, fly out."""
        left, right = self._edges(size)
        top, bottom = rows[0] + size, max(rows[1] - size, rows[0] + size + 1)
        inside_x = [self._view.margin_x_px + float(rng.uniform(0.15, 0.85)) * self._view.width_px for _ in range(3)]
        y = [float(rng.uniform(top, bottom)) for _ in range(5)]
        back = bool(rng.random() < 0.5)
        ends = (right, left) if rng.random() < 0.5 else (left, right)
        return Way(
            (0.0, 0.15, 0.5, 0.85, 1.0),
            (ends[0], *inside_x, ends[1]),
            tuple(y),
            (size,) * 5,
            contrast,
            sway_px=float(rng.uniform(0.5, 4.0)),
            sway_hz=float(rng.uniform(0.1, 0.4)),
            phase=float(rng.random()),
            angle_deg=float(rng.uniform(-8, 8)),
            mirrored=back,
            transmission=float(rng.uniform(0.6, 1.0)),
        )

    def _along(self, rng: np.random.Generator, lines: Sequence[tuple[float, float, float, float]], size: float, contrast: float) -> Way:
        """Along a road or a pavement, only its piece inside the scene."""
        inside = [line for line in (self._clip(line, size) for line in lines) if line is not None]
        if not inside:
            height, width = self._view.scene_shape
            inside = [(0.0, height / 2, float(width), height / 2)]
        x0, y0, x1, y1 = inside[int(rng.integers(len(inside)))]
        if self._kind.label in ("person", "bicycle") and rng.random() < 0.5:
            x0, y0, x1, y1 = x1, y1, x0, y0
        upright = self._kind.label == "person"
        return Way(
            (0.0, 1.0),
            (x0, x1),
            (y0, y1),
            (size, size),
            contrast,
            sway_px=float(rng.uniform(0.2, 2.5)) if upright else 0.0,
            sway_hz=float(rng.uniform(0.02, 0.1)),
            phase=float(rng.random()),
            angle_deg=float(rng.uniform(-12, 12)) if upright else None,
        )

    def _clip(self, line: tuple[float, float, float, float], size: float) -> tuple[float, float, float, float] | None:
        """The piece of a line that the scene shows, with room to enter and leave; None where it misses it."""
        height, width = self._view.scene_shape
        parts = np.linspace(0.0, 1.0, 257)
        x, y = line[0] + (line[2] - line[0]) * parts, line[1] + (line[3] - line[1]) * parts
        shown = np.flatnonzero((x > -size) & (x < width + size) & (y > -size) & (y < height + size))
        if len(shown) < 30:
            return None
        first, last = shown[0], shown[-1]
        return float(x[first]), float(y[first]), float(x[last]), float(y[last])

    def _sail(self, rng: np.random.Generator, water_line_px: float, rows: tuple[float, float] | None, size: float, contrast: float) -> Way:
        """Ships sit with their water line on the sea, the larger the nearer; where there are rows for them, anywhere in these."""
        left, right = self._edges(size)
        y = water_line_px + size * float(rng.uniform(-0.02, 0.22))
        if rows is not None:
            y = max(rows[0] + (rows[1] - rows[0]) * float(rng.beta(1.0, 2.0)), rows[0] + 0.1 * size)
        back = bool(rng.random() < 0.5)
        x = (right, left) if back else (left, right)
        return Way(
            (0.0, 1.0),
            x,
            (y, y),
            (size, size),
            contrast,
            sway_px=0.01 * size,
            sway_hz=0.12,
            phase=float(rng.random()),
            angle_deg=0.0,
            mirrored=not back,
            transmission=float(rng.uniform(0.7, 1.0)),
        )
