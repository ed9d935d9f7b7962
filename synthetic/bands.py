"""Spectral bands: optics, noise, and the brightness of each material in the same scene.

Levels are apparent temperatures relative to the air at the ground, in kelvin. In the reflective bands (NIR, SWIR) there
is no temperature to see; their levels are reflected sunlight, scaled to the same span so that one sensor model fits all.
Levels are round figures set by eye beside real frames, not radiometry.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.frame import Band
from synthetic.optics import Optics


@dataclass(frozen=True, slots=True)
class BandLook:
    """One band.

    Attributes:
        optics: a usual lens of that band.
        read_noise_k: noise that does not depend on the signal (the NETD of a dark scene), kelvin.
        shot_noise_k: variance that grows with the signal: kelvin squared per kelvin above `dark_k`.
        dark_k: level of no light.
        column_noise_k: residual of the column non-uniformity correction, standard deviation, kelvin.
        bright_sky: whether aircraft may show darker than the sky.
        zenith_k, horizon_k: clear sky.
        cloud_k, lit_cloud_k: thick cloud; its sunlit rim.
        foliage_k, grass_k, soil_k, asphalt_k, roof_k, wall_k, water_k: surfaces.
        glint_k: sun on water.
        person_k, vehicle_k, craft_k: contrast of targets (bodies), see `targets.py`.
    """

    optics: Optics
    read_noise_k: float
    shot_noise_k: float
    dark_k: float
    column_noise_k: float
    bright_sky: bool
    zenith_k: float
    horizon_k: float
    cloud_k: float
    lit_cloud_k: float
    foliage_k: float
    grass_k: float
    soil_k: float
    asphalt_k: float
    roof_k: float
    wall_k: float
    water_k: float
    glint_k: float
    person_k: float
    vehicle_k: float
    craft_k: float


LOOKS: dict[Band, BandLook] = {
    Band.LWIR: BandLook(
        Optics(10.0, 1.2, 12.0),
        read_noise_k=0.06,
        shot_noise_k=0.0,
        dark_k=-60.0,
        column_noise_k=0.05,
        bright_sky=False,
        zenith_k=-32.0,
        horizon_k=-9.0,
        cloud_k=-15.0,
        lit_cloud_k=1.5,
        foliage_k=-0.5,
        grass_k=-2.5,
        soil_k=1.0,
        asphalt_k=3.0,
        roof_k=-6.0,
        wall_k=2.5,
        water_k=-3.5,
        glint_k=3.0,
        person_k=7.0,
        vehicle_k=4.5,
        craft_k=28.0,
    ),
    Band.MWIR: BandLook(
        Optics(4.2, 3.0, 15.0),
        read_noise_k=0.03,
        shot_noise_k=0.00004,
        dark_k=-60.0,
        column_noise_k=0.03,
        bright_sky=False,
        zenith_k=-38.0,
        horizon_k=-7.0,
        cloud_k=-14.0,
        lit_cloud_k=9.0,
        foliage_k=-1.5,
        grass_k=-2.0,
        soil_k=2.5,
        asphalt_k=4.5,
        roof_k=-2.0,
        wall_k=3.5,
        water_k=-4.0,
        glint_k=22.0,
        person_k=6.0,
        vehicle_k=7.0,
        craft_k=30.0,
    ),
    Band.SWIR: BandLook(
        Optics(1.4, 2.0, 15.0, aberration_px=0.4),
        read_noise_k=0.12,
        shot_noise_k=0.0015,
        dark_k=-20.0,
        column_noise_k=0.12,
        bright_sky=True,
        zenith_k=-16.0,
        horizon_k=-4.0,
        cloud_k=6.0,
        lit_cloud_k=14.0,
        foliage_k=4.0,
        grass_k=6.0,
        soil_k=8.0,
        asphalt_k=-6.0,
        roof_k=-1.0,
        wall_k=9.0,
        water_k=-18.0,
        glint_k=34.0,
        person_k=-5.0,
        vehicle_k=6.0,
        craft_k=15.0,
    ),
    Band.NIR: BandLook(
        Optics(0.85, 2.0, 6.0, aberration_px=0.5),
        read_noise_k=0.10,
        shot_noise_k=0.0010,
        dark_k=-20.0,
        column_noise_k=0.06,
        bright_sky=True,
        zenith_k=-13.0,
        horizon_k=1.0,
        cloud_k=9.0,
        lit_cloud_k=12.0,
        foliage_k=10.0,
        grass_k=13.0,
        soil_k=3.0,
        asphalt_k=-8.0,
        roof_k=-4.0,
        wall_k=7.0,
        water_k=-17.0,
        glint_k=36.0,
        person_k=-6.0,
        vehicle_k=7.0,
        craft_k=16.0,
    ),
}


def look_of(band: Band) -> BandLook:
    """The look of a band; an unknown band looks like LWIR."""
    return LOOKS.get(band, LOOKS[Band.LWIR])
