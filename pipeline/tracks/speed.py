"""Speed of a target: what it moved within about the last second, a leaky sum that bursts of time stamps do not disturb."""

from __future__ import annotations

import math
from dataclasses import dataclass

_SPAN_S = 1.0
_LEAST_WEIGHT = 0.1  # a tenth of the span: before that, one pixel of noise would be a speed
_DIGITS = 4
_METRES_PER_DEGREE = math.radians(1.0) * 6_371_008.8


@dataclass(frozen=True, slots=True)
class Speed:
    """Mean velocity, and how much of its span has been seen.

    Attributes:
        x, y: units a second times `weight`.
        weight: 0 at the first sight, towards 1 after a second.
    """

    x: float = 0.0
    y: float = 0.0
    weight: float = 0.0

    def moved(self, dx: float, dy: float, elapsed_s: float) -> Speed:
        """After a move; stamps that stand still or go back count as no time, their moves count with the next."""
        elapsed_s = max(0.0, elapsed_s)
        if elapsed_s >= _SPAN_S:
            return Speed(round(dx / elapsed_s, _DIGITS), round(dy / elapsed_s, _DIGITS), 1.0)
        kept, part = 1 - elapsed_s / _SPAN_S, elapsed_s / _SPAN_S
        values = (self.x * kept + dx / _SPAN_S, self.y * kept + dy / _SPAN_S, self.weight * kept + part)
        return Speed(*(round(value, _DIGITS) for value in values))

    @property
    def per_second(self) -> float | None:
        """Units a second; None while too little has been seen."""
        return math.hypot(self.x, self.y) / self.weight if self.weight >= _LEAST_WEIGHT else None


def metres_between(latitude: float, longitude: float, then_latitude: float, then_longitude: float) -> tuple[float, float]:
    """Metres to the east and to the north from `then` (a sphere: within 0.6 %)."""
    turn = (longitude - then_longitude + 180) % 360 - 180
    return turn * _METRES_PER_DEGREE * math.cos(math.radians(latitude)), (latitude - then_latitude) * _METRES_PER_DEGREE
