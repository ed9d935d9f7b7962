"""Motion of targets: slots that send one target after another along a way, as a function of time alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import atan2, degrees, floor, sin, tau

import numpy as np

from synthetic.fields import random_stream


@dataclass(frozen=True, slots=True)
class Way:
    """The way of one target through its scene.

    Attributes:
        parts: when each point is reached, parts of the pass from 0 to 1.
        x_px, y_px: the points, scene pixels (frame pixels where the scene scrolls).
        size_px: length of the target's longest side at each point.
        contrast_k: of its body against what lies behind it, or against the ground's level.
        transmission: part of its light that reaches the camera (haze, distance).
        sway_px, sway_hz, phase: a gentle weave on top of the way.
        angle_deg: fixed turn of the picture; None to follow the way.
        mirrored: heading left, for side views.
    """

    parts: tuple[float, ...]
    x_px: tuple[float, ...]
    y_px: tuple[float, ...]
    size_px: tuple[float, ...]
    contrast_k: float
    transmission: float = 1.0
    sway_px: float = 0.0
    sway_hz: float = 0.1
    phase: float = 0.0
    angle_deg: float | None = None
    mirrored: bool = False

    def at(self, part: float, time_s: float) -> tuple[float, float, float]:
        """Position and size `(x, y, size)` at `part` of the pass."""
        x, y, size = (float(np.interp(part, self.parts, values)) for values in (self.x_px, self.y_px, self.size_px))
        weave = tau * (self.sway_hz * time_s + self.phase)
        return x + self.sway_px * sin(0.73 * weave + 1.0), y + 0.6 * self.sway_px * sin(weave), size

    @property
    def heading_deg(self) -> float:
        """Direction from the first point to the last, clockwise from the right."""
        return degrees(atan2(self.y_px[-1] - self.y_px[0], self.x_px[-1] - self.x_px[0]))


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of target.

    Attributes:
        label: class name.
        view: `side`, `top` or `below`.
        size_px: smallest and largest length of its longest side in a frame 256 px high.
        contrast: smallest and largest contrast of its body, in units of the band's level for it.
        period_s: shortest and longest pass.
        beat_hz: wing beats, rotor aliasing or strides per second.
        grounded: its temperature is its own; flying ones are set against the sky just behind them.
    """

    label: str
    view: str
    size_px: tuple[float, float]
    contrast: tuple[float, float]
    period_s: tuple[float, float]
    beat_hz: float = 0.0
    grounded: bool = False


PlanWay = Callable[[np.random.Generator], Way]


class Slot:
    """One place in a scene's cast: pass after pass of one kind of target, each drawn from the seed and its number.

    Args:
        kind: what comes.
        plan: draws the way of a pass.
        seed, number, num_slots: of the scene; the slot's place in its cast.
    """

    def __init__(self, kind: Kind, plan: PlanWay, seed: int, number: int, num_slots: int) -> None:
        """Draw the length of the passes and how far the first one is at time 0."""
        self.kind = kind
        self._plan, self._seed, self._number, self._num_slots = plan, seed, number, num_slots
        rng = random_stream(seed, "slot", number)
        self._period_s = float(rng.uniform(*kind.period_s))
        self._offset = float(rng.uniform(0.25, 0.6))
        self._way = lru_cache(maxsize=2)(self._draw)

    def _draw(self, turn: int) -> Way:
        return self._plan(random_stream(self._seed, "way", self._number, turn))

    def at(self, time_s: float) -> tuple[int, Way, float]:
        """Track id, way and part of the pass at a moment."""
        turns = time_s / self._period_s + self._offset
        turn = floor(turns)
        return 1 + self._number + self._num_slots * turn, self._way(turn), turns - turn
