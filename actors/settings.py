"""Settings of the model actors and of their batching (pydantic only: reading settings must not load torch)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

MEBIBYTE = 1024 * 1024
TILE_GRID_PX = 16
"""Tiles start on multiples of this, or of a larger stride of the network: elsewhere the same target would get another box."""
SidePx = Annotated[int, Field(ge=8, le=16384)]


class BatchPolicy(BaseModel):
    """Rules for closing a batch, and bounds of its queue.

    Attributes:
        max_batch_size: items in one batch.
        max_batch_pixels: padded pixels in one batch (bounds memory and time where frames are large); an item that
            is larger alone still forms a batch of one.
        max_wait_s: how long the oldest item waits for others while the network is idle.
        deadline_s: latency budget of an item, from the moment its frame was read; a batch closes early when the budget
            would be missed otherwise. None for no budget.
        max_queue_frames: items held (queued and running) before callers wait.
        max_queue_bytes: bytes held before callers wait; an item that is larger alone is let in when nothing else is held.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_batch_size: int = Field(default=16, ge=1, le=1024)
    max_batch_pixels: PositiveInt = 4 * 1024 * 1024
    max_wait_s: float = Field(default=0.02, ge=0, le=60)
    deadline_s: PositiveFloat | None = 0.5
    max_queue_frames: int = Field(default=256, ge=1, le=1_000_000)
    max_queue_bytes: PositiveInt = 256 * MEBIBYTE

    @model_validator(mode="after")
    def _a_full_batch_fits_the_queue(self) -> BatchPolicy:
        if self.max_queue_frames < self.max_batch_size:
            raise ValueError(f"expected max_queue_frames >= max_batch_size, got {self.max_queue_frames} < {self.max_batch_size}")
        return self


class TileSettings(BaseModel):
    """Tiles of frames that are too large for one pass.

    Attributes:
        whole_frame_max_px: a frame with both sides up to this is not cut.
        side_px: side of a tile, a multiple of 16 (tiles start on multiples of 16, or of a larger stride of the network).
        overlap_px: least overlap of neighbouring tiles; targets up to this size are whole in at least one tile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    whole_frame_max_px: SidePx = 1024
    side_px: Annotated[SidePx, Field(ge=2 * TILE_GRID_PX, multiple_of=TILE_GRID_PX)] = 640
    # Starts are a whole number of grid steps apart: what neighbours share is at least one step, or targets would be cut in two.
    overlap_px: int = Field(default=64, ge=TILE_GRID_PX)

    @model_validator(mode="after")
    def _tiles_move_on(self) -> TileSettings:
        if self.overlap_px * 2 > self.side_px:
            raise ValueError(f"expected overlap_px <= side_px / 2, got {self.overlap_px} with side_px = {self.side_px}")
        if self.side_px > self.whole_frame_max_px:
            raise ValueError(f"expected side_px <= whole_frame_max_px, got {self.side_px} > {self.whole_frame_max_px}")
        return self


class ModelActorSettings(BaseModel):
    """One model actor: which network, on what, and how frames are fed to it.

    Attributes:
        model: registered name (`irstream models list`).
        weights: path of a safetensors file, or the folder of a training; None for the weights that ship with the network.
        device: `auto` takes the first CUDA device when there is one, else the CPU.
        dtype: number format of the network; `auto` is float32, and on a GPU bfloat16 where a probe at start shows that it is clearly
            faster and the card of the weights that it moves IoU by no more than 0.1 points (`iou_bfloat16`).
        compiled: let torch.compile write code for the network at start: about a minute, on a CPU with a C++ compiler. Measure
            before you use it: python -m benchmarks.inference --compiled.
        flips: segmenters only: the mean over the four flips of each frame, at four times the cost.
        threads: CPU threads of the network; None for half of the cores that this process may use (its container's CPU limit
            counts; at least one), because several actors share a machine.
        tiles: how large frames are cut (ignored by the classifier, which sees crops).
        postprocess: values that replace those of the model card, such as `threshold`.
        replicas: how many of this actor share the work.
        num_cpus: CPUs each replica reserves in Ray (bookkeeping only; `threads` is what it computes on).
        num_gpus: share of a GPU each replica reserves in Ray; 0 where there is none.
        warm_up_px: frame sizes (height, width) computed once at start, so that the first real frame is not the slow one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1)
    weights: str | None = None
    device: Literal["auto", "cpu", "cuda"] | Annotated[str, Field(pattern=r"^cuda:\d+$")] = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    compiled: bool = False
    flips: bool = False
    threads: PositiveInt | None = None
    tiles: TileSettings = TileSettings()
    postprocess: dict[str, float] = Field(default_factory=dict)
    replicas: PositiveInt = 1
    num_cpus: float = Field(default=0.5, ge=0)
    num_gpus: float = Field(default=0.0, ge=0)
    warm_up_px: tuple[tuple[SidePx, SidePx], ...] = ((256, 256),)
