"""Silhouettes: what targets look like before the optics, as a few warm parts each.

A silhouette lives in a square of side 2 around the origin (x right, y down), so its longest side is about 2. Parts are
painted in order; `heat` is relative to the target's own contrast (1 = the body, > 1 = engines and motors,
0 = as the background), `cover` how much of the background a part hides (rotor discs are thin).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, radians, sin, tau

import numpy as np
from numpy.typing import NDArray

from synthetic.fields import Field

Inside = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Capsule:
    """A rounded stroke from `start` to `end`, radius changing from `radius` to `radius_end`."""

    start: tuple[float, float]
    end: tuple[float, float]
    radius: float
    radius_end: float
    heat: float = 1.0
    cover: float = 1.0

    def inside(self, x: Field, y: Field) -> Inside:
        """True for the points that lie in it."""
        span_x, span_y = self.end[0] - self.start[0], self.end[1] - self.start[1]
        length2 = max(span_x**2 + span_y**2, 1e-12)
        along = np.clip(((x - self.start[0]) * span_x + (y - self.start[1]) * span_y) / length2, 0.0, 1.0)
        away2 = (x - self.start[0] - along * span_x) ** 2 + (y - self.start[1] - along * span_y) ** 2
        inside: Inside = away2 <= (self.radius + along * (self.radius_end - self.radius)) ** 2
        return inside


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An ellipse with half axes `(half_x, half_y)`."""

    centre: tuple[float, float]
    half_x: float
    half_y: float
    heat: float = 1.0
    cover: float = 1.0

    def inside(self, x: Field, y: Field) -> Inside:
        """True for the points that lie in it."""
        inside: Inside = ((x - self.centre[0]) / self.half_x) ** 2 + ((y - self.centre[1]) / self.half_y) ** 2 <= 1.0
        return inside


@dataclass(frozen=True, slots=True)
class Slab:
    """A rectangle with half sides `(half_x, half_y)` and corners rounded by `rounding`."""

    centre: tuple[float, float]
    half_x: float
    half_y: float
    rounding: float = 0.0
    heat: float = 1.0
    cover: float = 1.0

    def inside(self, x: Field, y: Field) -> Inside:
        """True for the points that lie in it."""
        out_x = np.maximum(np.abs(x - self.centre[0]) - (self.half_x - self.rounding), 0.0)
        out_y = np.maximum(np.abs(y - self.centre[1]) - (self.half_y - self.rounding), 0.0)
        inside: Inside = out_x**2 + out_y**2 <= max(self.rounding, 1e-9) ** 2
        return inside


@dataclass(frozen=True, slots=True)
class Wedge:
    """A convex polygon; corners in order."""

    corners: tuple[tuple[float, float], ...]
    heat: float = 1.0
    cover: float = 1.0

    def inside(self, x: Field, y: Field) -> Inside:
        """True for the points that lie in it."""
        sides = []
        for (x0, y0), (x1, y1) in zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True):
            sides.append((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0))
        stacked = np.stack(np.broadcast_arrays(*sides))
        inside: Inside = np.logical_or((stacked >= 0).all(axis=0), (stacked <= 0).all(axis=0))
        return inside


Part = Capsule | Ellipse | Slab | Wedge


def _airplane_side(phase: float) -> tuple[Part, ...]:
    return (
        Wedge(((0.72, -0.04), (0.98, -0.36), (0.86, -0.36), (0.58, -0.06)), 0.9),
        Capsule((-0.9, 0.0), (0.95, -0.03), 0.125, 0.06),
        Wedge(((-0.15, 0.02), (0.2, 0.02), (0.42, 0.17), (0.3, 0.17)), 1.05),
        Capsule((-0.1, 0.14), (0.12, 0.14), 0.08, 0.07, 2.0),
        Wedge(((0.74, -0.05), (0.92, -0.05), (1.0, 0.03), (0.9, 0.03)), 0.9),
    )


def _airplane_top(phase: float) -> tuple[Part, ...]:
    parts: list[Part] = [Capsule((-0.95, 0.0), (0.95, 0.0), 0.075, 0.04)]
    for side in (-1.0, 1.0):
        parts += [
            Wedge(((-0.25, side * 0.03), (0.12, side * 0.03), (0.5, side * 0.9), (0.34, side * 0.9))),
            Wedge(((0.68, side * 0.02), (0.88, side * 0.02), (1.0, side * 0.32), (0.9, side * 0.32))),
            Capsule((-0.12, side * 0.3), (0.08, side * 0.3), 0.055, 0.05, 2.0),
        ]
    return tuple(parts)


