"""Random fields: the raw material of clouds, waves, ground and foliage.

Every field is computed in float64 and rounded to a grid of 1/1024 K before it is used: the last bits of FFTs and of
transcendental functions differ between machines, the rounded field does not. What happens per frame uses only
IEEE-exact operations (add, multiply, square root), so a seed gives the same counts everywhere.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
Plane = NDArray[np.float32]

_GRID = 1024.0


def random_stream(seed: int, *names: str | int) -> np.random.Generator:
    """Independent random numbers for one purpose: the same seed and names give the same numbers everywhere."""
    words = [name if isinstance(name, int) else zlib.crc32(name.encode()) for name in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))


def to_grid(field: Field) -> Plane:
    """Round to multiples of 1/1024 (exact in float32 up to 16384), see the module's docstring."""
    return (np.rint(field * _GRID) / _GRID).astype(np.float32)


def smoothstep(field: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, a smooth S between."""
    part: Field = np.clip((field - low) / (high - low), 0.0, 1.0)
    return part * part * (3.0 - 2.0 * part)


def centres(num: int) -> Field:
    """Middles of `num` pixels in a row, `(num,)`: 0.5, 1.5, ..."""
    middles: Field = np.arange(num, dtype=np.float64) + 0.5
    return middles


def unit_variance(field: Field) -> Field:
    """Shift and scale to mean 0 and standard deviation 1."""
    scaled: Field = (field - field.mean()) / max(float(field.std()), 1e-12)
    return scaled


def power_law(
    rng: np.random.Generator,
    shape: tuple[int, int],
    slope: float,
    *,
    stretch_x: float = 1.0,
    longest_px: float | None = None,
    shortest_px: float = 0.0,
) -> Field:
    """Gaussian field with power spectrum `k^-slope`; periodic along axes whose length is a multiple of 32.

    Args:
        rng: random numbers.
        shape: `(H, W)`.
        slope: 0 is white noise; about 3 looks like terrain and cloud; higher is smoother.
        stretch_x: structures are this much longer along x than along y.
        longest_px: wavelengths beyond it are damped (default: the longer side).
        shortest_px: wavelengths below it are removed by a Gaussian roll-off; 0 keeps all.

    Returns:
        `(H, W)` float64, mean 0, standard deviation 1.
    """
    # Transforms of other lengths (of large primes most of all) are many times slower: cut from a larger field.
    height, width = (-(-side // 32) * 32 for side in shape)
    frequency_y = np.fft.fftfreq(height)[:, None]
    frequency_x = np.fft.rfftfreq(width)[None, :] * stretch_x
    k2 = frequency_y**2 + frequency_x**2
    amplitude = (k2 + (1.0 / (longest_px or max(shape))) ** 2) ** (-slope / 4.0)
    if shortest_px:
        amplitude *= np.exp(-k2 * shortest_px**2)
    amplitude[0, 0] = 0.0
    field: Field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) * amplitude, s=(height, width))
    return unit_variance(field[: shape[0], : shape[1]])


def blur(field: Field, sigma_px: float) -> Field:
    """Gaussian blur with periodic edges, standard deviation `sigma_px` (a few pixels at most: the kernel is summed directly)."""
    reach = max(int(np.ceil(3.5 * sigma_px)), 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    kernel /= kernel.sum()
    blurred = field
    for axis in (0, 1):
        length = field.shape[axis]
        wrapped = np.take(blurred, np.arange(-reach, length + reach) % length, axis=axis)
        blurred = np.zeros_like(field)
        for start, weight in enumerate(kernel):
            blurred += weight * (wrapped[start : start + length] if axis == 0 else wrapped[:, start : start + length])
    return blurred


def sample(field: Field, y_px: Field, x_px: Field) -> Field:
    """Bilinear samples of a periodic field at `(y, x)` (arrays that broadcast together)."""
    height, width = field.shape
    row, column = np.floor(y_px).astype(np.int64), np.floor(x_px).astype(np.int64)
    part_y, part_x = y_px - row, x_px - column
    rows, columns = (row % height, (row + 1) % height), (column % width, (column + 1) % width)
    top: Field = field[rows[0], columns[0]] * (1 - part_x) + field[rows[0], columns[1]] * part_x
    bottom: Field = field[rows[1], columns[0]] * (1 - part_x) + field[rows[1], columns[1]] * part_x
    return top * (1 - part_y) + bottom * part_y


def warp(field: Field, rng: np.random.Generator, reach_px: float, slope: float = 3.2) -> Field:
    """Tear a periodic field into wisps: each point is fetched from up to a few `reach_px` away."""
    shift_y, shift_x = (reach_px * power_law(rng, (field.shape[0], field.shape[1]), slope) for _ in range(2))
    rows, columns = np.arange(field.shape[0])[:, None], np.arange(field.shape[1])[None, :]
    return sample(field, rows + shift_y, columns + shift_x)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A picture larger than the frame, looked at through a window at any sub-pixel position.

    Attributes:
        plane: `(H, W)` float32, on the grid of `to_grid`.
        period_px: the picture repeats along x with this period (its columns beyond repeat the first ones);
            None where it does not.
    """

    plane: Plane
    period_px: int | None = None

    @classmethod
    def fixed(cls, field: Field) -> Layer:
        """A picture that ends where it ends; windows are held inside it."""
        return cls(to_grid(field))

    @classmethod
    def endless(cls, field: Field, frame_width_px: int) -> Layer:
        """A picture that repeats along x, for layers that drift for ever."""
        plane = to_grid(field)
        repeats = -(-(frame_width_px + 2) // plane.shape[1])
        return cls(np.concatenate([plane, np.tile(plane, (1, repeats))[:, : frame_width_px + 2]], axis=1), plane.shape[1])

    def window(self, x_px: float, y_px: float, shape: tuple[int, int]) -> Plane:
        """Bilinear view of `shape` (H, W) whose first pixel lies at `(x_px, y_px)` of the picture."""
        height, width = shape
        if self.period_px is not None:
            x_px %= self.period_px
        row, part_y = _split(y_px, self.plane.shape[0] - height - 1)
        column, part_x = _split(x_px, self.plane.shape[1] - width - 1)
        return shifted(self.plane[row : row + height + 1, column : column + width + 1], part_x, part_y)


def _split(position_px: float, last: int) -> tuple[int, float]:
    """Whole and broken part of a position, held inside `[0, last]`; the broken part on a grid of 1/256 px."""
    held = min(max(position_px, 0.0), float(last))
    steps = round(held * 256)
    whole = min(steps // 256, last)
    return whole, (steps - whole * 256) / 256


def shifted(plane: Plane, part_x: float, part_y: float) -> Plane:
    """Bilinear shift of `(H + 1, W + 1)` by a part of a pixel: `(H, W)`."""
    rows: Plane = plane[:-1] * np.float32(1 - part_y) + plane[1:] * np.float32(part_y)
    return rows[:, :-1] * np.float32(1 - part_x) + rows[:, 1:] * np.float32(part_x)
