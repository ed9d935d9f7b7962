"""Interface of a backdrop: light at a moment, from a line of sight, and places where targets belong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from synthetic.fields import Plane


@dataclass(frozen=True, slots=True)
class View:
    """Part of a scene that a frame sees.

    Attributes:
        height_px, width_px: the frame.
        margin_y_px, margin_x_px: how far the line of sight may wander from its start; the first pixel of the frame is
            at `(margin_x_px, margin_y_px)` of the scene when it rests.
    """

    height_px: int
    width_px: int
    margin_y_px: int
    margin_x_px: int

    @property
    def shape(self) -> tuple[int, int]:
        """Frame `(H, W)`."""
        return (self.height_px, self.width_px)

    @property
    def scene_shape(self) -> tuple[int, int]:
        """Scene `(H, W)`: the frame with its margins, and one pixel for sub-pixel shifts."""
        return (self.height_px + 2 * self.margin_y_px + 1, self.width_px + 2 * self.margin_x_px + 1)


@dataclass(frozen=True, slots=True)
class Places:
    """Places where targets belong, in scene pixels.

    Attributes:
        sky_rows: rows between which things fly.
        ground_rows: rows between which things stand or walk, seen from the side; None where there is no ground.
        roads: centre lines `(x0, y0, x1, y1)` with lanes that vehicles follow.
        walks: lines that persons and bicycles follow.
        parked: `(x, y, angle_deg)` of parked vehicles.
        water_line_px: row of the sea's horizon, or of the water's far edge.
        water_rows: rows between which vessels float; None where they lie on the horizon.
    """

    sky_rows: tuple[float, float] | None = None
    ground_rows: tuple[float, float] | None = None
    roads: tuple[tuple[float, float, float, float], ...] = ()
    walks: tuple[tuple[float, float, float, float], ...] = ()
    parked: tuple[tuple[float, float, float], ...] = ()
    water_line_px: float | None = None
    water_rows: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """Noise-free light of one frame, kelvin.

    Attributes:
        back_HW: everything targets fly before.
        front_cover_HW, front_light_HW: what hides targets (tree tops, roofs): part hidden, and hidden part times its
            level; None where nothing does.
    """

    back_HW: Plane
    front_cover_HW: Plane | None = field(default=None)
    front_light_HW: Plane | None = field(default=None)


class Backdrop(Protocol):
    """A scene: its light, and the places where targets belong."""

    places: Places

    def light(self, time_s: float, x_px: float, y_px: float) -> Light:
        """Light of the frame whose first pixel lies at `(x_px, y_px)` of the scene; float32 `(H, W)`, kelvin."""
        ...
