"""Settings of the shadow: a candidate beside production (light import: no ray, no torch)."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ShadowSettings(BaseModel):
    """A candidate that works beside production on a share of the frames ([shadow](production.md#shadow)). Taken by SIGHUP, too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="its rows have the run id `shadow:NAME`; none: no shadow. Another candidate or share takes another name",
    )
    weights: str | None = Field(
        None,
        min_length=1,
        description="folder of a training, safetensors file with its card, or digest of a version; the card says its role",
    )
    model: str | None = Field(None, min_length=1, description="or a network with the weights that ship with it")
    share: float = Field(0.2, gt=0, le=1, description="part of the frames, chosen by a hash of the position: the same after every restart")
    patience_s: float = Field(
        1.0,
        gt=0,
        le=60,
        description="rows of production wait at most so long for the shadow's; frames that take longer are passed over",
    )
    max_lag_s: float | None = Field(
        60.0, gt=0, description="frames that came to Kafka longer ago are passed over: a stream that is behind has other work; none: never"
    )
    num_cpus: float | None = Field(None, ge=0, description="CPUs that it reserves in Ray; none: as production's network of its role")
    num_gpus: float | None = Field(None, ge=0, description="share of a GPU that it reserves; none: likewise")

    @model_validator(mode="after")
    def _one_candidate(self) -> Self:
        if self.name is not None and (self.weights is None) == (self.model is None):
            raise ValueError(f"expected weights or a model for the shadow {self.name}, got {'neither' if self.model is None else 'both'}")
        return self
