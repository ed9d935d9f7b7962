"""Options of `irstream train`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import typer

NetworkArgument = Annotated[str, typer.Argument(help="Registered network, see `irstream models list`.")]
TaskOption = Annotated[
    str | None,
    typer.Option("--task", help="detection, segmentation or classification; default: the network's own.", show_default=False),
]
DataOption = Annotated[
    list[str] | None,
    typer.Option("--data", help="Data set or folder to learn from (several times); default: those of the recipe.", show_default=False),
]
RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="ours; for segmenters robust, stranger, basicirstd, sgem_paper, compared; for classifiers aamsf_paper (docs/networks.md).",
    ),
]
EpochsOption = Annotated[
    float | None, typer.Option("--epochs", help="Passes over the images; default: those of the recipe.", show_default=False)
]
MinutesOption = Annotated[
    float | None,
    typer.Option(
        "--minutes", min=0, help="Minutes of training in place of epochs; on a CPU, minutes of processor time.", show_default=False
    ),
]
StartOption = Annotated[
    str | None,
    typer.Option(
        "--start", help="Weights to begin with: `shipped`, a run's folder or a safetensors file; default: random.", show_default=False
    ),
]
TeacherOption = Annotated[
    list[str] | None,
    typer.Option(
        "--teacher",
        help="Network to learn from beside the truth: a name of weights that ship, a file, a run's folder (of a run in folds: all of its "
        "networks together); may be given several times.",
        show_default=False,
    ),
]
TeacherShareOption = Annotated[
    float | None,
    typer.Option("--teacher-share", min=0, max=1, help="Their share in the loss [default: 0.5].", show_default=False),
]
LossOption = Annotated[
    str | None, typer.Option("--loss", help="Loss of a segmenter (docs/losses.md); default: that of the recipe.", show_default=False)
]
ScheduleOption = Annotated[
    str | None,
    typer.Option(
        "--schedule",
        help="Learning rate over the training: one_cycle, cosine, warm_up_stable_decay, poly, multi_step, halved, exponential or constant.",
        show_default=False,
    ),
]
RateOption = Annotated[float | None, typer.Option("--lr", min=0, help="Peak learning rate.", show_default=False)]
BatchSizeOption = Annotated[int | None, typer.Option("--batch-size", min=2, help="Crops in a step.", show_default=False)]
CropOption = Annotated[int | None, typer.Option("--crop-px", min=32, help="Side of the crops, in pixels.", show_default=False)]
AverageOption = Annotated[
    float | None, typer.Option("--ema", min=0, max=0.99999, help="Decay of the averaged weights; 0: none.", show_default=False)
]
ModeOption = Annotated[
    str,
    typer.Option(
        "--mode", help="With --start, what changes of those weights: full (all), head (the last layers), prototypes (classes by examples)."
    ),
]
ShotsOption = Annotated[
    int | None, typer.Option("--shots", min=1, help="With --mode prototypes: examples of each class [default: 20].", show_default=False)
]
FrozenNormsOption = Annotated[
    bool, typer.Option("--frozen-norms", help="With --start: batch norms keep the statistics of those weights. Faster steps.")
]
UnknownOption = Annotated[
    float | None,
    typer.Option(
        "--unknown-share",
        min=0,
        max=1,
        help="Share of the crops that hide their platform, and of those that hide their band.",
        show_default=False,
    ),
]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the first weights and of all crops.", show_default=False)]
PrecisionOption = Annotated[str, typer.Option("--precision", help="Numbers of the forward pass: auto, float32 or bfloat16.")]
EarlyStopOption = Annotated[
    int, typer.Option("--early-stop", min=0, help="End after so many validations on held-out images without a better one; 0: never.")
]
ValidateEveryOption = Annotated[
    float | None,
    typer.Option(
        "--validate-every",
        min=0.1,
        help="Epochs between validations on held-out images; the best weights are kept. Default: no validation; 5 with --early-stop.",
        show_default=False,
    ),
]
CheckpointOption = Annotated[float, typer.Option("--checkpoint-s", min=0, help="Seconds between checkpoints.")]
OutOption = Annotated[
    str | None,
    typer.Option("--out", help="Folder of the run, with --folds also a URL (s3://...); default runs/train/MODEL.", show_default=False),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Processes that make crops ahead; default 0 on a CPU, else up to 8. With --folds: processes that train each fold; default 1.",
        show_default=False,
    ),
]
FoldsOption = Annotated[
    int | None,
    typer.Option(
        "--folds", min=1, help="Train and measure in so many folds of data sets in Parquet; 1: 80 % and 20 %.", show_default=False
    ),
]
GpusOption = Annotated[float, typer.Option("--gpus-per-worker", min=0, help="With --folds: GPUs of each process; 0.5 shares one.")]
StratifyOption = Annotated[str, typer.Option("--stratify", help="With --folds: class or targets (their number) are even in all folds.")]
ValidationShareOption = Annotated[
    float, typer.Option("--validation-share", help="With --folds: share of a fold's other images that chooses thresholds and weights.")
]
LeaksOption = Annotated[bool, typer.Option("--allow-leaks", help="With --folds: near duplicates need not lie in one fold.")]
FoldSeedOption = Annotated[int, typer.Option("--fold-seed", min=0, help="With --folds: seed of the folds.")]
SideBySideOption = Annotated[
    int | None,
    typer.Option("--side-by-side", min=1, help="With --folds: folds at a time; default: as resources allow.", show_default=False),
]
MlflowOption = Annotated[
    str | None,
    typer.Option(
        "--mlflow",
        envvar="MLFLOW_TRACKING_URI",
        help="MLflow server or database that keeps settings, curves and files; default: mlflow.db beside the run's folder, where MLflow is "
        "installed; off: none.",
        show_default=False,
    ),
]

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "folder": "--out",
        "passes over the images": "--epochs",
        "epochs": "--epochs",
        "minutes of training": "--minutes",
        "peak learning rate": "--lr",
        "decay of the averaged weights": "--ema",
        "frozen batch norms": "--frozen-norms",
        "batch size": "--batch-size",
        "side of the crops": "--crop-px",
        "share of unknown metadata": "--unknown-share",
        "teacher": "--teacher",
        "share of the teachers": "--teacher-share",
        "seconds between checkpoints": "--checkpoint-s",
        "epochs between validations": "--validate-every",
        "validation": "--early-stop, --validate-every",
        "folds": "--folds",
        "stratify": "--stratify",
        "validation share": "--validation-share",
        "allow_leaks": "--allow-leaks",
        "data sets": "--data",
        "data sets to learn from": "--data",
        "weights to begin with": "--start",
        "loss": "--loss",
        "schedule": "--schedule",
        "seed": "--seed",
        "MLflow server": "--mlflow",
        "mode": "--mode",
        "what learns": "--mode",
    }
)
"""Options of the settings of a training, by their names in messages, where they stand in backticks."""
