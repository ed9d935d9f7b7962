"""Options of `irstream train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NetworkArgument = Annotated[str, typer.Argument(help="Registered network, see `irstream models list`.")]
TaskOption = Annotated[str, typer.Option("--task", help="segmentation.")]
DataOption = Annotated[
    list[str] | None, typer.Option("--data", help="Data set or folder to learn from (several times; default: the recipe's).")
]
RecipeOption = Annotated[str, typer.Option("--recipe", help="ours, robust, basicirstd or sgem_paper.")]
EpochsOption = Annotated[float | None, typer.Option("--epochs", help="Passes over the images; default: as many as the recipe.")]
StartOption = Annotated[
    str | None,
    typer.Option(
        "--start", help="Weights to begin with: `shipped`, a run's folder or a safetensors file; default: random.", show_default=False
    ),
]
LossOption = Annotated[str | None, typer.Option("--loss", help="Instead of the recipe's (docs/losses.md).", show_default=False)]
ScheduleOption = Annotated[
    str | None, typer.Option("--schedule", help="one_cycle, cosine, poly, multi_step or constant.", show_default=False)
]
RateOption = Annotated[float | None, typer.Option("--lr", min=0, help="Peak learning rate.", show_default=False)]
BatchSizeOption = Annotated[int | None, typer.Option("--batch-size", min=2, help="Crops a step.", show_default=False)]
CropOption = Annotated[int | None, typer.Option("--crop-px", min=32, help="Side of the crops.", show_default=False)]
AverageOption = Annotated[
    float | None, typer.Option("--ema", min=0, max=0.99999, help="Decay of the averaged weights; 0: none.", show_default=False)
]
FrozenNormsOption = Annotated[
    bool, typer.Option("--frozen-norms", help="Batch norms keep the statistics of the weights to begin with: faster, for going on.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Of the first weights and of all crops.", show_default=False)]
PrecisionOption = Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")]
EarlyStopOption = Annotated[
    int, typer.Option("--early-stop", min=0, help="End after so many judgements on held-out images without a better one; 0: never.")
]
JudgeEveryOption = Annotated[
    float | None,
    typer.Option(
        "--judge-every",
        min=0.1,
        help="Epochs between judgements on held-out images, the best weights are kept; default: none, with --early-stop 5.",
        show_default=False,
    ),
]
CheckpointOption = Annotated[float, typer.Option("--checkpoint-s", min=0, help="Seconds between checkpoints.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder of the run; default runs/train/MODEL.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=0, help="Processes that draw crops ahead; default 0 on a CPU, else up to 8.", show_default=False),
]