def _helicopter_side(phase: float) -> tuple[Part, ...]:
    reach = 0.55 + 0.4 * abs(cos(tau * phase))
    return (
        Capsule((-0.25 - reach, -0.4), (-0.25 + reach, -0.4), 0.022, 0.022, 0.7, 0.7),
        Capsule((0.0, -0.06), (0.92, -0.12), 0.13, 0.035),
        Wedge(((0.82, -0.1), (0.98, -0.36), (0.9, -0.36), (0.76, -0.1))),
        Ellipse((0.95, -0.2), 0.1, 0.12, 0.6, 0.5),
        Ellipse((-0.3, 0.0), 0.42, 0.2),
        Capsule((-0.25, -0.16), (0.02, -0.2), 0.09, 0.07, 2.2),
        Capsule((-0.25, -0.36), (-0.25, -0.2), 0.03, 0.03),
        Capsule((-0.55, 0.3), (0.05, 0.3), 0.02, 0.02, 0.8),
    )


def _drone(flatness: float, phase: float) -> tuple[Part, ...]:
    """A quadcopter: four thick arms with warm motors, seen the more from below the larger `flatness` (0 to 1)."""
    reach = 0.12 + 0.16 * abs(cos(tau * phase))
    parts: list[Part] = []
    for side in (-1.0, 1.0):
        for along in (-1.0, 1.0):
            motor = (side * 0.74, along * 0.66 * flatness - 0.1 * (1.0 - flatness))
            parts += [
                Capsule((motor[0] - reach, motor[1] - 0.06), (motor[0] + reach, motor[1] - 0.06), 0.03, 0.03, 0.6, 0.6),
                Capsule((0.0, 0.0), motor, 0.13, 0.1, 1.0),
                Ellipse(motor, 0.15, 0.14, 1.4),
            ]
        parts.append(Capsule((side * 0.18, 0.1), (side * 0.3, 0.1 + 0.3 * (1.0 - flatness)), 0.04, 0.04, 0.7))
    return (*parts, Slab((0.0, 0.0), 0.3, 0.22, 0.1, 1.1), Ellipse((0.0, 0.1), 0.14, 0.12, 1.5))


def _drone_side(phase: float) -> tuple[Part, ...]:
    return _drone(0.18, phase)


def _drone_below(phase: float) -> tuple[Part, ...]:
    return _drone(0.75, phase)


def _bird_side(phase: float) -> tuple[Part, ...]:
    lift = sin(tau * phase)
    parts: list[Part] = [
        Ellipse((0.0, 0.0), 0.3, 0.13, 1.2),
        Ellipse((-0.32, -0.06), 0.12, 0.09, 1.4),
        Wedge(((0.2, -0.05), (0.55, 0.0), (0.2, 0.06)), 0.8),
    ]
    for side, tilt in ((-1.0, 0.1), (1.0, -0.05)):
        elbow = (side * 0.42, -0.28 * lift - 0.05)
        parts += [Capsule((0.0, -0.02), elbow, 0.2, 0.15, 0.9), Capsule(elbow, (side * 0.95, -0.62 * lift + tilt), 0.15, 0.05, 0.75)]
    return tuple(parts)


def _person_side(phase: float) -> tuple[Part, ...]:
    stride = 0.2 * sin(tau * phase)
    return (
        Capsule((0.0, 0.12), (stride, 0.88), 0.1, 0.07, 0.75),
        Capsule((0.0, 0.12), (-stride, 0.88), 0.1, 0.07, 0.75),
        Capsule((0.0, -0.42), (0.9 * stride + 0.14, 0.1), 0.07, 0.06, 0.85),
        Capsule((0.0, -0.42), (-0.9 * stride - 0.14, 0.1), 0.07, 0.06, 0.85),
        Capsule((0.0, -0.45), (0.0, 0.12), 0.17, 0.14, 0.9),
        Ellipse((0.0, -0.8), 0.13, 0.16, 1.5),
    )


def _person_above(phase: float) -> tuple[Part, ...]:
    """From a drone at an angle: shortened, broader, the head large."""
    stride = 0.28 * sin(tau * phase)
    return (
        Capsule((0.0, 0.1), (stride, 0.85), 0.16, 0.11, 0.8),
        Capsule((0.0, 0.1), (-0.8 * stride, 0.8), 0.16, 0.11, 0.8),
        Capsule((0.0, -0.35), (0.34 + 0.3 * stride, 0.08), 0.12, 0.09, 0.85),
        Capsule((0.0, -0.35), (-0.34 + 0.3 * stride, 0.08), 0.12, 0.09, 0.85),
        Capsule((0.0, -0.36), (0.0, 0.12), 0.28, 0.22, 0.95),
        Ellipse((0.0, -0.72), 0.21, 0.22, 1.35),
    )


