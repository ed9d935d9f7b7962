"""Settings of metrics and health checks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class MetricsSettings(BaseModel):
    """Metrics and health of a stream over HTTP ([page](metrics.md)). Every key is also an environment variable `IRSTREAM_METRICS__...`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", min_length=1, description="address they are served at; `0.0.0.0`: for other machines, too")
    port: int | None = Field(9464, ge=0, le=65535, description="port of `/metrics`, `/healthz` and `/readyz`; 0: a free one; none: none")
    stall_s: float = Field(
        300.0, gt=0, description="a stream that writes no row for so long although messages wait is not healthy (`/healthz`), seconds"
    )
