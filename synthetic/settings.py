"""Settings of a synthetic camera."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from contracts.frame import Band, Platform


class Scene(StrEnum):
    """Scenes that a camera can look at."""

    SKY = "sky"
    SKYLINE = "skyline"
    SEA = "sea"
    GROUND = "ground"
    ORBIT = "orbit"
    SHORE = "shore"


class SyntheticSettings(BaseModel):
    """One synthetic camera; the same settings give the same frames.

    Attributes:
        scene: backdrop and cast.
        platform: where the camera is, as its messages say.
        band: spectral band; unknown looks like LWIR.
        height_px, width_px: frame size.
        bit_depth: significant bits; 8 is video with fixed gain, more are raw counts.
        fps: frames per second of scene time.
        seed: everything random hangs on it.
        num_targets: moving targets; None for the scene's usual cast (which then includes parked vehicles).
        bad_pixels_ppm: bad pixels per million.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scene: Scene = Scene.SKY
    platform: Platform = Platform.LAND
    band: Band = Band.LWIR
    height_px: int = Field(256, ge=64, le=4096)
    width_px: int = Field(256, ge=64, le=4096)
    bit_depth: int = Field(14, ge=8, le=16)
    fps: float = Field(25.0, gt=0, le=1000)
    seed: int = Field(0, ge=0)
    num_targets: int | None = Field(None, ge=0, le=500)
    bad_pixels_ppm: float = Field(15.0, ge=0, le=10_000)


SCENES_OF: dict[Platform, tuple[Scene, ...]] = {
    Platform.LAND: (Scene.SKYLINE, Scene.SKY, Scene.SEA, Scene.SHORE),
    Platform.AIR: (Scene.GROUND,),
    Platform.SPACE: (Scene.ORBIT,),
    Platform.UNKNOWN: tuple(Scene),
}
PLATFORM_OF: dict[Scene, Platform] = {
    Scene.SKY: Platform.LAND,
    Scene.SKYLINE: Platform.LAND,
    Scene.SEA: Platform.LAND,
    Scene.GROUND: Platform.AIR,
    Scene.ORBIT: Platform.SPACE,
    Scene.SHORE: Platform.LAND,
}