def _bicycle_top(phase: float) -> tuple[Part, ...]:
    sway = 0.05 * sin(tau * phase)
    return (
        Capsule((-0.85, 0.0), (0.85, 0.0), 0.05, 0.05, 0.35),
        Capsule((-0.5, -0.22), (-0.5, 0.22), 0.045, 0.045, 0.4),
        Capsule((-0.15, -0.14), (-0.46, -0.2), 0.06, 0.05, 0.8),
        Capsule((-0.15, 0.14), (-0.46, 0.2), 0.06, 0.05, 0.8),
        Ellipse((0.08, sway), 0.34, 0.22, 1.0),
        Ellipse((-0.16, sway), 0.15, 0.14, 1.5),
    )


def _car_top(phase: float) -> tuple[Part, ...]:
    return (
        Slab((0.0, 0.0), 0.98, 0.44, 0.16, 0.7),
        Slab((-0.68, 0.0), 0.26, 0.36, 0.12, 1.7),
        Slab((-0.3, 0.0), 0.13, 0.36, 0.06, -0.5),
        Slab((0.12, 0.0), 0.28, 0.35, 0.1, 0.45),
        Slab((0.5, 0.0), 0.1, 0.34, 0.05, -0.4),
        Ellipse((0.93, 0.22), 0.07, 0.06, 2.2),
    )


def _truck_top(phase: float) -> tuple[Part, ...]:
    return (
        Slab((0.18, 0.0), 0.8, 0.26, 0.03, 0.55),
        Slab((0.18, 0.0), 0.74, 0.2, 0.03, 0.25),
        Slab((-0.8, 0.0), 0.18, 0.24, 0.06, 1.5),
        Slab((-0.72, 0.0), 0.05, 0.2, 0.02, -0.5),
    )


def _ship_side(phase: float) -> tuple[Part, ...]:
    return (
        Wedge(((-1.0, -0.06), (1.0, -0.06), (0.9, 0.14), (-0.86, 0.14)), 0.7),
        Slab((0.5, -0.2), 0.24, 0.16, 0.02, 1.0),
        Slab((0.42, -0.4), 0.1, 0.08, 0.01, 0.9),
        Slab((0.66, -0.42), 0.06, 0.1, 0.02, 2.4),
        Capsule((0.38, -0.62), (0.38, -0.4), 0.015, 0.015, 0.7, 0.8),
        Slab((-0.3, -0.1), 0.4, 0.06, 0.01, 0.5),
        Capsule((-0.72, -0.34), (-0.72, -0.06), 0.02, 0.02, 0.7, 0.8),
    )


_SHAPES: dict[tuple[str, str], Callable[[float], tuple[Part, ...]]] = {
    ("airplane", "side"): _airplane_side,
    ("airplane", "top"): _airplane_top,
    ("helicopter", "side"): _helicopter_side,
    ("drone", "side"): _drone_side,
    ("drone", "below"): _drone_below,
    ("bird", "side"): _bird_side,
    ("person", "side"): _person_side,
    ("person", "top"): _person_above,
    ("bicycle", "top"): _bicycle_top,
    ("car", "top"): _car_top,
    ("other_vehicle", "top"): _truck_top,
    ("other_vehicle", "side"): _ship_side,
}
SHAPES = tuple(_SHAPES)
EXTENT = 1.1  # room for wing tips of a turned silhouette
LABELS = ("airplane", "bicycle", "bird", "car", "drone", "helicopter", "other_vehicle", "person")


def paint(label: str, view: str, phase: float, angle_deg: float, mirrored: bool, side: int) -> tuple[Field, Field]:
    """Draw a silhouette on a fine square grid.

    Args:
        label: class name, one of `LABELS`.
        view: `side`, `top` or `below`; see `SHAPES` for what exists.
        phase: of wing beat, rotor or stride, in turns.
        angle_deg: turn, clockwise on the screen.
        mirrored: heading the other way.
        side: samples a side, spanning `[-EXTENT, EXTENT]`.

    Returns:
        `(cover, heat)`, `(side, side)` float64: part of the background hidden (0 to 1); cover times heat.
    """
    axis = ((np.arange(side) + 0.5) / side * 2.0 - 1.0) * EXTENT
    turn_cos, turn_sin = cos(radians(angle_deg)), sin(radians(angle_deg))
    x = axis[None, :] * turn_cos + axis[:, None] * turn_sin
    y = -axis[None, :] * turn_sin + axis[:, None] * turn_cos
    if mirrored:
        x = -x
    cover, heat = np.zeros((side, side)), np.zeros((side, side))
    for part in _SHAPES[label, view](phase):
        inside = part.inside(x, y)
        cover[inside] = np.maximum(cover[inside], part.cover)
        heat[inside] = part.heat * part.cover
    return cover, heat
