"""The optical point-spread function: diffraction of a round pupil plus what aberration and the detector add.

The PSF is the squared magnitude of the pupil's Fourier transform (for a clear round pupil: the Airy pattern), sampled
finer than the pixels; a sprite is blurred with it and then integrated over whole pixels at its sub-pixel position.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synthetic.fields import Field


@dataclass(frozen=True, slots=True)
class Optics:
    """A lens in front of a focal plane.

    Attributes:
        wavelength_um: middle of the band.
        f_number: focal length by aperture.
        pitch_um: pixel pitch.
        obscuration: diameter of the central obstruction by the aperture's (mirror telescopes), 0 for a lens.
        aberration_px: standard deviation of the Gaussian that stands for aberration, motion and detector diffusion.
    """

    wavelength_um: float
    f_number: float
    pitch_um: float
    obscuration: float = 0.0
    aberration_px: float = 0.3

    @property
    def airy_radius_px(self) -> float:
        """First dark ring: 1.22 wavelength x f-number."""
        return 1.22 * self.wavelength_um * self.f_number / self.pitch_um

    @property
    def sigma_px(self) -> float:
        """Gaussian of about the same core: 0.42 wavelength x f-number, aberration added in quadrature."""
        return float(np.hypot(0.42 * self.wavelength_um * self.f_number / self.pitch_um, self.aberration_px))

    @property
    def margin_px(self) -> int:
        """Reach of a target's light around it, pixels: beyond, less than 1 % of a point's energy is left."""
        return int(np.ceil(max(3.0 * self.airy_radius_px, 4.0 * self.aberration_px))) + 1


@lru_cache(maxsize=32)
def _diffraction(optics: Optics) -> Field:
    """Modulation transfer of the aperture at 128 frequencies from 0 to the cutoff: the autocorrelation of the pupil."""
    fine = 256
    axis = (np.arange(fine) - fine // 2) / (fine // 4)
    radius = np.hypot(axis[:, None], axis[None, :])
    pupil = np.clip((1.0 - radius) * (fine // 4) + 0.5, 0, 1) - np.clip((optics.obscuration - radius) * (fine // 4) + 0.5, 0, 1)
    autocorrelation: Field = np.fft.irfft2(np.abs(np.fft.rfft2(pupil)) ** 2, s=pupil.shape)
    table: Field = autocorrelation[0, : fine // 2] / autocorrelation[0, 0]
    return table


@lru_cache(maxsize=128)
def transfer(optics: Optics, samples: int, per_px: int) -> Field:
    """Optical transfer function for an FFT of `samples` points a side, `per_px` points per pixel.

    Returns:
        `(samples, samples // 2 + 1)` float64, 1 at zero frequency, for `np.fft.rfft2` grids.
    """
    cutoff = optics.pitch_um / (per_px * optics.wavelength_um * optics.f_number)  # cycles per sample
    table = _diffraction(optics)
    frequency = np.hypot(np.fft.fftfreq(samples)[:, None], np.fft.rfftfreq(samples)[None, :])
    diffraction = np.interp(frequency / cutoff, np.arange(len(table)) / len(table), table, right=0.0)
    through: Field = diffraction * np.exp(-2.0 * (np.pi * optics.aberration_px * per_px * frequency) ** 2)
    return through
