"""Targets through the optics: fine silhouettes, blurred by the PSF, integrated over pixels at a sub-pixel position."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synthetic.fields import Field, Plane
from synthetic.optics import Optics, transfer
from synthetic.shapes import EXTENT, paint

# Sizes, turns and phases are rounded to these steps, so that a moving target reuses its sprites.
_SIZE_STEP = 1.04
_ANGLE_STEP_DEG = 5.0
_NUM_PHASES = 8


@dataclass(frozen=True, slots=True)
class Pose:
    """Pose of a target at one moment.

    Attributes:
        label: class name.
        view: `side`, `top` or `below`.
        size_px: length of its longest side; below about 1 px it is a point.
        angle_deg: turn, clockwise on the screen.
        phase: of wing beat, rotor or stride, in turns.
        mirrored: heading the other way.
    """

    label: str
    view: str
    size_px: float
    angle_deg: float = 0.0
    phase: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A target on the pixel grid, before it meets its background.

    Attributes:
        row, column: frame pixel of the sprite's first pixel (may lie outside the frame).
        cover_HW: part of the background hidden per pixel, 0 to 1, blurred by the optics.
        heat_HW: what the target adds, in units of its contrast; same shape.
    """

    row: int
    column: int
    cover_HW: Plane
    heat_HW: Plane


def render(pose: Pose, optics: Optics, x_px: float, y_px: float) -> Sprite:
    """Place a target with its centre at `(x_px, y_px)` (pixel edges: the middle of pixel 0 is 0.5)."""
    fine = _fine(
        pose.label,
        pose.view,
        round(np.log(max(pose.size_px, 0.1)) / np.log(_SIZE_STEP)),
        round(pose.angle_deg / _ANGLE_STEP_DEG) % round(360 / _ANGLE_STEP_DEG),
        round(pose.phase * _NUM_PHASES) % _NUM_PHASES,
        pose.mirrored,
        optics,
    )
    left, top = x_px - fine.side_px / 2, y_px - fine.side_px / 2
    column, row = int(np.floor(left)), int(np.floor(top))
    cover, heat = (fine.over_pixels(integral, left - column, top - row) for integral in (fine.cover, fine.heat))
    return Sprite(row, column, cover, heat)


@dataclass(frozen=True, slots=True, eq=False)
class _Fine:
    """A blurred silhouette, integrated from its first sample on.

    Attributes:
        cover, heat: sums over all samples above and left of a point, at the samples' edges; with room around them.
        side_px: length of a side without that room.
        per_px: samples per pixel.
    """

    cover: Field
    heat: Field
    side_px: float
    per_px: int

    def over_pixels(self, integral: Field, part_x: float, part_y: float) -> Plane:
        """Mean over each pixel when the first sample lies at `(part_x, part_y)` of the first pixel.

        Exact: between two samples' edges the integral is linear in x and in y.
        """
        per_px, num_px = self.per_px, int(np.ceil(self.side_px)) + 1
        row, down = divmod((1.0 - part_y) * per_px, 1.0)
        column, right = divmod((1.0 - part_x) * per_px, 1.0)
        rows, columns = slice(int(row), int(row) + num_px * per_px + 2), slice(int(column), int(column) + num_px * per_px + 2)
        near = integral[rows, columns]
        along = near[::per_px] * (1 - down) + near[1::per_px] * down
        edges = along[:, ::per_px] * (1 - right) + along[:, 1::per_px] * right
        return (np.diff(np.diff(edges, axis=0), axis=1) / per_px**2).astype(np.float32)


@lru_cache(maxsize=512)
def _fine(label: str, view: str, size_step: int, angle_step: int, phase_step: int, mirrored: bool, optics: Optics) -> _Fine:
    size_px = _SIZE_STEP**size_step
    # At least about 24 samples across the silhouette, however small it is.
    per_px = int(np.clip(np.ceil(24.0 / size_px), 4, 16))
    body = max(2 * round(size_px * EXTENT * per_px / 2), 4)  # even, so that it can be centred
    # A multiple of 16: quick transforms, and few different transfer functions to keep.
    samples = -(-(body + 2 * optics.margin_px * per_px) // 16) * 16
    inner = slice((samples - body) // 2, (samples - body) // 2 + body)
    # A point smaller than the grid keeps its area: it is painted finer, then averaged.
    finer = max(1, -(-24 // body))
    painted = paint(label, view, phase_step / _NUM_PHASES, angle_step * _ANGLE_STEP_DEG, mirrored, body * finer)
    through = transfer(optics, samples, per_px)
    integrals = []
    for silhouette in painted:
        plane = np.zeros((samples, samples))
        plane[inner, inner] = silhouette.reshape(body, finer, body, finer).mean(axis=(1, 3))
        blurred = np.fft.irfft2(np.fft.rfft2(plane) * through, s=plane.shape)
        padded = np.pad(blurred, ((per_px + 1, 3 * per_px), (per_px + 1, 3 * per_px)))
        integrals.append(padded.cumsum(axis=0).cumsum(axis=1))
    return _Fine(integrals[0], integrals[1], samples / per_px, per_px)
