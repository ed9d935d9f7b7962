"""Settings of the stream itself (light import: no ray, no torch)."""

from __future__ import annotations

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
        120.0,
        gt=0,
        description="models that answer nobody for this long, or ten times as long as their slowest answer, end the generation; "
        "the next one waits twice as long",
    )
    drain_timeout_s: float = Field(
        60.0, gt=0, description="a stop gives up when nothing moves for this long; while models compute, `model_timeout_s` counts"
    )
    restart_backoff_s: float = Field(0.5, gt=0, description="first pause before a new generation; doubles up to 5 s")
    restart: bool = Field(
        False,
        description="`irstream stream` starts its driver again when that dies, after 1 s to a minute: for machines without a supervisor",
    )
    match_iou: float = Field(0.1, ge=0, le=1, description="detector box and segmented region with at least this IoU are one target")
    match_distance_px: float = Field(3.0, ge=0, description="or whose centres are closer than this")
    uncommitted_rows: int = Field(20_000, gt=0, description="above this many rows without a commit, reading waits for the table")
    max_detections: int = Field(500, gt=0, description="most detections of one frame, best scores first: noise must not fill the table")
    min_score: float = Field(
        0.05,
        ge=0,
        le=1,
        description="a detection below this score is left out of its row, and so makes no alert; see also `sensors`. Below the score from "
        "which the detector's card calls it a detection, it is marked `weak` (docs/alerts.md)",
    )
    max_weak: int = Field(
        50,
        ge=0,
        le=1000,
        description="most weak and double detections of one frame, best scores first; column `weak_left_out` counts the others; 0: none",
    )
    label_min_score: float = Field(0.5, ge=0, le=1, description="below this class score a target is labelled just `target`")
    clutter_veto: float | None = Field(
        None,
        gt=0,
        le=1,
        description="a detection whose class score of `clutter` is not lower makes no alert: the classifier takes it for a false alarm; "
        "none: off. For classifiers with such a class (docs/classifiers.md)",
    )
    read_cpus: float = Field(0.25, gt=0, description="Ray CPUs that the read tasks of an epoch reserve together; two epochs overlap")


class ArchiveSettings(BaseModel):
    """Reading of archives (`irstream reprocess`), in place of the stream's. Every key is also a variable `IRSTREAM_ARCHIVE__...`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    readers: int | None = Field(
        None, gt=0, le=1024, description="pieces of the archive that are read and decoded at once; none: one for each core"
    )
    split_bytes: int = Field(64 * 2**20, gt=0, description="size of a piece, bytes of messages or files")
    block_max_frames: int = Field(64, gt=0, description="takes the place of `stream.block_max_frames`")
