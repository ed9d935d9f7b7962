"""One frame's way in: raw Kafka record, its metadata, its pixels (frame message v1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contracts.position import KafkaPosition
from contracts.quality import Quality

EVENT_TYPE = "irstream.frame.v1"
Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]


class Platform(StrEnum):
    """Platform of the camera."""

    LAND = "land"
    AIR = "air"
    SPACE = "space"
    UNKNOWN = "unknown"


class Band(StrEnum):
    """Spectral band of the camera."""

    NIR = "nir"
    SWIR = "swir"
    MWIR = "mwir"
    LWIR = "lwir"
    UNKNOWN = "unknown"


class ContentType(StrEnum):
    """The codecs of frame message v1."""

    PNG = "image/png"
    JPEG = "image/jpeg"
    TIFF = "image/tiff"
    NPY = "application/x-npy"
    RAW = "application/octet-stream"


class RawLayout(BaseModel):
    """`ir_width ir_height ir_dtype`: how raw little-endian bytes are laid out (row-major).

    Raw pixels need all three; of an encoded image those given are checked against it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width_px: int | None = Field(default=None, gt=0)
    height_px: int | None = Field(default=None, gt=0)
    dtype: str | None = Field(default=None, pattern="^(uint8|uint16|float32)$")


def _same_nan(values: tuple[float, ...]) -> tuple[float, ...]:
    # NaN equals only itself as an object; so equal metadata stay equal on their way between processes.
    return tuple(math.nan if math.isnan(value) else value for value in values)


class FrameMeta(BaseModel):
    """The key and headers of one frame message, typed; what was missing is filled in as docs/frame-message.md says."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    sensor_id: str
    frame_id: str
    frame_number: int | None = None
    captured_at: datetime
    platform: Platform = Platform.UNKNOWN
    band: Band = Band.UNKNOWN
    bit_depth: int | None = None
    content_type: ContentType
    raw_layout: RawLayout | None = None
    nodata: Annotated[tuple[float, ...], AfterValidator(_same_nan)] = ()
    klv: str | None = None  # a MISB ST 0601 packet, base64
    headers: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class RawRecord:
    """A message as the broker gave it; nothing is trusted yet.

    Attributes:
        timestamp_ms: Kafka's timestamp, milliseconds since the epoch (UTC).
        headers: in order, duplicates kept.
        unusable: why there is no frame where one should be: a file that cannot be read, say; None of every message of a topic.
    """

    position: KafkaPosition
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int
    unusable: str | None = None


@dataclass(frozen=True, slots=True)
class Normalisation:
    """The linear map that takes this frame's counts to the networks' input: `(counts - mean) / scale`.

    Linear and unclipped, so every bit of the sensor stays distinguishable and in order.
    """

    mean: float
    scale: float


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A decoded, validated frame.

    Attributes:
        pixels_HW: counts as the sensor sent them, uint8, uint16 or float32 (possibly a read-only view); void ones hold the mean.
        bit_depth: significant bits (8 to 16; 32 for float32).
        ingested_at: Kafka's timestamp.
        decode_ms: time spent decoding, validating and measuring this frame.
        void_HW: True where a pixel shows no scene (nodata, telemetry); None where all do.
        quality: faults that were found in it.
    """

    position: KafkaPosition
    meta: FrameMeta
    pixels_HW: Pixels
    bit_depth: int
    normalisation: Normalisation
    ingested_at: datetime
    decode_ms: float = 0.0
    void_HW: NDArray[np.bool_] | None = None
    quality: tuple[Quality, ...] = ()

    @property
    def height_px(self) -> int:
        """Rows."""
        return int(self.pixels_HW.shape[0])

    @property
    def width_px(self) -> int:
        """Columns."""
        return int(self.pixels_HW.shape[1])
