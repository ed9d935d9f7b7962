"""Rules of the gate before production (pydantic only: settings are read without torch)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PromotionGate(BaseModel):
    """Rules for what may go into production. Every key is also an environment variable `IRSTREAM_REGISTRY__GATE__...`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_gain: float = Field(0.0, ge=0, le=1, description="least gain of the mean score over scenes")
    max_p: float = Field(0.05, gt=0, le=1, description="largest p of the paired t-test over scenes (two-sided)")
    max_sensor_loss: float = Field(0.02, ge=0, le=1, description="the score may fall by no more on any camera (data set, platform, band)")
    min_scenes: int = Field(5, ge=2, description="fewer scenes of held-out images prove nothing")
