"""From raw levels to 8-bit video as a camera shows it: less of the large shades, the rest stretched over the grey scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synthetic.fields import Field, Plane, centres, to_grid

_CELLS = 16
_SHARPNESS = 0.45


class DetailDisplay:
    """Takes part of the broad shading out of a frame, as the detail enhancement of real cameras does.

    Bright things get a dark surrounding by it, and what is faint on a bright ground stays visible.

    Args:
        shape: `(H, W)`.
        strength: part of the broad shading that is taken out, 0 to 1.
    """

    def __init__(self, shape: tuple[int, int], strength: float) -> None:
        """Prepare the cells and the way back from cells to pixels."""
        self._strength = strength
        self._starts = tuple(np.arange(_CELLS) * side // _CELLS for side in shape)
        self._counts = tuple(np.diff([*starts, side]).astype(np.float64) for starts, side in zip(self._starts, shape, strict=True))
        self._rows, self._columns = (_between(side) for side in shape)

    def flatten(self, level_HW: Plane) -> Plane:
        """Levels with their broad shading reduced, `(H, W)` float32, kelvin."""
        sums = np.add.reduceat(np.add.reduceat(level_HW.astype(np.float64), self._starts[0], axis=0), self._starts[1], axis=1)
        cells = _soften(_soften(sums / self._counts[0][:, None] / self._counts[1][None, :]))
        shade = to_grid(self._strength * (cells - cells.mean()))
        above, below, part_y = self._rows
        left, right, part_x = self._columns
        # Interpolated by hand: a matrix product would start threads, and sum in an order that depends on the machine.
        lines: Plane = shade[above] * (1 - part_y)[:, None] + shade[below] * part_y[:, None]
        return _sharpen(level_HW - (lines[:, left] * (1 - part_x) + lines[:, right] * part_x))


def _sharpen(level_HW: Plane) -> Plane:
    """Unsharp mask over 3 x 3 pixels: edges get the thin halos of camera video. The rim stays as it is."""
    along = level_HW[:-2] + level_HW[1:-1] + level_HW[2:]
    around = along[:, :-2] + along[:, 1:-1] + along[:, 2:]
    sharp = level_HW.copy()
    sharp[1:-1, 1:-1] += np.float32(_SHARPNESS) * (level_HW[1:-1, 1:-1] - around * np.float32(1 / 9))
    return sharp


def _between(side: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Plane]:
    """For each pixel the cells before and after it, and how far it is between their middles; `(side,)` each."""
    at = np.clip(centres(side) * _CELLS / side - 0.5, 0.0, _CELLS - 1.0)
    before = np.minimum(at.astype(np.intp), _CELLS - 2)
    return before, before + 1, to_grid(at - before)


def _soften(cells: Field) -> Field:
    """Means over 3 x 3 cells, the rim repeated."""
    padded = np.pad(cells, 1, mode="edge")
    along: Field = (padded[:-2] + padded[1:-1] + padded[2:]) / 3.0
    both: Field = (along[:, :-2] + along[:, 1:-1] + along[:, 2:]) / 3.0
    return both
