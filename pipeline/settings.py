"""Settings of the stream itself, of its alerts, and of single sensors (light import: no ray, no torch)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field


class StreamSettings(BaseModel):
    """Reading, holding and fusing of frames. Every key is also an environment variable `IRSTREAM_STREAM__...`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch_s: float = Field(600.0, gt=0, description="length of one Ray Data execution, seconds")
    epoch_overlap_s: float = Field(2.0, ge=0, description="the next epoch starts this long before the end of the present one")
    epoch_max_blocks: int = Field(20_000, gt=0, description="an epoch also ends after this many blocks per partition")
    block_max_frames: int = Field(16, gt=0, description="most frames of one block")
    block_max_bytes: int = Field(32 * 2**20, gt=0, description="a block is closed above this many bytes of messages")
    block_max_pixels: int = Field(
        6_000_000, gt=0, description="most pixels of one block, or one frame that has more: slow networks answer block by block"
    )
    block_max_wait_s: float = Field(0.05, gt=0, description="a block is closed this long after its poll began")
    in_flight_bytes: int = Field(256 * 2**20, gt=0, description="most bytes of frames between Kafka and their results (credits)")
    in_flight_blocks: int = Field(16, gt=0, description="most blocks between Kafka and their results (credits)")
    model_timeout_s: float = Field(
        120.0, gt=0, description="models that answer nobody for this long, or ten times as long as their slowest answer, end the generation"
    )
    drain_timeout_s: float = Field(
        60.0, gt=0, description="a stop gives up when nothing moves for this long; while models compute, `model_timeout_s` counts"
    )
    restart_backoff_s: float = Field(0.5, gt=0, description="first pause before a new generation; doubles up to 5 s")
    match_iou: float = Field(0.1, ge=0, le=1, description="detector box and segmented region with at least this IoU are one target")
    match_distance_px: float = Field(3.0, ge=0, description="or whose centres are closer than this")
    uncommitted_rows: int = Field(20_000, gt=0, description="above this many rows without a commit, reading waits for the table")
    max_detections: int = Field(500, gt=0, description="most detections of one frame, best scores first: noise must not fill the table")
    min_score: float = Field(
        0.0, ge=0, le=1, description="a detection below this score is left out of its row, and so makes no alert; see also `sensors`"
    )
    label_min_score: float = Field(0.5, ge=0, le=1, description="below this class score a target is labelled just `target`")
    read_cpus: float = Field(0.25, gt=0, description="Ray CPUs that the read tasks of an epoch reserve together; two epochs overlap")


class AlertSettings(BaseModel):
    """Choice of what makes an alert. Every key is also an environment variable `IRSTREAM_ALERTS__...`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_score: float = Field(0.0, ge=0, le=1, description="a detection below this score makes no alert; its row keeps it")


class SensorAlertSettings(BaseModel):
    """Alerts of one sensor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_score: float | None = Field(None, ge=0, le=1, description="takes the place of `alerts.min_score` for this sensor")


class SensorSettings(BaseModel):
    """Values of one sensor, in place of those of all. None: as for all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_score: float | None = Field(
        None, ge=0, le=1, description="takes the place of `stream.min_score` for this sensor: rows, and with them alerts"
    )
    alerts: SensorAlertSettings = SensorAlertSettings()


@dataclass(frozen=True, slots=True)
class MinScores:
    """Least scores of rows and of alerts, for all sensors and for single ones.

    Scores are float32 in the table, so they are compared as such: a score that reads 0.9 there reaches a least score of 0.9.

    Attributes:
        rows: of all sensors that have none of their own.
        alerts: likewise; what its row leaves out makes no alert in any case.
        sensors: by the sensor's id.
    """

    rows: float = 0.0
    alerts: float = 0.0
    sensors: Mapping[str, SensorSettings] = field(default_factory=dict)

    def of_rows(self, sensor_id: str) -> float:
        """Detections of this sensor with a lower score are left out of their rows."""
        own = self.sensors.get(sensor_id)
        return _as_float32(self.rows if own is None or own.min_score is None else own.min_score)

    def of_alerts(self, sensor_id: str) -> float:
        """Detections of this sensor with a lower score make no alert."""
        own = self.sensors.get(sensor_id)
        return _as_float32(self.alerts if own is None or own.alerts.min_score is None else own.alerts.min_score)


def _as_float32(score: float) -> float:
    (rounded,) = struct.unpack("<f", struct.pack("<f", score))
    return float(rounded)
