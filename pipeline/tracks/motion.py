"""Motion of one target in the picture: a Kalman filter of constant velocity, in pixels and frames.

Frames, not seconds, are its time: stamps may come in bursts (a recording that is published as fast as it goes), frames of a sensor do not.
Both axes have the same noise, so they share one covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

_ACCELERATION = 0.02  # of a target's size a frame, per frame: how much its velocity may change
_LEAST_ACCELERATION_PX = 0.2
_FIRST_SPEED = 0.2  # of a target's size a frame: what nobody knows at its first sight
_FIRST_SPEED_PX = 3.0
_NOISE_PX = 0.5
_NOISE = 0.05  # of a target's size: centres of fragments jump
_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Motion:
    """Estimate of a centre and its velocity.

    Attributes:
        x_px, y_px: pixel edges of the frame.
        vx_px, vy_px: pixels a frame.
        var_px2, cov_px2, vel_px2: variance of the place, its covariance with the velocity, variance of the velocity.
    """

    x_px: float
    y_px: float
    vx_px: float
    vy_px: float
    var_px2: float
    cov_px2: float
    vel_px2: float

    @classmethod
    def begun(cls, x_px: float, y_px: float, size_px: float) -> Motion:
        """Estimate after the first sight: the place is known, the velocity is not."""
        return cls(
            x_px, y_px, 0.0, 0.0, round(_noise_px2(size_px), _DIGITS), 0.0, round((_FIRST_SPEED_PX + _FIRST_SPEED * size_px) ** 2, _DIGITS)
        )

    def predicted(self, steps: int, size_px: float) -> Motion:
        """The estimate so many frames later (white noise of acceleration, so two steps of one are one of two)."""
        q = (_LEAST_ACCELERATION_PX + _ACCELERATION * size_px) ** 2
        return Motion(
            self.x_px + self.vx_px * steps,
            self.y_px + self.vy_px * steps,
            self.vx_px,
            self.vy_px,
            self.var_px2 + 2 * steps * self.cov_px2 + steps**2 * self.vel_px2 + q * steps**3 / 3,
            self.cov_px2 + steps * self.vel_px2 + q * steps**2 / 2,
            self.vel_px2 + q * steps,
        )

    def seen(self, x_px: float, y_px: float, size_px: float) -> Motion:
        """A prediction corrected by what was seen; rounded, so that text keeps it exactly."""
        spread = self.var_px2 + _noise_px2(size_px)
        gain, rate = self.var_px2 / spread, self.cov_px2 / spread
        dx, dy = x_px - self.x_px, y_px - self.y_px
        values = (
            self.x_px + gain * dx,
            self.y_px + gain * dy,
            self.vx_px + rate * dx,
            self.vy_px + rate * dy,
            (1 - gain) * self.var_px2,
            (1 - gain) * self.cov_px2,
            self.vel_px2 - rate * self.cov_px2,
        )
        return Motion(*(round(value, _DIGITS) for value in values))

    @property
    def spread_px(self) -> float:
        """Standard deviation of the place along one axis."""
        return float(max(self.var_px2, 0.0) ** 0.5)


def _noise_px2(size_px: float) -> float:
    return float((_NOISE_PX + _NOISE * size_px) ** 2)
