"""Settings of the registry of weights."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from training.registry.gate import PromotionGate


class RegistrySettings(BaseModel):
    """Versions of weights, and which of them are in production (`irstream models promote`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str = Field(
        "runs/registry", min_length=1, description="folder of the versions, seen by every process that runs a stream or a network"
    )
    poll_s: float = Field(10.0, gt=0, description="a running stream looks so often whether another version is in production")
    gate: PromotionGate = Field(default_factory=PromotionGate, description="rules for what may go into production")
