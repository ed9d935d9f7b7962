"""Train one segmenter on one machine: data, judge, loop, and weights with their card at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from contracts.errors import SettingsError
from evaluation.segmentation import SegmentationMetrics
from models.devices import fastest_dtype
from models.inference import prepare
from models.segmentation.base import SegmentationModel
from models.weights import digest_of, load_weights
from models.zoo import create_model
from training.data.catalogue import KNOWN_SETS
from training.data.mask_checks import refuse_empty_masks
from training.data.samples import Role, Sample, read_samples
from training.loop.checkpoint import alone_in, progress_of, require_writable
from training.loop.cuda_graph import HeldBatches
from training.loop.loop import LoopReport, processor_clock, train
from training.loop.prefetch import PrefetchedBatches
from training.loop.settings import LoopSettings, Progress
from training.recipes import TrainingPlan
from training.tasks.measuring import overlap, probability_maps
from training.tasks.segmentation import DrawsBatches, SegmentationBatches, SegmentationRecipe, segmentation_step

_JUDGE_THRESHOLD = 0.5


def train_segmenter(
    name: str,
    plan: TrainingPlan,
    folder: Path,
    *,
    start: Path | None = None,
    device: str = "cpu",
    workers: int = 0,
    begin: Callable[[Progress, LoopSettings], None] = lambda progress, loop: None,
    tell: Callable[[Progress, int], None] = lambda progress, steps: None,
) -> tuple[nn.Module, LoopReport]:
    """Train a registered segmenter; the same call again continues after a kill.

    Args:
        name: registered name.
        plan: recipe, loop and epochs.
        folder: for checkpoints.
        start: weights to begin with; None begins with random ones.
        device: where to compute.
        workers: processes that draw crops ahead; 0 draws them in turn with learning.
        begin: gets how far it is already, and the whole, before images are decoded.
        tell: gets the progress about once a second, and the number of steps of the whole.

    Returns:
        The averaged model (the best one, where the plan asks the judge), and what was done.

    Raises:
        SettingsError: not a segmenter, weights of another network, data that are not there, a folder that cannot be written, in which
            another process trains, or with a checkpoint that cannot be gone on from.
        StopPipeline: the loss or its gradient is not finite.
    """
    torch.manual_seed(plan.recipe.seed)
    model = _segmenter(name, start)
    samples = _images_of(plan)
    _look_at_held_out(plan)
    begins = {"start": "random weights" if start is None else digest_of(start)}
    loop, identity = plan.loop_for(len(samples)), dict(plan.identity(name, len(samples))) | begins
    judge = judge_on(read_samples(plan.recipe.shares, Role.SELECT), name) if loop.judge_steps else None
    require_writable(folder)
    with alone_in(folder):
        done = progress_of(folder, identity)
        loop.require_ahead(done, folder)
        begin(done, loop)
        # Going on with the seed of the start would show the same crops again.
        recipe = replace(plan.recipe, seed=plan.recipe.seed + done.steps)
        step, refill = _step_of(SegmentationBatches(samples, recipe), recipe, device, workers)
        model.to(device).to(memory_format=torch.channels_last)
        return train(
            model,
            step,
            loop,
            folder,
            processor_clock if device == "cpu" else time.monotonic,
            refill=refill,
            judge=judge,
            tell=lambda progress: tell(progress, loop.max_steps or 0),
            identity=identity,
        )


def _segmenter(name: str, start: Path | None) -> SegmentationModel:
    model = create_model(name)
    if not isinstance(model, SegmentationModel):
        raise SettingsError(
            expected="a segmenter", got=f"{model.task} network {name}", where="model", action="irstream models list names them."
        )
    if start is not None:
        load_weights(model, start)
    return model


def _step_of(
    drawn: SegmentationBatches, recipe: SegmentationRecipe, device: str, workers: int
) -> tuple[Callable[[nn.Module], Tensor], Callable[[], None] | None]:
    """What gives the loss of the next batch, and beside a GPU what puts that batch where the loss finds it."""
    batches: DrawsBatches = PrefetchedBatches(drawn, workers, pinned=device != "cpu") if workers else drawn
    if device == "cpu":
        return partial(segmentation_step, batches, recipe), None
    held = HeldBatches(batches, device)
    return partial(segmentation_step, held, recipe), held.refill


def _images_of(plan: TrainingPlan) -> list[Sample]:
    roles = (Role.TRAIN,) if plan.threshold is None else (Role.TRAIN, Role.SELECT)
    samples = [sample for role in roles for sample in read_samples(plan.recipe.shares, role)]
    there = {sample.dataset for sample in samples}
    missing = [name for name in plan.recipe.shares if name not in there]
    if missing:
        raise SettingsError(
            expected="training images in every data set",
            got=f"none in {', '.join(missing)}",
            where="data sets to learn from (--data)",
            action="Leave it out, or give images of its index.jsonl the split `train`.",
        )
    return samples


def _look_at_held_out(plan: TrainingPlan) -> None:
    """Read what chooses and measures at the end of hours, of data sets of one's own, before they begin.

    Raises:
        SettingsError: an image or mask cannot be read, or they do not fit each other.
    """
    own = [name for name in plan.recipe.shares if name not in KNOWN_SETS]
    for role in (Role.SELECT, Role.TEST):
        for sample in read_samples(own, role):
            _ = sample.pixels_HW, sample.mask_HW
            refuse_empty_masks([sample])


def best_precision(device: str) -> str:
    """`bfloat16` where it is clearly faster on this device, else `float32`."""
    return "bfloat16" if fastest_dtype(device) is torch.bfloat16 else "float32"


def judge_on(samples: Sequence[Sample], name: str) -> Callable[[nn.Module], float]:
    """What judges averaged weights on held-out images of the data sets that have masks, as the threshold is chosen.

    Raises:
        SettingsError: there is no target in them.
    """
    masked = {sample.dataset for sample in samples if sample.mask_path is not None}
    samples = [sample for sample in samples if sample.dataset in masked]
    if not any(sample.mask_HW.any() for sample in samples):
        raise SettingsError(
            expected="held-out images (split val) with targets",
            got=f"{len(samples)} images without any" if samples else "no image with a mask",
            where=f"judge of {name} (--early-stop, --judge-every)",
            action="Give some labelled images the split `val`, or train without these options.",
        )

    def judge(average: nn.Module) -> float:
        assert isinstance(average, SegmentationModel)
        metrics = {dataset: SegmentationMetrics() for dataset in sorted(masked)}
        model = prepare(average, next(average.parameters()).device)
        for sample, map_HW in probability_maps(model, samples):
            metrics[sample.dataset].update((map_HW > _JUDGE_THRESHOLD) & (sample.unknown_HW == 0), sample.mask_HW > 0)
        return overlap(metrics.values())

    return judge
