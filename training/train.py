"""Train one registered network: `python -m training.train acm --minutes 35`.

A recipe is a Python function per network, so that what was done is code and not a line of flags. Checkpoints go to
`runs/train/NAME`; starting the same command again continues there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from models.interface import Task
from models.zoo import create_model, list_models
from training.augmentation.plan import Augmentation
from training.commands import tells_mistakes
from training.data.samples import Role, read_samples
from training.loop.checkpoint import progress_of
from training.loop.identity import loop_identity
from training.loop.loop import LoopReport, processor_clock, train
from training.loop.settings import LoopSettings
from training.tasks.classification import ClassificationBatches, ClassificationRecipe, classification_step
from training.tasks.detection import DetectionBatches, DetectionRecipe, detection_step
from training.tasks.segmentation import SegmentationBatches, SegmentationRecipe, segmentation_step

StepLoss = Callable[[nn.Module], Tensor]
RUNS = Path("runs/train")
_SEED = 20


def _segmenter(recipe: SegmentationRecipe) -> StepLoss:
    batches = SegmentationBatches(read_samples(recipe.shares, Role.TRAIN), recipe)
    return partial(segmentation_step, batches, recipe)


def acm(seed: int) -> tuple[StepLoss, float]:
    """ACM: cheap enough for wide crops, which its global gates want."""
    return _segmenter(SegmentationRecipe(seed=seed)), 3e-3


def unet_light(seed: int) -> tuple[StepLoss, float]:
    """Light U-Net: ten times dearer a pixel, so smaller crops; half of them hold background only, where it raises false alarms."""
    crops = Augmentation(crop_px=96, target_probability=0.5)
    return _segmenter(SegmentationRecipe(batch_size=12, augmentation=crops, seed=seed)), 2e-3


def fcos_light(seed: int) -> tuple[StepLoss, float]:
    """Light FCOS on the boxes of all sets."""
    recipe = DetectionRecipe(crop_px=224, seed=seed)
    return partial(detection_step, DetectionBatches(read_samples(recipe.shares, Role.TRAIN), recipe), recipe), 2e-3


def basic_cnn(seed: int) -> tuple[StepLoss, float]:
    """Basic CNN on target crops, rare classes more often than they occur."""
    recipe = ClassificationRecipe(seed=seed)
    named, unnamed = (read_samples(sets, Role.TRAIN) for sets in (recipe.named_sets, recipe.unnamed_sets))
    return partial(classification_step, ClassificationBatches(named, unnamed, recipe), recipe), 2e-3


def compared(seed: int) -> tuple[StepLoss, float]:
    """One recipe for all networks of the papers, so that a table of theirs compares networks and not recipes."""
    return _segmenter(SegmentationRecipe(augmentation=Augmentation(crop_px=128), seed=seed)), 1e-3


SGEM_NETWORKS = tuple(name for name in list_models(Task.SEGMENTATION) if name.startswith("sgem_unet"))
RECIPES: dict[str, Callable[[int], tuple[StepLoss, float]]] = {
    "acm": acm,
    **dict.fromkeys(("kestrel", "kestrel_adaptive", "kestrel_fine", "kestrel_light", "kestrel_wide"), compared),
    **dict.fromkeys(("alcnet", "dnanet", "mshnet", "rdian", "uiunet", *SGEM_NETWORKS), compared),
    "unet_light": unet_light,
    "fcos_light": fcos_light,
    "basic_cnn": basic_cnn,
}


def train_network(name: str, minutes: float, folder: Path, max_steps: int | None = None) -> tuple[nn.Module, LoopReport]:
    """Train a registered network by its recipe.

    Args:
        name: key of `RECIPES`.
        minutes: budget of processor time per thread: minutes on an idle machine, the same work on a busy one.
        folder: for checkpoints.
        max_steps: see `LoopSettings`.

    Returns:
        The averaged model, and what was done.

    Raises:
        SettingsError: data that are not there, or a checkpoint of another training.
    """
    torch.manual_seed(_SEED)
    named = {"command": "python -m training.train", "network": name}
    # Going on with the seed of the start would show the same crops again.
    loss_of, max_lr = RECIPES[name](_SEED + progress_of(folder, named).steps)
    # channels_last is 1.3 to 2 times faster on CPUs; fp32 because bf16 without native instructions is slower.
    model = create_model(name).to(memory_format=torch.channels_last)
    settings = LoopSettings(budget_s=minutes * 60, max_lr=max_lr, max_steps=max_steps)
    return train(model, loss_of, settings, folder, clock=processor_clock, identity=named | dict(loop_identity(settings)))


@tells_mistakes
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--minutes", type=float, default=35.0, help="budget of processor time per thread (default 35)")
    parser.add_argument("--folder", type=Path, help="checkpoints (default runs/train/NAME)")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    _, report = train_network(arguments.name, arguments.minutes, arguments.folder or RUNS / arguments.name)
    print(f"{arguments.name}: {report.steps} steps in {report.elapsed_s:.0f} s, last loss {report.last_loss:.4f}")


if __name__ == "__main__":
    main()
